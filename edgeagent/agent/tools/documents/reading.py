"""Reading one document in this process: bytes, their digest, their blocks."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgeagent.agent.tools.documents.blocks import MAX_CHARS, Block, PartlyReadError
from edgeagent.agent.tools.documents.readers import Reader, how_to_install, reader_of
from edgeagent.agent.tools.files.inside import open_inside
from edgeagent.errors import ToolError


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read.

    Attributes:
        sha256: Of the file's bytes.
        blocks: Its headings and paragraphs in order.
        remark: What of it could not be read; `None` if all could.
    """

    sha256: str
    blocks: tuple[Block, ...]
    remark: str | None = None


def usable_reader(name: str) -> Reader:
    """Return the reader of a file.

    Raises:
        ToolError: It is no document, or its reader is not installed.
    """
    reader = reader_of(name)
    if reader is None:
        raise ToolError("it is no document")
    if not reader.is_installed():
        raise ToolError(how_to_install(reader))
    return reader


def read_bytes(folder: Path, name: str, max_bytes: int) -> bytes:
    """Return the content of a file below a folder.

    Raises:
        ToolError: It cannot be read, lies elsewhere, or is larger than `max_bytes`.
    """
    with open_inside(folder, name) as file:
        # Read no more than that even if it grows meanwhile, or has no size, as some devices.
        too_large = os.fstat(file.fileno()).st_size > max_bytes
        try:
            data = b"" if too_large else file.read(max_bytes + 1)
        except OSError as error:
            raise ToolError(f"it cannot be read ({error.strerror})") from error
    if too_large or len(data) > max_bytes:
        raise ToolError(f"it is larger than {max_bytes >> 20} MiB")
    return data


def read_here(folder: Path, name: str) -> Document:
    """Read a document; what its parser raises becomes a reason.

    Raises:
        ToolError: Why there is nothing to read.
    """
    reader = usable_reader(name)
    data = read_bytes(folder, name, reader.max_bytes)
    blocks: list[Block] = []
    chars = 0
    remark: str | None = None
    try:
        for block in reader.read(data):
            blocks.append(block)
            chars += len(block.text)
            if chars > MAX_CHARS:
                raise ToolError(f"it holds more than {MAX_CHARS >> 20} million characters")
    except PartlyReadError as error:
        remark = str(error)
    except ToolError:
        raise
    except MemoryError as error:
        raise ToolError("parsing it needs too much memory") from error
    except Exception as error:  # parsers raise whatever a damaged file leads them to
        kind = PurePosixPath(name).suffix.lower()
        raise ToolError(f"it is damaged or no {kind} file ({type(error).__name__})") from error
    return Document(hashlib.sha256(data).hexdigest(), tuple(blocks), remark)
