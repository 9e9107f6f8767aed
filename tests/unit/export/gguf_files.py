"""Small GGUF files for tests, written field by field so that any field can be wrong."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
_FORMATS = {0: "<B", UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?", 10: "<Q", 12: "<d"}


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def value(kind: int, content: object) -> bytes:
    """The bytes of one value; for an array `content` is `(element kind, items)`."""
    if kind == STRING:
        return string(content)  # type: ignore[arg-type]
    if kind == ARRAY:
        element, items = content  # type: ignore[misc]
        body = b"".join(value(element, item) for item in items)
        return struct.pack("<IQ", element, len(items)) + body
    return struct.pack(_FORMATS[kind], content)


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]  # row-major
    type_id: int
    data: bytes
    offset: int | None = None  # None: after the tensor before


@dataclass
class GGUFBuilder:
    keys: list[tuple[str, int, object]] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    version: int = 3
    alignment: int = 32
    tensor_count: int | None = None
    key_count: int | None = None

    def build(self) -> bytes:
        header = b"GGUF" + struct.pack(
            "<IQQ",
            self.version,
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.keys) if self.key_count is None else self.key_count,
        )
        for key, kind, content in self.keys:
            header += string(key) + struct.pack("<I", kind) + value(kind, content)
        data = b""
        for tensor in self.tensors:
            offset = len(data) if tensor.offset is None else tensor.offset
            header += string(tensor.name) + struct.pack("<I", len(tensor.shape))
            header += b"".join(struct.pack("<Q", size) for size in reversed(tensor.shape))
            header += struct.pack("<IQ", tensor.type_id, offset)
            data += tensor.data + b"\0" * (-len(tensor.data) % self.alignment)
        return header + b"\0" * (-len(header) % self.alignment) + data
