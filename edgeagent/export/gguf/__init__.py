"""GGUF files as a source of weights: a defensive reader and the unpacking of quantized blocks."""

from edgeagent.export.gguf.blocks import UNPACKABLE, UnpackedBlocks, dequantize, unpack
from edgeagent.export.gguf.reader import GGUFFile, TensorInfo
from edgeagent.export.gguf.types import BlockType

__all__ = [
    "UNPACKABLE",
    "BlockType",
    "GGUFFile",
    "TensorInfo",
    "UnpackedBlocks",
    "dequantize",
    "unpack",
]
