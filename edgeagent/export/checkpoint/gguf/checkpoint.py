"""What an open GGUF checkpoint offers, whether it is one file or split into parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError
from edgeagent.export.checkpoint.gguf.metadata import MetadataReader
from edgeagent.export.checkpoint.protocol import TensorInfo

SPLIT_NO = "split.no"
SPLIT_COUNT = "split.count"
SPLIT_TENSORS = "split.tensors.count"


class GGUFCheckpoint(MetadataReader, ABC):
    """Metadata with typed getters, and the tensors of a `TensorSource`; a context manager.

    Attributes:
        path: What the user named.
        files: The file, or all parts in order.
        size_bytes: Bytes of all files.
        metadata: Every key with its value.
        tensors: Every tensor by name, in the order of the files.
    """

    path: Path
    files: tuple[Path, ...]
    size_bytes: int
    tensors: Mapping[str, TensorInfo]

    @property
    def architecture(self) -> str:
        """The model family that the file names, for example `llama`."""
        return self.get_str("general.architecture")

    def tensor(self, name: str) -> TensorInfo:
        """The entry of a tensor.

        Raises:
            DamagedFileError: There is no such tensor.
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise DamagedFileError(f"{self.path} has no tensor {name}, which this model needs.")
        return tensor

    @abstractmethod
    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The stored bytes of a tensor as `(rows, row_bytes)`, a view without a copy."""

    @abstractmethod
    def release(self) -> None:
        """Let go of the pages that were read so far; they are read again when they are needed."""

    @abstractmethod
    def close(self) -> None:
        """Release the memory maps; views handed out by `raw` keep theirs until they are gone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
