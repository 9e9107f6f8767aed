"""Find and load a task suite: its file, its folder of documents, and a digest over both."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from edgeagent.config.paths import data_dir
from edgeagent.config.spec import load_spec
from edgeagent.config.suite import SuiteSpec
from edgeagent.errors import ConfigError

SUITE_FILE_NAME = "suite.toml"
DOCUMENT_SUFFIXES = (".md", ".txt")
"""Files of a documents folder that count as documents; others are ignored."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite that was found, checked and read.

    Attributes:
        spec: The validated suite file.
        folder: Folder of the suite file.
        documents_dir: Folder of the documents, inside `folder`; `None` if the suite has none.
        sha256: Over the suite file and its documents. It depends on their content and on the
            documents' names relative to `documents_dir`, not on where the suite lies or on how a
            checkout ends its lines.
    """

    spec: SuiteSpec
    folder: Path
    documents_dir: Path | None
    sha256: str


def suite_names() -> tuple[str, ...]:
    """Return the names of the shipped suites, sorted."""
    shipped = data_dir("profiles") / "suites"
    return tuple(sorted(file.parent.name for file in shipped.glob(f"*/{SUITE_FILE_NAME}")))


def document_files(documents_dir: Path) -> tuple[Path, ...]:
    """Return the documents below a folder, in the order of their relative POSIX paths.

    A document is a regular `.md` or `.txt` file; names that start with a dot are skipped, as
    editors and file managers leave such files behind.

    Raises:
        ConfigError: A document leads out of the folder through a symbolic link.
    """
    root = documents_dir.resolve()
    found: dict[str, Path] = {}
    for path in documents_dir.rglob("*"):
        relative = path.relative_to(documents_dir)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or path.suffix.lower() not in DOCUMENT_SUFFIXES or not path.is_file():
            continue
        if not path.resolve().is_relative_to(root):
            raise ConfigError(f"{path} links to a file outside {documents_dir}; copy it instead.")
        found[relative.as_posix()] = path
    return tuple(found[name] for name in sorted(found))


def load_suite(name_or_path: str | Path) -> Suite:
    """Load a shipped suite by name, or any suite by the path of its folder or file.

    A shipped name wins over a folder of the same name in the working directory; write `./core` to
    mean the folder.

    Raises:
        ConfigError: There is no such suite, its file is not valid, or its documents are missing,
            empty or outside its folder.
    """
    suite_file = _find(name_or_path)
    spec = load_spec(suite_file, SuiteSpec)
    folder = suite_file.parent
    documents_dir = None if spec.documents is None else _documents_dir(suite_file, spec.documents)
    return Suite(spec, folder, documents_dir, _digest(suite_file, documents_dir))


def _find(name_or_path: str | Path) -> Path:
    names = suite_names()
    if isinstance(name_or_path, str) and name_or_path in names:
        return data_dir("profiles") / "suites" / name_or_path / SUITE_FILE_NAME
    path = Path(name_or_path)
    if _is_file(path):
        return path
    if _is_file(path / SUITE_FILE_NAME):
        return path / SUITE_FILE_NAME
    near = difflib.get_close_matches(str(name_or_path), names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"shipped: {', '.join(names)}."
    raise ConfigError(f"There is no suite {str(name_or_path)!r}, by name or as a path; {hint}")


def _is_file(path: Path) -> bool:
    """Like `Path.is_file`, but false for names that the system refuses (null bytes, too long)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _documents_dir(suite_file: Path, documents: str) -> Path:
    folder = suite_file.parent.resolve()
    documents_dir = suite_file.parent / documents
    try:
        target = documents_dir.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, null bytes
        target = folder
    inside = target != folder and target.is_relative_to(folder)
    if not inside or ".." in Path(documents).parts:
        raise ConfigError(
            f"{suite_file}: documents: {documents!r} is not a folder inside the suite's own folder."
        )
    if not target.is_dir():
        raise ConfigError(f"{suite_file}: documents: there is no folder {documents!r} beside it.")
    if not document_files(documents_dir):
        raise ConfigError(
            f"{suite_file}: documents: {documents!r} holds no "
            f"{' or '.join(DOCUMENT_SUFFIXES)} files."
        )
    return documents_dir


def _digest(suite_file: Path, documents_dir: Path | None) -> str:
    digest = hashlib.sha256()
    parts = [(SUITE_FILE_NAME, suite_file)]
    if documents_dir is not None:
        parts += [
            (file.relative_to(documents_dir).as_posix(), file)
            for file in document_files(documents_dir)
        ]
    for name, file in parts:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        # Lengths keep a text from passing for a file boundary.
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
