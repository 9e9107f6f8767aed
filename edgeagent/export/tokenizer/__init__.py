"""Tokenizers: from the metadata of a GGUF file to the files of an ONNX package."""

from edgeagent.export.tokenizer.build import TokenizerFiles, build_tokenizer, write_tokenizer

__all__ = ["TokenizerFiles", "build_tokenizer", "write_tokenizer"]
