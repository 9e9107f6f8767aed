"""The files of a package that a tool writes; the same names as in native packages."""

CONFIG_NAME = "genai_config.json"
MODEL_NAME = "model.onnx"
DATA_NAME = "model.onnx.data"
