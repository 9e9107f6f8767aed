"""Writing a whole file so that a reader sees the old content or the new, never a half."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgeagent.errors import ResourceError


def write_text(path: Path, text: str) -> None:
    """Replace the file by `text` in UTF-8, through a temporary file in the same folder.

    Raises:
        ResourceError: The folder cannot be written or the disk is full; the old file is intact.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file by `data`, through a temporary file in the same folder.

    Raises:
        ResourceError: The folder cannot be written or the disk is full; the old file is intact.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - an fd
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp gives 0600, and a report is meant to be shared
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written ({error.strerror or error}); "
            "free some disk space or make the folder writable."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
