"""Weights beside the graph: one external-data file, written region by region."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import TensorProto

_PAGE_BYTES = 4096
"""Every region starts on a page, so that the runtime can map it instead of copying it."""


@dataclass(frozen=True)
class Region:
    """A reserved part of the external-data file that holds one array.

    Attributes:
        offset: First byte in the file.
        shape: Of the array.
        dtype: Of the array, little-endian.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def row_bytes(self) -> int:
        """Bytes of one step along the first axis."""
        return prod(self.shape[1:]) * self.dtype.itemsize


class ExternalData:
    """Writer of the external-data file; memory use is that of the slice being written.

    Use it as a context manager. Regions are reserved before they are filled, so the quants,
    scales and corrections of one matrix can be written slice by slice to three places.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        self._end = 0

    def reserve(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Region:
        """Reserve room for an array."""
        offset = -(-self._end // _PAGE_BYTES) * _PAGE_BYTES
        region = Region(offset, shape, np.dtype(dtype).newbyteorder("<"))
        self._end = offset + region.nbytes
        return region

    def write(self, region: Region, array: npt.NDArray[Any], at_row: int = 0) -> None:
        """Write a slice of rows of a region.

        Args:
            region: Where to.
            array: `(rows, ...)` with the region's further axes, in any equivalent shape.
            at_row: Index of the first row in the region.
        """
        data = np.ascontiguousarray(array, dtype=region.dtype)
        start = at_row * region.row_bytes
        if start + data.nbytes > region.nbytes:
            raise ValueError(f"rows {at_row}.. do not fit into a region of shape {region.shape}")
        self._file.seek(region.offset + start)
        self._file.write(data.data)

    def add(self, array: npt.NDArray[Any]) -> Region:
        """Reserve room for a whole array and write it."""
        region = self.reserve(array.shape, array.dtype)
        self.write(region, array)
        return region

    def close(self) -> None:
        """Fill the file up to its last reserved byte and close it."""
        self._file.truncate(self._end)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class StoredArray:
    """An array in the external-data file, in the shape that an operator wants.

    Attributes:
        region: Where it lies.
        shape: Of the initializer; has as many elements as the region.
    """

    region: Region
    shape: tuple[int, ...]

    def rows(self, start: int, stop: int, of: int) -> StoredArray:
        """A part of the array, cut along its first axis, which holds `of` rows in order.

        Args:
            start: First row.
            stop: Row behind the last.
            of: Rows of the whole; a flat array of several numbers a row is cut alike.
        """
        each = self.shape[0] // of
        row_bytes = self.region.nbytes // of
        shape = ((stop - start) * each, *self.shape[1:])
        region = Region(self.region.offset + start * row_bytes, shape, self.region.dtype)
        return StoredArray(region, shape)

    def tensor(self, name: str, location: str) -> TensorProto:
        """The array as an initializer.

        Args:
            name: Of the initializer.
            location: Name of the external-data file, relative to the graph.
        """
        from onnx import TensorProto, helper

        if prod(self.shape) != prod(self.region.shape):
            raise ValueError(f"{name}: {self.shape} and {self.region.shape} differ in size")
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(self.region.dtype.newbyteorder("=")),
            dims=self.shape,
            data_location=TensorProto.EXTERNAL,
        )
        where = {
            "location": location,
            "offset": self.region.offset,
            "length": self.region.nbytes,
        }
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        return tensor
