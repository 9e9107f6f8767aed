"""Weight files as read-only memory maps: nothing is copied, and read pages can be let go."""

from __future__ import annotations

import mmap
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError, SourceError
from edgeagent.export.checkpoint.access import access_to
from edgeagent.export.checkpoint.protocol import TensorInfo

_LFS_POINTER = b"version https://git-lfs"


class MappedFile:
    """One file, mapped read-only; it must not be changed while it is open.

    Attributes:
        path: The file.
        data: The memory map, as bytes to slice.
        size_bytes: Its size.
    """

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.size_bytes = len(data)
        self._bytes: npt.NDArray[np.uint8] | None = np.frombuffer(data, dtype=np.uint8)

    @classmethod
    def open(cls, path: Path, kind: str) -> Self:
        """Map a file.

        Args:
            path: The file; links are followed, as caches of downloads consist of them.
            kind: What it should be, for messages: `GGUF file`.

        Raises:
            SourceError: It is missing, not a regular file, or may not be read.
            DamagedFileError: It is empty, or only stands for the real file.
        """
        with access_to(path):
            if not path.exists():
                raise SourceError(f"{path} does not exist; give the path of a {kind}.")
            if not path.is_file():  # opening a named pipe would wait for ever
                raise SourceError(f"{path} is not a regular file; give the path of a {kind}.")
            with path.open("rb") as file:
                _check_start(file.read(len(_LFS_POINTER)), path)
                return cls(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def rows(self, tensor: TensorInfo) -> npt.NDArray[np.uint8]:
        """The stored bytes of a tensor as `(rows, row_bytes)`, a view without a copy.

        Raises:
            ValueError: The file is closed.
        """
        if self._bytes is None:
            raise ValueError(f"{self.path} is closed")
        part = self._bytes[tensor.offset : tensor.offset + tensor.nbytes]
        return part.reshape(tensor.rows, tensor.type.row_bytes(tensor.in_features))

    def release(self) -> None:
        """Let go of the pages that were read so far; they are read again when they are needed."""
        if hasattr(mmap, "MADV_DONTNEED") and not self.data.closed:  # not on Windows
            self.data.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Close the map; views handed out by `rows` keep it alive until they are gone."""
        self._bytes = None
        try:
            self.data.close()
        except BufferError:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _check_start(start: bytes, path: Path) -> None:
    if not start:
        raise DamagedFileError(f"{path} is empty; download it again.")
    if start == _LFS_POINTER:
        raise DamagedFileError(
            f"{path} is a Git LFS pointer instead of the file itself; run 'git lfs pull' in its"
            " folder, or download it."
        )
