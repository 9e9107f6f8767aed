"""Tokenizers: from a GGUF file or a Hugging Face folder to the files of an ONNX package."""

from edgeagent.export.tokenizer.build import build_tokenizer
from edgeagent.export.tokenizer.files import TokenizerFiles, write_tokenizer
from edgeagent.export.tokenizer.folder import read_folder_tokenizer

__all__ = ["TokenizerFiles", "build_tokenizer", "read_folder_tokenizer", "write_tokenizer"]
