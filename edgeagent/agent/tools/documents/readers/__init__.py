"""A reader per format of documents."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgeagent.agent.tools.documents.blocks import Block
from edgeagent.agent.tools.documents.readers.docx import read_docx
from edgeagent.agent.tools.documents.readers.html import read_html
from edgeagent.agent.tools.documents.readers.pdf import read_pdf
from edgeagent.agent.tools.documents.readers.text import read_text


@dataclass(frozen=True, slots=True)
class Reader:
    """How documents of a format are read.

    Attributes:
        read: Takes the file's bytes; raises `ToolError` or anything else if it cannot read them,
            `PartlyReadError` at the end if it could not read all of them.
        max_bytes: Larger files are not read.
        isolated: Whether it runs in a process of its own: parsers of rich formats can be made to
            run for ever or to take all memory.
        package: What has to be installed, as pip calls it; `None` for nothing.
        module: What it is imported as.
        extension: A package that lets it read more, if that is there.
    """

    read: Callable[[bytes], Iterator[Block]]
    max_bytes: int
    isolated: bool
    package: str | None = None
    module: str = ""
    extension: str | None = None

    def is_installed(self) -> bool:
        """Whether its package can be imported."""
        return self.package is None or importlib.util.find_spec(self.module) is not None

    def version(self) -> str:
        """Return what files that could not be read may be tried again with."""
        if self.package is None or not self.is_installed():
            return ""
        packages = filter(None, (self.package, self.extension))
        return " ".join(f"{package} {_version(package)}" for package in packages)


_TEXT = Reader(read_text, max_bytes=8 << 20, isolated=False)
_HTML = Reader(read_html, max_bytes=8 << 20, isolated=True)
READERS: Mapping[str, Reader] = {
    ".md": _TEXT,
    ".txt": _TEXT,
    ".html": _HTML,
    ".htm": _HTML,
    ".pdf": Reader(
        read_pdf,
        max_bytes=64 << 20,
        isolated=True,
        package="pypdf",
        module="pypdf",
        extension="cryptography",
    ),
    ".docx": Reader(
        read_docx, max_bytes=64 << 20, isolated=True, package="python-docx", module="docx"
    ),
}
"""Readers by the end of a file's name in lower case, see `DOCUMENT_SUFFIXES`."""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # not there, or copied there without pip
        return "-"


def reader_of(name: str) -> Reader | None:
    """Return the reader of a file, `None` if it is no document."""
    return READERS.get(PurePosixPath(name).suffix.lower())


def how_to_install(reader: Reader) -> str:
    """Return what is missing and how to get it."""
    return f"that needs the package {reader.package}; run: pip install 'edgeagent[documents]'"
