"""Optional zstd around a bundle.

Python 3.14 has `compression.zstd`; earlier ones get the same module as `backports.zstd`, which the
extra `bundle` installs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from edgeagent.errors import MissingExtraError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""First bytes of a zstd frame (RFC 8878, 3.1.1)."""

_LEVEL = 9
"""Quantized weights shrink by a fifth (SmolLM2-135M: 116 to 93 MB); higher levels gain little."""
_MAX_WINDOW_LOG = 27
"""128 MiB: the window is what a decoder must keep in memory, and an archive chooses its size."""


@contextmanager
def compressed(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield a file that writes zstd into `file`.

    Raises:
        MissingExtraError: This Python has no zstd.
    """
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: _LEVEL, parameter.checksum_flag: 1}
    with zstd.ZstdFile(file, "wb", options=options) as stream:
        yield stream


@contextmanager
def decompressed(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield a file that reads the zstd in `file`; damaged frames raise `decompression_errors`.

    Raises:
        MissingExtraError: This Python has no zstd.
    """
    zstd = _zstd()
    options = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
    with zstd.ZstdFile(file, "rb", options=options) as stream:
        yield stream


def decompression_errors() -> tuple[type[Exception], ...]:
    """Return what reading damaged zstd raises."""
    try:
        return _zstd().ZstdError, EOFError
    except MissingExtraError:
        return (EOFError,)


def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise MissingExtraError(
        "zstd needs Python 3.14 or the extra `bundle` (pip install 'edgeagent[bundle]')."
    )
