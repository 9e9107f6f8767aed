"""Export: from a model source to a verified, quantized ONNX package, without torch."""
