"""What every checkpoint format offers: tensors by name, their stored bytes, and nothing held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgeagent.export.checkpoint.types import BlockType


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies and how it is stored.

    Attributes:
        name: As in the file, for example `blk.0.attn_q.weight`.
        shape: Row-major, so a linear layer is `(out_features, in_features)`.
        type: How the weights are packed; blocks run along the last axis.
        offset: First byte, counted from the start of its file.
        nbytes: Bytes in the file.
        part: Index of its file in `TensorSource.files`.
    """

    name: str
    shape: tuple[int, ...]
    type: BlockType
    offset: int
    nbytes: int
    part: int = 0

    @property
    def in_features(self) -> int:
        """Weights in one row: the size of the last axis, 1 for a single number."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """Rows of `in_features` weights: the product of all other axes."""
        return prod(self.shape[:-1])


class TensorSource(Protocol):
    """An open checkpoint, in one file or in several."""

    @property
    def path(self) -> Path:
        """What the user named; messages call the checkpoint by it."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that holds weights, in order."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes of all those files."""
        ...

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor by name, in the order of the files."""
        ...

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The stored bytes of a tensor as `(rows, row_bytes)`, a view without a copy.

        Raises:
            DamagedFileError: There is no such tensor.
        """
        ...

    def release(self) -> None:
        """Let go of the pages that were read so far; views stay valid and are read again.

        Pages of a memory map count as resident memory of the process until the system needs them,
        so an exporter that has read a whole file looks as large as the file.
        """
        ...
