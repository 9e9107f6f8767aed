"""Environments of edgeagent's own: made once on request, whole or not at all, and reused.

A backend's packages weigh a gigabyte and contradict those of other backends, so each set lives in
a virtual environment below the cache folder, named after its pins. It is built in a folder beside
its final place and moved there when its packages import. A failed download leaves that folder, and
the next attempt goes on with it; Ctrl-C removes it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeagent.clock import utc_now_iso
from edgeagent.config.paths import home_dir
from edgeagent.errors import ConfigError, ExportError, ResourceError
from edgeagent.export.backends.child import child_environment, isolated, run_child
from edgeagent.export.backends.interpreter import installed_versions
from edgeagent.export.backends.logs import log_file
from edgeagent.export.backends.protocol import OnBackendProgress
from edgeagent.export.backends.requirements import RequirementSet, normalized

_RECORD_NAME = "environment.json"
_MAX_RECORD_BYTES = 1 << 20
_INSTALL = (
    "-m pip install --no-input --disable-pip-version-check --progress-bar off --only-binary :all:"
)
"""Wheels only: installing must not run programs of the packages."""

_FOREIGN_PIP = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV")
_SEEN = re.compile(
    r"^(?:Collecting|Requirement already satisfied:) (?P<name>[\w.-]+)"
    r"|^Processing .*?(?P<wheel>[\w.]+)-[\w.+!]+(?:-[\w.]+){3,4}\.whl"
)
"""What pip says of each package: from an index, installed, or from a folder of wheels."""


@dataclass(frozen=True)
class Environment:
    """A complete environment.

    Attributes:
        folder: Where it is.
        python: Its interpreter.
        versions: Version by distribution.
    """

    folder: Path
    python: Path
    versions: dict[str, str]


def environments_dir() -> Path:
    """Return the folder of all environments."""
    return home_dir() / "environments"


def find_environment(requirements: RequirementSet) -> Environment | None:
    """Return the environment of a backend if it is there and whole."""
    folder = environments_dir() / requirements.key
    python = _python_of(folder)
    try:
        path = folder / _RECORD_NAME
        if path.stat().st_size > _MAX_RECORD_BYTES or not python.exists():
            return None
        versions = json.loads(path.read_text(encoding="utf-8"))["versions"]
        return Environment(folder, python, {str(k): str(v) for k, v in versions.items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def create_environment(
    requirements: RequirementSet, on_progress: OnBackendProgress, *, base: Path | None = None
) -> Environment:
    """Create the environment of a backend, or return the one that is there.

    This is the only thing in a backend that uses the network: pip, as the user has configured it,
    downloads the pinned wheels from the package index.

    Args:
        requirements: What goes in.
        on_progress: Told how many packages are resolved.
        base: Interpreter that the environment is made from, `None` for this one.

    Raises:
        ResourceError: Not enough disk.
        ConfigError: The cache folder cannot be written, or another process is creating it.
        ExportError: A package could not be installed; the message names the log.
    """
    if (found := find_environment(requirements)) is not None:
        return found
    folder = environments_dir() / requirements.key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_disk(requirements, folder.parent)
        with _lock(folder):
            # Whoever held the lock before may have created it.
            return find_environment(requirements) or _create(
                requirements, folder, base or Path(sys.executable), on_progress
            )
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror or error}.") from error


def remove_environment(requirements: RequirementSet) -> bool:
    """Remove the environment of a backend and what is left of attempts; tell if there was one."""
    folder = environments_dir() / requirements.key
    existed = False
    for path in (folder, _partial_of(folder)):
        existed = existed or path.exists()
        shutil.rmtree(path, ignore_errors=True)
    return existed


def _create(
    requirements: RequirementSet, folder: Path, base: Path, on_progress: OnBackendProgress
) -> Environment:
    partial = _partial_of(folder)
    try:
        with log_file(f"environment-{requirements.name}") as log:
            _install(requirements, partial, base, log, on_progress)
            _check_imports(requirements, partial, log)
        python = _python_of(partial)
        versions = installed_versions(python, requirements.pinned)
        known = {name: version for name, version in versions.items() if version is not None}
        record = {"name": requirements.name, "created_utc": utc_now_iso(), "versions": known}
        (partial / _RECORD_NAME).write_text(json.dumps(record, indent=2), encoding="utf-8")
        if folder.exists():  # a damaged one: it has no readable record
            shutil.rmtree(folder)
        partial.rename(folder)
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Environment(folder, _python_of(folder), known)


def _install(
    requirements: RequirementSet,
    partial: Path,
    base: Path,
    log: Path,
    on_progress: OnBackendProgress,
) -> None:
    total = len(requirements.pinned) + 1
    variables = {
        name: value for name, value in child_environment().items() if name not in _FOREIGN_PIP
    }

    def run(python: Path, arguments: list[str], what: str, counter: _PackageCounter) -> None:
        run_child(
            isolated(python, arguments),
            what=what,
            log=log,
            environment=variables,
            cwd=partial.parent,
            on_line=counter,
        )

    counter = _PackageCounter(requirements, on_progress, total)
    python = _python_of(partial)
    if not python.exists():
        on_progress("environment", 0, total, "creating a virtual environment")
        run(base, ["-m", "venv", "--clear", str(partial)], "Creating the environment", counter)
    pins = partial / "requirements.txt"
    pins.write_text(requirements.pins, encoding="utf-8")
    what = f"Installing the packages of the {requirements.name} backend"
    run(python, [*_INSTALL.split(), "-r", str(pins)], what, counter)
    on_progress("environment", total, total, "")


class _PackageCounter:
    """Counts the pinned packages that pip has dealt with."""

    def __init__(
        self, requirements: RequirementSet, on_progress: OnBackendProgress, total: int
    ) -> None:
        self._waiting = set(requirements.pinned)
        self._on_progress = on_progress
        self._total = total

    def __call__(self, line: str) -> None:
        text = line.strip()
        if found := _SEEN.match(text):
            name = normalized(found["name"] or found["wheel"])
            self._waiting.discard(name)
            self._report(name)
        elif text.startswith("Downloading "):
            self._report(text[:60])
        elif text.startswith("Installing collected packages"):
            self._report("unpacking what was downloaded")

    def _report(self, detail: str) -> None:
        done = self._total - 1 - len(self._waiting)
        self._on_progress("environment", done, self._total, detail)


def _check_imports(requirements: RequirementSet, partial: Path, log: Path) -> None:
    code = "; ".join(f"import {module}" for module in requirements.imports)
    scratch = partial / "scratch"
    scratch.mkdir(exist_ok=True)
    try:
        run_child(
            isolated(_python_of(partial), ["-c", code]),
            what=f"The new environment of the {requirements.name} backend",
            log=log,
            environment=child_environment(scratch),
            cwd=scratch,
            on_line=lambda _line: None,
        )
    except ExportError:
        shutil.rmtree(partial, ignore_errors=True)  # going on with it would fail again
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_disk(requirements: RequirementSet, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if requirements.disk_bytes > free:
        raise ResourceError(
            f"The environment of the {requirements.name} backend needs"
            f" {requirements.disk_bytes / 1e9:.1f} GB of disk and {folder} has {free / 1e9:.1f} GB"
            " free; free some or set EDGEAGENT_HOME to another disk."
        )


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep other processes from creating the same environment."""
    path = folder.with_name(f"{folder.name}.lock")
    _drop_stale(path)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError as error:
        raise ConfigError(
            f"Another process is creating {folder}; wait for it, or delete {path} if there is none."
        ) from error
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(str(os.getpid()))
        yield
    finally:
        path.unlink(missing_ok=True)


def _drop_stale(path: Path) -> None:
    import psutil

    with suppress(OSError, ValueError):
        if not psutil.pid_exists(int(path.read_text(encoding="ascii")[:20])):
            path.unlink(missing_ok=True)


def _partial_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.partial")


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
