"""Which interpreter a backend runs in: the user's, edgeagent's environment, or this one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgeagent.errors import ConfigError, MissingExtraError
from edgeagent.export.backends.child import child_environment, isolated
from edgeagent.export.backends.requirements import RequirementSet

_PROBE_S = 60
_PROBE = """
import json, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Interpreter:
    """Where a backend's tool runs.

    Attributes:
        python: The executable.
        label: What the manifest says of it; no path, which may name a person.
        versions: Versions of the tools that take part.
    """

    python: Path
    label: str
    versions: dict[str, str]


def installed_versions(python: Path, names: Iterable[str]) -> dict[str, str | None]:
    """Ask an interpreter for the versions of distributions; `None` where one is not installed.

    Raises:
        ConfigError: It does not start, or does not answer like a Python.
    """
    command = isolated(python, ["-c", _PROBE, *names])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=child_environment(),
            timeout=_PROBE_S,
            check=True,
        )
        answer = json.loads(done.stdout.decode("utf-8").strip().splitlines()[-1])
        return {str(name): None if value is None else str(value) for name, value in answer.items()}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, AttributeError) as error:
        raise ConfigError(
            f"{python} does not work as a Python interpreter; give the path of a python executable."
        ) from error


def user_interpreter(python: Path, requirements: RequirementSet) -> Interpreter:
    """Return the interpreter that the user named, if it has what the backend needs.

    Raises:
        ConfigError: It is not a Python, or lacks packages; the message names them.
    """
    # Not resolved: the link in a virtual environment is what makes it one.
    executable = python.expanduser().absolute()
    if not executable.is_file():
        raise ConfigError(
            f"There is no interpreter {python}; give the path of a python executable."
        )
    versions = installed_versions(executable, requirements.bounds)
    if lacking := requirements.missing(versions):
        raise ConfigError(
            f"{python} cannot run the {requirements.name} backend, for which it lacks"
            f" {', '.join(lacking)}; install edgeagent[{requirements.name}] there."
        )
    return Interpreter(executable, "the user's interpreter", _known(versions))


def this_interpreter(requirements: RequirementSet) -> Interpreter | None:
    """Return the running interpreter if the backend's extra is installed in it."""
    versions: dict[str, str | None] = {}
    for name in requirements.bounds:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            return None
    if requirements.missing(versions):
        return None
    return Interpreter(Path(sys.executable), "edgeagent's own interpreter", _known(versions))


def no_interpreter(requirements: RequirementSet) -> MissingExtraError:
    """Return the error for a backend that has nowhere to run."""
    return MissingExtraError(
        f"The {requirements.name} backend needs packages that are kept apart from edgeagent's own:"
        f" run this again with --create-env to install them below the cache folder (about"
        f" {requirements.disk_bytes / 1e9:.1f} GB), or name an interpreter that has"
        f" edgeagent[{requirements.name}] with --backend-python."
    )


def _known(versions: dict[str, str | None]) -> dict[str, str]:
    return {name: version for name, version in versions.items() if version is not None}
