"""What the process that parses documents is asked, and what it answers: JSON, one line each."""

from __future__ import annotations

import os
from pathlib import Path

from edgeagent.config.spec import Spec


class ReadJob(Spec):
    """A document to parse."""

    folder_hex: str
    """The folder that it must not lead out of; bytes, since names need not be text."""
    name_hex: str
    """Of the file, relative to the folder."""
    memory_bytes: int
    """Most address space that the process may take, where the system limits it."""
    time_limit_s: float
    """The process ends itself when it takes longer, whatever became of its parent."""

    @classmethod
    def of(cls, folder: Path, name: str, memory_bytes: int, time_limit_s: float) -> ReadJob:
        """Return the job of reading the file `name` in `folder`."""
        return cls(
            folder_hex=os.fsencode(folder).hex(),
            name_hex=os.fsencode(name).hex(),
            memory_bytes=memory_bytes,
            time_limit_s=time_limit_s,
        )

    @property
    def folder(self) -> Path:
        """The folder."""
        return Path(os.fsdecode(bytes.fromhex(self.folder_hex)))

    @property
    def name(self) -> str:
        """The file's name."""
        return os.fsdecode(bytes.fromhex(self.name_hex))


class ReadReply(Spec):
    """What was found."""

    sha256: str = ""
    """Of the bytes that were parsed."""
    blocks: tuple[tuple[str, bool, int | None], ...] = ()
    """Text, whether it is a heading, and page of each block."""
    remark: str | None = None
    """What of it could not be read."""
    failed: str | None = None
    """Why there are none."""
