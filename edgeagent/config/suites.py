"""Find and load a task suite: its file, its tasks and documents, and a digest over all of them."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.config.json_lines import read_json_lines
from edgeagent.config.paths import data_dir
from edgeagent.config.spec import load_spec, parse_spec
from edgeagent.config.suite import SuiteSpec, TaskSpec
from edgeagent.errors import ConfigError

SUITE_FILE_NAME = "suite.toml"
TASKS_SUFFIX = ".jsonl"
DEFAULT_CATEGORY = "general"
"""Of tasks in a file of lines that name none."""

DOCUMENT_SUFFIXES = (".md", ".txt", ".html", ".htm", ".pdf", ".docx")
"""Files of a documents folder that count as documents; others are ignored."""

_BINARY_SUFFIXES = (".pdf", ".docx")


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite that was found, checked and read.

    Attributes:
        spec: The validated suite, all its tasks included.
        folder: Folder of the suite file, or of the data that the suite was made from.
        documents_dir: Folder of the documents, inside `folder`; `None` if the suite has none.
        sha256: Over the suite file, its tasks and its documents. It depends on their content and
            on the documents' names relative to `documents_dir`, not on where the suite lies or on
            how a checkout ends its lines.
        files: The suite file, and the file of tasks that it names, by their names beside each
            other; empty if the suite was made from something else.
    """

    spec: SuiteSpec
    folder: Path
    documents_dir: Path | None
    sha256: str
    files: Mapping[str, Path] = field(default_factory=dict)


def suite_names() -> tuple[str, ...]:
    """Return the names of the shipped suites, sorted."""
    shipped = data_dir("profiles") / "suites"
    return tuple(sorted(file.parent.name for file in shipped.glob(f"*/{SUITE_FILE_NAME}")))


def document_files(documents_dir: Path) -> tuple[Path, ...]:
    """Return the documents below a folder, in the order of their relative POSIX paths.

    A document is a regular file of one of the `DOCUMENT_SUFFIXES`; names that start with a dot are
    skipped, as editors and file managers leave such files behind.

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

    A file that ends in `.jsonl` is a suite of its own: one task a line, named like the file. A
    shipped name wins over a folder of the same name in the working directory; write `./core` to
    mean the folder.

    Raises:
        ConfigError: There is no such suite, its file is not valid, or its documents are missing,
            empty or outside its folder.
    """
    suite_file = _find(name_or_path)
    if suite_file.suffix.lower() == TASKS_SUFFIX:
        return _lone_tasks(suite_file)
    spec = load_spec(suite_file, SuiteSpec)
    files = {SUITE_FILE_NAME: suite_file}
    if spec.tasks is not None:
        tasks_file = _tasks_file(suite_file, spec.tasks)
        files[Path(spec.tasks).as_posix()] = tasks_file
        spec = _with_tasks(spec, read_tasks(tasks_file), suite_file)
    documents_dir = None if spec.documents is None else _documents_dir(suite_file, spec.documents)
    return Suite(spec, suite_file.parent, documents_dir, _digest(files, documents_dir), files)


def read_tasks(path: Path) -> tuple[TaskSpec, ...]:
    """Read a file of tasks, one JSON object a line, with the keys of a task in `suite.toml`.

    A task without `id` is named for its line, one without `category` is `general`.

    Raises:
        ConfigError: A line is not a task; the message names file, line and key.
    """
    found = []
    for number, line in read_json_lines(path):
        defaults: dict[str, object] = {"id": f"line-{number}", "category": DEFAULT_CATEGORY}
        found.append(parse_spec(defaults | line, TaskSpec, where=f"{path}, line {number}"))
    if not found:
        raise ConfigError(f"{path} holds no task; write one JSON object a line.")
    return tuple(found)


def _lone_tasks(path: Path) -> Suite:
    tasks = read_tasks(path)
    data = {
        "name": re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_") or "tasks",
        "version": 1,
        "description": f"The tasks of {path.name}.",
        "task": tasks,
    }
    spec = parse_spec(data, SuiteSpec, where=str(path))
    return Suite(spec, path.parent, None, _digest({f"tasks{TASKS_SUFFIX}": path}, None))


def _with_tasks(spec: SuiteSpec, tasks: tuple[TaskSpec, ...], suite_file: Path) -> SuiteSpec:
    every = {**{name: getattr(spec, name) for name in SuiteSpec.model_fields}}
    return parse_spec(every | {"task": (*spec.task, *tasks)}, SuiteSpec, where=str(suite_file))


def _tasks_file(suite_file: Path, name: str) -> Path:
    path = suite_file.parent / name
    try:
        inside = path.resolve().is_relative_to(suite_file.parent.resolve())
    except (OSError, RuntimeError, ValueError):  # links in a circle, null bytes
        inside = False
    if not inside or ".." in Path(name).parts or path.suffix.lower() != TASKS_SUFFIX:
        raise ConfigError(
            f"{suite_file}: tasks: {name!r} is not a {TASKS_SUFFIX} file inside the suite's folder."
        )
    return path


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
            f"{suite_file}: documents: {documents!r} holds no documents "
            f"({' '.join(DOCUMENT_SUFFIXES)})."
        )
    return documents_dir


def _digest(files: Mapping[str, Path], documents_dir: Path | None) -> str:
    digest = hashlib.sha256()
    parts = list(files.items())
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
        if file.suffix.lower() not in _BINARY_SUFFIXES:
            content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        # Lengths keep a text from passing for a file boundary.
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
