"""A wheel of the edgeagent that runs, which is in no package index.

From a checkout (an editable install) it is built; from an ordinary install it is put together again
from the installed files, after comparing them with what was recorded when they were installed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import json
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from edgeagent.bundle.distributions import OWN_NAME
from edgeagent.bundle.pip import run_pip
from edgeagent.errors import ConfigError

_NOT_IN_A_WHEEL = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"})
_BUILD_BACKEND = "hatchling"
_PURE_TAG = "py3-none-any"
_DATE = (2020, 2, 2, 0, 0, 0)
"""As hatchling dates the files of its wheels, so that equal contents give equal bytes."""


def make_own_wheel(folder: Path, work: Path, on_poll: Callable[[], None]) -> Path:
    """Put a wheel of the running edgeagent into a folder.

    Raises:
        ConfigError: edgeagent is neither installed nor runs from a checkout, or was changed after
            it was installed.
        SourceError: The build failed.
    """
    try:
        distribution = metadata.distribution(OWN_NAME)
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            "edgeagent runs without being installed, so no wheel of it can be made; install it"
            " with `pip install --editable` or `pip install` in this environment."
        ) from error
    checkout = _checkout_of(distribution)
    if checkout is None:
        return repack(distribution, folder)
    if not (checkout / "pyproject.toml").is_file():
        raise ConfigError(
            f"edgeagent was installed from {checkout}, which is no longer there, so no wheel of it"
            " can be made; install it again."
        )
    arguments = ["wheel", "--no-deps", "--wheel-dir", str(folder), str(checkout)]
    if importlib.util.find_spec(_BUILD_BACKEND) is not None:
        arguments += ["--no-build-isolation", "--no-index"]
    run_pip(arguments, work, f"No wheel of edgeagent could be built from {checkout}", on_poll)
    wheels = list(folder.glob(f"{OWN_NAME}-*.whl"))
    if len(wheels) != 1:
        raise ConfigError(f"{checkout} is not a checkout of edgeagent: its wheel is another one.")
    return wheels[0]


def _checkout_of(distribution: metadata.Distribution) -> Path | None:
    """Return the folder of an editable install (PEP 610), `None` for an ordinary one."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        if not origin.get("dir_info", {}).get("editable", False):
            return None
        return Path(url2pathname(urlsplit(origin["url"]).path))
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            "The record of where edgeagent was installed from is damaged; install it again."
        ) from error


def repack(distribution: metadata.Distribution, folder: Path) -> Path:
    """Make the wheel that a pure Python distribution was installed from.

    Raises:
        ConfigError: A file is missing or was changed since, or it was no pure Python wheel.
    """
    name, version = distribution.metadata["Name"], distribution.version
    if f"Tag: {_PURE_TAG}" not in (distribution.read_text("WHEEL") or "").splitlines():
        raise ConfigError(f"{name} was not installed from a pure Python wheel; install it again.")
    rows: list[tuple[str, str, str]] = []
    wheel = folder / f"{name}-{version}-{_PURE_TAG}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        info = ""
        for text, recorded in sorted(_record(distribution)):
            path = PurePosixPath(text)
            if ".." in path.parts or path.is_absolute() or path.suffix == ".pyc":
                continue  # console scripts and caches are made at installation
            is_info = path.parts[0].endswith(".dist-info")
            info = path.parts[0] if is_info else info
            if is_info and path.name in _NOT_IN_A_WHEEL:
                continue
            content = _unchanged(Path(str(distribution.locate_file(text))), text, recorded)
            archive.writestr(_entry(text), content)
            rows.append((text, recorded, str(len(content))))
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows([*rows, (f"{info}/RECORD", "", "")])
        archive.writestr(_entry(f"{info}/RECORD"), record.getvalue())
    return wheel


def _record(distribution: metadata.Distribution) -> list[tuple[str, str]]:
    """Return path and hash of every installed file.

    `Distribution.files` leaves out missing files since Python 3.12, and those are the ones that
    matter here.
    """
    lines = (distribution.read_text("RECORD") or "").splitlines()
    return [(row[0], row[1]) for row in csv.reader(lines) if len(row) == 3]


def _unchanged(file: Path, path: str, recorded: str) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"The installed edgeagent lacks {path}; install it again.") from error
    if recorded != f"sha256={_digest(content)}":
        raise ConfigError(
            f"{path} of the installed edgeagent was changed after its installation, so no wheel of"
            " it can be made; install it again."
        )
    return content


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")


def _entry(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry
