"""Reading a bundle once from its first byte to its last, and refusing every byte that is wrong.

What comes first says what must follow, so nothing is ever read, kept or written beyond what
`bundle.json` announced, and it announced no more than the limits allow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from edgeagent.bundle.compression import ZSTD_MAGIC, decompressed, decompression_errors
from edgeagent.bundle.index import (
    INDEX_NAME,
    MAX_INDEX_BYTES,
    SUMS_NAME,
    BundledFile,
    parse_index,
)
from edgeagent.bundle.layout import (
    BLOCK_BYTES,
    END,
    archive_bytes,
    describe,
    header_of,
    padding_of,
    size_in,
    sums_content,
)
from edgeagent.errors import ConfigError, DamagedFileError

CHUNK_BYTES = 1 << 20
_MAX_RATIO = 50
"""zstd makes weights a fifth smaller; announcing this many times the file's size is a bomb."""
_RATIO_ALLOWANCE_BYTES = 16 << 20
"""Texts shrink well, so small bundles may have any ratio."""


class BundleReader:
    """A bundle whose index was read and accepted; `copy_files` goes on from there.

    Attributes:
        index: What the bundle announces.
        index_content: The bytes of `bundle.json`.
    """

    def __init__(self, stream: IO[bytes], path: Path, packed_bytes: int, *, is_packed: bool):
        """Read the index.

        Raises:
            UnsupportedError: A later version of edgeagent wrote the bundle.
            DamagedFileError: It is not a bundle, is damaged, or announces what cannot be.
        """
        self._stream = stream
        self._path = path
        size = self._index_size()
        self.index_content = self._exactly(size)
        self._zeros(padding_of(size))
        self.index = parse_index(self.index_content, str(path))
        total = archive_bytes(self.index, size)
        if is_packed:
            limit = _MAX_RATIO * packed_bytes + _RATIO_ALLOWANCE_BYTES
            if total > limit:
                raise self._damaged(
                    f"it announces {total} bytes in {packed_bytes}, which is no honest compression"
                )
        elif packed_bytes != total:
            kind = "cut off" if packed_bytes < total else "too long"
            raise self._damaged(f"it is {kind}: {packed_bytes} of {total} bytes")

    def copy_files(
        self, open_file: Callable[[BundledFile], IO[bytes]], on_bytes: Callable[[int], None]
    ) -> bytes:
        """Copy each file to where `open_file` says, verified; may be called once.

        Args:
            open_file: Returns an empty file for a file of the bundle.
            on_bytes: Told the bytes that were copied.

        Returns:
            The content of `SHA256SUMS`, which must end the bundle.

        Raises:
            DamagedFileError: Something is not as the index says.
        """
        done = 0
        for file in self.index.files:
            self._header(file.path, file.size_bytes)
            digest = hashlib.sha256()
            with open_file(file) as target:
                for chunk in self._chunks(file):
                    digest.update(chunk)
                    target.write(chunk)
                    done += len(chunk)
                    on_bytes(done)
            if digest.hexdigest() != file.sha256:
                raise self._damaged(f"{file.path} does not have the hash that {INDEX_NAME} lists")
            self._zeros(padding_of(file.size_bytes))
        sums = sums_content(self.index.files, hashlib.sha256(self.index_content).hexdigest())
        self._header(SUMS_NAME, len(sums))
        if self._exactly(len(sums)) != sums:
            raise self._damaged(f"{SUMS_NAME} does not fit {INDEX_NAME}")
        self._zeros(padding_of(len(sums)))
        if self._exactly(len(END)) != END:
            raise self._damaged(f"more follows after {SUMS_NAME}")
        if self._read(1):
            raise self._damaged("more follows after its end")
        return sums

    def _index_size(self) -> int:
        """Read the first header, the only one whose size is not known before."""
        header = self._exactly(BLOCK_BYTES)
        size = size_in(header)
        if size is None or header != header_of(INDEX_NAME, size):
            raise self._damaged(f"it begins with {describe(header)}, not with a sound {INDEX_NAME}")
        if not 0 < size <= MAX_INDEX_BYTES:
            raise self._damaged(f"{INDEX_NAME} has {size} bytes")
        return size

    def _header(self, path: str, size_bytes: int) -> None:
        header = self._exactly(BLOCK_BYTES)
        if header != header_of(path, size_bytes):
            raise self._damaged(
                f"where {path} should begin there is {describe(header)} with another header"
            )

    def _chunks(self, file: BundledFile) -> Iterator[bytes]:
        left = file.size_bytes
        while left:
            chunk = self._read(min(left, CHUNK_BYTES))
            if not chunk:
                raise self._damaged(f"it is cut off, {left} bytes before the end of {file.path}")
            yield chunk
            left -= len(chunk)

    def _zeros(self, count: int) -> None:
        if any(self._exactly(count)):
            raise self._damaged("there is something between its files")

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._read(count)
            if not part:
                raise self._damaged("it is cut off")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _read(self, count: int) -> bytes:
        try:
            return self._stream.read(count)
        except decompression_errors() as error:
            raise self._damaged(f"its compression is damaged ({error})") from error

    def _damaged(self, problem: str) -> DamagedFileError:
        return DamagedFileError(
            f"{self._path} is not a sound bundle: {problem}; get or make it again."
        )


@contextmanager
def open_bundle(path: Path) -> Iterator[BundleReader]:
    """Open a bundle and read its index.

    Raises:
        ConfigError: There is no such file, or it cannot be read.
        MissingExtraError: It is compressed and this Python has no zstd.
        UnsupportedError: A later version of edgeagent wrote it.
        DamagedFileError: It is not a bundle, is damaged, or announces what cannot be.
    """
    with ExitStack() as stack:
        try:
            if not path.is_file():
                raise ConfigError(f"There is no bundle {path}.")
            file = stack.enter_context(path.open("rb"))
            packed_bytes = path.stat().st_size
            magic = file.read(len(ZSTD_MAGIC))
            file.seek(0)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}.") from error
        is_packed = magic == ZSTD_MAGIC
        stream = stack.enter_context(decompressed(file)) if is_packed else file
        yield BundleReader(stream, path, packed_bytes, is_packed=is_packed)


def require_sha256(path: Path, expected: str) -> None:
    """Compare the hash of a whole bundle with one that was told by its maker.

    Raises:
        ConfigError: There is no such file, or it cannot be read.
        DamagedFileError: It has another hash.
    """
    try:
        if not path.is_file():
            raise ConfigError(f"There is no bundle {path}.")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    if found != expected.lower():
        raise DamagedFileError(
            f"{path} has the SHA-256 {found} and not the expected {expected}; it was damaged or"
            " exchanged on its way, so get it again."
        )
