"""The header of a safetensors file: which tensors it has, of what type, and where they lie.

Format: https://huggingface.co/docs/safetensors: the length of the header as a 64-bit number, the
header in JSON, then the data without gaps. The `safetensors` package is not used: it has no numpy
type for bfloat16 and copies what it returns, where an exporter wants the stored bytes in place;
and it keeps the last of two entries with one name, where this reader refuses both.
"""

from __future__ import annotations

import itertools
from math import prod
from pathlib import Path
from typing import cast

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.json_file import Json, parse_json_object
from edgeagent.export.checkpoint.mapped import MappedFile
from edgeagent.export.checkpoint.protocol import TensorInfo
from edgeagent.export.checkpoint.types import SAFETENSORS_TYPES

MAX_HEADER_BYTES = 8 * 2**20
"""A tensor takes 100 to 150 bytes; files of small models have a few hundred tensors."""

MAX_RANK = 8
MAX_TENSOR_NAME_CHARS = 512
MAX_AXIS = 1 << 48
_LENGTH_BYTES = 8
_METADATA = "__metadata__"


def read_header(mapped: MappedFile, part: int) -> dict[str, TensorInfo]:
    """Read and check the header of a file.

    Args:
        mapped: The open file.
        part: Index of the file in its checkpoint.

    Returns:
        Every tensor by name, in the order of their bytes.

    Raises:
        DamagedFileError: The file is not safetensors, truncated, or contradicts itself.
        UnsupportedError: It has a data type that is not known.
    """
    header = _Header(mapped, part)
    tensors = [header.tensor(name, entry) for name, entry in header.entries.items()]
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.nbytes))
    header.check_coverage(tensors)
    return {tensor.name: tensor for tensor in tensors}


class _Header:
    def __init__(self, mapped: MappedFile, part: int) -> None:
        self._path: Path = mapped.path
        self._size = mapped.size_bytes
        self._part = part
        length = self._length(mapped)
        self._data_start = _LENGTH_BYTES + length
        raw = mapped.data[_LENGTH_BYTES : self._data_start]
        if not raw.startswith(b"{"):
            raise DamagedFileError(
                f"{self._path} is not a safetensors file: its header does not start with a brace."
            )
        self.entries = parse_json_object(raw, f"the header of {self._path}")
        self._drop_metadata()

    def tensor(self, name: str, entry: Json) -> TensorInfo:
        """Check the entry of one tensor."""
        # Names that cannot be printed cannot be written to a package or a message either.
        if not name or len(name) > MAX_TENSOR_NAME_CHARS or not name.isprintable():
            raise self._damaged(f"{name[:80]!r} is not the name of a tensor")
        if not isinstance(entry, dict):
            raise self._damaged(f"the entry of tensor {name!r} is not an object")
        dtype = entry.get("dtype")
        if not isinstance(dtype, str):
            raise self._damaged(f"tensor {name!r} has no data type")
        kind = SAFETENSORS_TYPES.get(dtype)
        if kind is None:
            raise UnsupportedError(
                f"{self._path} stores tensor {name!r} with the unknown data type {dtype[:40]!r}."
            )
        shape = self._sizes(entry.get("shape"), f"the shape of tensor {name!r}", MAX_RANK)
        offsets = self._sizes(entry.get("data_offsets"), f"the offsets of tensor {name!r}", 2)
        if len(offsets) != 2 or offsets[0] > offsets[1]:
            raise self._damaged(f"the offsets of tensor {name!r} are not a start and an end")
        start, end = offsets
        if self._data_start + end > self._size:
            raise self._damaged(
                f"tensor {name!r} ends at byte {self._data_start + end} and the file at"
                f" {self._size}"
            )
        in_features = shape[-1] if shape else 1
        expected = prod(shape[:-1]) * kind.row_bytes(in_features)
        if in_features % kind.block_len or expected != end - start:
            raise self._damaged(
                f"tensor {name!r} has {end - start} bytes, which is not what"
                f" {list(shape)} of {kind.name} take"
            )
        return TensorInfo(name, shape, kind, self._data_start + start, expected, self._part)

    def check_coverage(self, tensors: list[TensorInfo]) -> None:
        """Check that tensors, sorted by offset, fill the data without overlap, gap or rest."""
        for before, after in itertools.pairwise(tensors):
            end = before.offset + before.nbytes
            if end > after.offset:
                raise self._damaged(f"tensors {before.name!r} and {after.name!r} overlap")
            if end < after.offset:
                raise self._damaged(
                    f"no tensor owns the {after.offset - end} bytes before {after.name!r}"
                )
        first = tensors[0].offset if tensors else self._data_start
        end = tensors[-1].offset + tensors[-1].nbytes if tensors else self._data_start
        if first != self._data_start or end != self._size:
            raise self._damaged(
                f"its tensors take bytes {first} to {end} and its data are bytes"
                f" {self._data_start} to {self._size}"
            )

    def _length(self, mapped: MappedFile) -> int:
        if self._size < _LENGTH_BYTES:
            raise self._damaged("it ends within the header")
        length = int.from_bytes(mapped.data[:_LENGTH_BYTES], "little")
        if length > MAX_HEADER_BYTES:
            raise DamagedFileError(
                f"{self._path} is not a safetensors file or damaged: its header would have"
                f" {length} bytes, more than the {MAX_HEADER_BYTES} allowed."
            )
        if length > self._size - _LENGTH_BYTES:
            raise self._damaged(f"its header has {length} bytes and the file {self._size}")
        return length

    def _drop_metadata(self) -> None:
        """Check the free texts that a writer may add, and forget them: nothing depends on them."""
        notes = self.entries.pop(_METADATA, {})
        if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
            raise self._damaged(f"{_METADATA} is not a table of texts")

    def _sizes(self, values: Json, what: str, most: int) -> tuple[int, ...]:
        if not isinstance(values, list) or len(values) > most:
            raise self._damaged(f"{what} are not a list of at most {most} sizes")
        # bool is a subclass of int, so the exact type decides.
        if not all(type(value) is int and 0 <= value <= MAX_AXIS for value in values):
            raise self._damaged(f"{what} hold something else than sizes")
        return tuple(cast(list[int], values))

    def _damaged(self, what: str) -> DamagedFileError:
        return DamagedFileError(f"{self._path} is damaged: {what}; download it again.")
