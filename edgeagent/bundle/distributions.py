"""Python distributions as bundles see them: installed here, or inside a wheel."""

from __future__ import annotations

import email.parser
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.message import Message
from importlib import metadata
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from edgeagent.errors import ConfigError, DamagedFileError

OWN_NAME = "edgeagent"

_MAX_METADATA_BYTES = 4 << 20
_MAX_LICENSE_BYTES = 4 << 20
_LICENSE_WORDS = ("license", "licence", "copying", "notice", "copyright", "thirdparty")
_TEXT_SUFFIXES = frozenset({"", ".txt", ".md", ".rst"})


@dataclass(frozen=True)
class Distribution:
    """A distribution's identity, needs and licence.

    Attributes:
        name: Normalized as PEP 503 says.
        version: Normalized as PEP 440 says.
        requires: Its requirements, with their markers.
        license: SPDX expression if it states one, else what it says in other words.
    """

    name: str
    version: str
    requires: tuple[Requirement, ...]
    license: str

    def requires_on(
        self, environment: Mapping[str, str] | None, extras: Collection[str] = ()
    ) -> tuple[Requirement, ...]:
        """Return the requirements that hold in a marker environment, `None` for this device.

        What only extras need is left out, apart from those extras that are asked for.
        """
        variables = [{**(environment or {}), "extra": extra} for extra in ("", *extras)]
        return tuple(
            requirement
            for requirement in self.requires
            if requirement.marker is None
            or any(requirement.marker.evaluate(each) for each in variables)
        )


def installed(name: str) -> Distribution | None:
    """Return an installed distribution, `None` if there is none of that name.

    Raises:
        ConfigError: Its metadata is not valid.
    """
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    content = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    return _parse(content, f"the installed {name}")


def wheel_name(path: Path) -> tuple[str, str, frozenset[Tag]]:
    """Return name, version and tags that a wheel's file name states.

    Raises:
        DamagedFileError: It is no name of a wheel.
    """
    try:
        name, version, _build, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise DamagedFileError(f"{path.name} is not named like a wheel.") from error
    return str(name), str(version), tags


def read_wheel(path: Path) -> Distribution:
    """Read the metadata of a wheel.

    Raises:
        DamagedFileError: It is not a wheel, or is damaged.
    """
    wheel_name(path)
    try:
        with zipfile.ZipFile(path) as archive:
            (inner,) = (
                entry
                for entry in archive.infolist()
                if entry.filename.endswith(".dist-info/METADATA") and entry.filename.count("/") == 1
            )
            if inner.file_size > _MAX_METADATA_BYTES:
                raise ValueError("its metadata is too large")
            content = archive.read(inner).decode("utf-8", "replace")
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, OSError) as error:
        raise DamagedFileError(f"The wheel {path.name} is damaged: {error}.") from error
    return _parse(content, f"the wheel {path.name}")


def license_texts(path: Path) -> dict[str, bytes]:
    """Return the licence files inside a wheel by their path.

    They are in the `dist-info` folder as the wheel format says, or, as onnxruntime does it, in the
    folder of the package itself.

    Raises:
        DamagedFileError: It is not a wheel, or is damaged.
    """
    texts = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                is_text = not entry.is_dir() and entry.file_size <= _MAX_LICENSE_BYTES
                if is_text and _is_license(PurePosixPath(entry.filename)):
                    texts[entry.filename] = archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, OSError) as error:
        raise DamagedFileError(f"The wheel {path.name} is damaged: {error}.") from error
    return texts


def _is_license(path: PurePosixPath) -> bool:
    if path.parts[0].endswith(".dist-info") and path.parts[1:2] == ("licenses",):
        return True
    is_named = path.name.lower().startswith(_LICENSE_WORDS)
    return is_named and path.suffix.lower() in _TEXT_SUFFIXES and len(path.parts) <= 2


def _parse(content: str, where: str) -> Distribution:
    fields = email.parser.Parser().parsestr(content, headersonly=True)
    name, version = fields.get("Name"), fields.get("Version")
    if not name or not version:
        raise ConfigError(f"The metadata of {where} name no distribution and version.")
    try:
        version = str(Version(str(version)))
        requires = tuple(Requirement(str(line)) for line in fields.get_all("Requires-Dist") or [])
    except (InvalidRequirement, InvalidVersion) as error:
        raise ConfigError(f"The metadata of {where} are not valid: {error}.") from error
    return Distribution(
        name=canonicalize_name(str(name)),
        version=version,
        requires=requires,
        license=_license(fields),
    )


def _license(fields: Message[str, str]) -> str:
    """Return the licence in a line: PEP 639's expression, the classifiers, or the free text."""
    if expression := fields.get("License-Expression"):
        return str(expression)
    classifiers = [
        str(value).rpartition(" :: ")[2]
        for value in fields.get_all("Classifier") or []
        if str(value).startswith("License ::")
    ]
    free = str(fields.get("License") or "").strip().splitlines()
    if classifiers:
        return ", ".join(classifiers)
    return free[0][:100] if free else "not stated"
