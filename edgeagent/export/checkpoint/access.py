"""One way to say that the system does not let a path be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeagent.errors import SourceError


@contextmanager
def access_to(path: Path) -> Iterator[None]:
    """Turn what the system says about a path into an error of ours.

    Raises:
        SourceError: No permission, a name that is too long or holds a null byte, a failing disk.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{str(path)[:300]!r} cannot be read: {reason}.") from error
