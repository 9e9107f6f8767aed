"""Bounded reading of the values in a GGUF header.

Nothing here trusts the file: every length and count is compared with the bytes that are left
before anything is allocated, and the header as a whole has a limit, so that reading a hostile file
takes bounded time and memory.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError

MAX_HEADER_BYTES = 64 * 2**20
"""Headers of real models take at most about 20 MB (256k tokens with merges and scores).

Python keeps a text in up to four times its bytes in a file, and a short one in 50 to 80 bytes.
"""

MAX_ELEMENTS = 4_000_000
"""Array elements that one file may hold in all; real models stay below 1.5 million."""

MAX_INNER_ARRAYS = 10_000
"""Arrays that arrays of one file may hold in all; real models have none."""

MAX_NESTING = 4
MAX_KEY_BYTES = 65_535  # from the GGUF specification

_SCALARS: dict[int, str] = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_BOOL, _STRING, _ARRAY = 7, 8, 9
_LENGTH = struct.Struct("<Q")

Value = str | int | float | bool | list["Value"]
"""What a metadata key can hold."""


class HeaderCursor:
    """A position in the header of one memory-mapped file.

    Args:
        data: the memory map.
        path: the file, named in errors.
        size: bytes of the file.
    """

    def __init__(self, data: mmap.mmap, path: Path, size: int) -> None:
        self.position = 0
        self._data = data
        self._path = path
        self._end = min(size, MAX_HEADER_BYTES)
        self._elements_left = MAX_ELEMENTS
        self._inner_arrays_left = MAX_INNER_ARRAYS

    def damaged(self, what: str) -> DamagedFileError:
        """The error for this file; `what` completes "FILE is damaged: "."""
        return DamagedFileError(f"{self._path} is damaged: {what}; download it again.")

    def require(self, count: int, bytes_each: int, what: str) -> None:
        """Check that `count` items of at least `bytes_each` bytes fit into the rest of the header.

        Raises:
            DamagedFileError: the rest is too short.
        """
        left = self._end - self.position
        if count * bytes_each > left:
            limit = " below the header limit" if self._end == MAX_HEADER_BYTES else ""
            raise self.damaged(
                f"{what} at byte {self.position} needs at least {count * bytes_each} bytes"
                f" and {left} are left{limit}"
            )

    def number(self, code: str, what: str) -> int | float:
        """One little-endian number; `code` is its `struct` format."""
        size = struct.calcsize(code)
        self.require(1, size, what)
        (value,) = struct.unpack_from(code, self._data, self.position)
        self.position += size
        return value  # type: ignore[no-any-return]

    def u32(self, what: str) -> int:
        """One unsigned 32-bit number."""
        return int(self.number("<I", what))

    def u64(self, what: str) -> int:
        """One unsigned 64-bit number."""
        return int(self.number("<Q", what))

    def string(self, what: str, max_bytes: int = MAX_HEADER_BYTES) -> str:
        """One length-prefixed UTF-8 string of at most `max_bytes` bytes."""
        length = self.u64(f"the length of {what}")
        if length > max_bytes:
            raise self.damaged(f"{what} has {length} bytes, more than the {max_bytes} allowed")
        self.require(length, 1, what)
        start = self.position
        self.position += length
        try:
            return self._data[start : self.position].decode("utf-8")
        except UnicodeDecodeError:
            raise self.damaged(f"{what} at byte {start} is not valid UTF-8") from None

    def value(self, what: str) -> Value:
        """One metadata value: a type id and then the value itself."""
        return self._typed_value(self.u32(f"the type of {what}"), what, depth=0)

    def _typed_value(self, kind: int, what: str, depth: int) -> Value:
        if kind == _STRING:
            return self.string(what)
        if kind == _BOOL:
            return self._bool(what)
        if kind == _ARRAY:
            return self._array(what, depth + 1)
        if kind in _SCALARS:
            return self.number(_SCALARS[kind], what)
        raise self.damaged(f"{what} has the unknown value type {kind}")

    def _bool(self, what: str) -> bool:
        byte = int(self.number("<B", what))
        if byte > 1:
            raise self.damaged(f"{what} is stored as {byte} where a boolean is 0 or 1")
        return bool(byte)

    def _array(self, what: str, depth: int) -> list[Value]:
        if depth > MAX_NESTING:
            raise self.damaged(f"{what} nests arrays more than {MAX_NESTING} deep")
        kind = self.u32(f"the element type of {what}")
        count = self.u64(f"the element count of {what}")
        if count > self._elements_left:
            raise self.damaged(
                f"{what} declares {count} elements, more than a header of {MAX_ELEMENTS} can hold"
            )
        self._elements_left -= count
        if kind == _STRING:
            return self._strings(count, what)
        if kind == _ARRAY:
            if count > self._inner_arrays_left:
                raise self.damaged(f"{what} holds more than {MAX_INNER_ARRAYS} arrays")
            self._inner_arrays_left -= count
            self.require(count, 12, what)  # an empty array takes 12 bytes
            return [self._array(what, depth + 1) for _ in range(count)]
        if kind == _BOOL:
            flags = self._numbers("<B", count, what)
            if flags.size and int(flags.max()) > 1:
                raise self.damaged(f"{what} holds a boolean that is neither 0 nor 1")
            return list(flags.astype(bool).tolist())
        if kind in _SCALARS:
            return list(self._numbers(_SCALARS[kind], count, what).tolist())
        raise self.damaged(f"{what} has the unknown element type {kind}")

    def _numbers(self, code: str, count: int, what: str) -> npt.NDArray[Any]:
        size = struct.calcsize(code)
        self.require(count, size, what)
        # A copy of the bytes: a view would keep the memory map from closing.
        raw = self._data[self.position : self.position + count * size]
        self.position += count * size
        return np.frombuffer(raw, dtype=np.dtype(code))

    def _strings(self, count: int, what: str) -> list[Value]:
        """Many strings in one tight loop: a vocabulary has 150,000 tokens and as many merges."""
        self.require(count, _LENGTH.size, what)
        data, position, end = self._data, self.position, self._end
        unpack_length = _LENGTH.unpack_from
        strings: list[Value] = []
        for index in range(count):
            start = position + 8
            if start > end:
                raise self.damaged(f"{what} ends within element {index} of {count}")
            position = start + unpack_length(data, position)[0]
            if position > end:
                raise self.damaged(f"{what} ends within element {index} of {count}")
            try:
                strings.append(data[start:position].decode("utf-8"))
            except UnicodeDecodeError:
                raise self.damaged(f"element {index} of {what} is not valid UTF-8") from None
        self.position = position
        return strings
