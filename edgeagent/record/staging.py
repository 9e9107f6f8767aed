"""A folder that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeagent.errors import ConfigError, ResourceError
from edgeagent.record.manifest import MANIFEST_NAME


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out` that takes its place when the block ends well.

    A package that is already at `out` stays usable until then. If the block raises, Ctrl-C
    included, everything that was made is removed.

    Raises:
        ConfigError: `out` is something else than a package or an empty folder, or cannot be made.
        ResourceError: The disk ran full.
    """
    _check_replaceable(out)
    made_parents = _missing_parents(out)
    staging = out.parent / f".{out.name}.{secrets.token_hex(4)}.partial"
    try:
        staging.mkdir(parents=True)
        yield staging
        _swap(staging, out)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        for parent in made_parents:
            with suppress(OSError):  # somebody else may have put something there
                parent.rmdir()
        if isinstance(error, OSError):
            raise _as_our_error(error, out) from error
        raise


def _check_replaceable(out: Path) -> None:
    if out.is_symlink():
        raise ConfigError(f"{out} is a symbolic link; give the folder that it points to.")
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"{out} is a file; give the name of a folder.")
    is_package = (out / MANIFEST_NAME).is_file()
    if not is_package and any(out.iterdir()):
        raise ConfigError(
            f"{out} holds other files and no {MANIFEST_NAME}, so it is not replaced; give another"
            " folder or empty this one."
        )


def _missing_parents(out: Path) -> list[Path]:
    """Parents of `out` that will have to be made, innermost first."""
    missing = []
    for parent in out.parents:
        if parent.exists():
            break
        missing.append(parent)
    return missing


def _swap(staging: Path, out: Path) -> None:
    if not out.exists():
        staging.rename(out)
        return
    old = out.parent / f".{out.name}.{secrets.token_hex(4)}.old"
    out.rename(old)
    try:
        staging.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _as_our_error(error: OSError, out: Path) -> ConfigError | ResourceError:
    reason = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}:
        return ResourceError(f"The disk ran full while {out} was written; nothing was kept.")
    where = os.fspath(error.filename) if isinstance(error.filename, str | Path) else os.fspath(out)
    return ConfigError(f"{where} cannot be written: {reason}.")
