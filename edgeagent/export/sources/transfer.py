"""What all sources share: progress reports, hashing while writing, and checks of size and disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias

from edgeagent.errors import ResourceError, SourceError

CHUNK_BYTES = 1 << 20
_DISK_MARGIN_BYTES = 64 << 20
"""Left free for everything else; a full disk breaks more than a download."""

Stage: TypeAlias = Literal["download", "unpack", "verify", "failed"]


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is.

    Attributes:
        stage: What happens now; `failed` says that one source failed and the next one is tried.
        origin: The source in words.
        done_bytes: Bytes of this stage that are done.
        total_bytes: Bytes of this stage, `None` if unknown.
        note: Why a source failed, else empty.
    """

    stage: Stage
    origin: str
    done_bytes: int = 0
    total_bytes: int | None = None
    note: str = ""


OnProgress: TypeAlias = Callable[[PullProgress], None]


def ignore_progress(progress: PullProgress) -> None:
    """Report to nobody."""


def require_disk(folder: Path, needed_bytes: int) -> None:
    """Check that a folder's file system can take a download.

    Raises:
        ResourceError: It cannot.
    """
    free = shutil.disk_usage(folder).free
    needed = needed_bytes + _DISK_MARGIN_BYTES
    if free < needed:
        raise ResourceError(
            f"Not enough disk space in {folder}: {needed / 1e6:,.0f} MB are needed and"
            f" {free / 1e6:,.0f} MB are free; free some, or set EDGEAGENT_HOME to a folder on"
            " another disk."
        )


def sha256_of(path: Path, origin: str, on_progress: OnProgress) -> str:
    """Hash a file and report progress.

    Raises:
        SourceError: The file cannot be read.
    """
    digest = hashlib.sha256()
    done = 0
    try:
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                on_progress(PullProgress("verify", origin, done, total))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def copy_hashed(
    source: IO[bytes], target: IO[bytes], size_bytes: int, origin: str, on_progress: OnProgress
) -> str:
    """Copy exactly `size_bytes` and return the SHA-256, computed on the way.

    Raises:
        SourceError: The source is shorter or longer; a longer one is not read to its end, so a
            compression bomb costs no more than the honest file.
    """
    digest = hashlib.sha256()
    done = 0
    while chunk := source.read(min(CHUNK_BYTES, size_bytes - done + 1)):
        done += len(chunk)
        if done > size_bytes:
            break
        digest.update(chunk)
        target.write(chunk)
        on_progress(PullProgress("unpack", origin, done, size_bytes))
    if done != size_bytes:
        relation = "longer" if done > size_bytes else "shorter"
        raise SourceError(f"the file inside is {relation} than the {size_bytes} bytes expected")
    return digest.hexdigest()


def require_sha256(actual: str, expected: str | None) -> None:
    """Compare a hash with the one that is expected, if one is.

    Raises:
        SourceError: They differ.
    """
    if expected is not None and actual != expected:
        raise SourceError(f"SHA-256 is {actual} but {expected} is expected")
