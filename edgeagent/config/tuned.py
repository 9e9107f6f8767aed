"""Device profiles of settings: what `edgeagent tune` found for one package on one device.

One TOML file for each package and device below `tuned_dir()`. It holds only the settings that
beat the default; everything else keeps following the defaults. A profile counts only for the very
package, device and runtime that it was measured with: otherwise it is left out, and it is said
why.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgeagent.config.paths import home_dir
from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.config.spec import Spec, load_spec
from edgeagent.errors import ConfigError, ResourceError
from edgeagent.record.atomic import write_text
from edgeagent.record.run import HostRecord

Goal = Literal["latency", "throughput", "energy"]

MEMORY_TOLERANCE = 0.05
"""Installed memory as the system tells it differs a little from one kernel to the next."""


class TunedHost(Spec):
    """The device that a profile was measured on."""

    cpu: str
    machine: str
    cores_physical: int | None = None
    cores_usable: int = Field(ge=1)
    memory_bytes: int = Field(ge=1)

    @classmethod
    def of(cls, host: HostRecord) -> TunedHost:
        """Take what identifies a device from its record."""
        return cls(
            cpu=host.cpu,
            machine=host.machine,
            cores_physical=host.cores_physical,
            cores_usable=host.cores_usable,
            memory_bytes=host.memory_bytes,
        )

    @property
    def digest(self) -> str:
        """Short name of the device, in which the size of its memory does not count."""
        text = json.dumps(self.model_dump(exclude={"memory_bytes"}), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def difference(self, other: TunedHost) -> str | None:
        """Return in words how another device differs, `None` if it is the same."""
        if (self.cpu, self.machine) != (other.cpu, other.machine):
            return f"for the processor {self.cpu} ({self.machine})"
        cores = (self.cores_physical, self.cores_usable)
        if cores != (other.cores_physical, other.cores_usable):
            return f"for {self.cores_usable} usable cores, now there are {other.cores_usable}"
        if abs(self.memory_bytes - other.memory_bytes) > MEMORY_TOLERANCE * self.memory_bytes:
            return (
                f"with {self.memory_bytes / 1e9:.1f} GB of memory, now there are "
                f"{other.memory_bytes / 1e9:.1f} GB"
            )
        return None


class TunedGain(Spec):
    """How the settings compare with the default: cost with them over cost without, below 1."""

    cost_ratio: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    pairs: int = Field(ge=1)


class TunedEngine(Spec):
    """The settings that differ from the default."""

    intra_op_num_threads: int | None = Field(default=None, ge=1, le=1024)
    allow_spinning: bool | None = None
    prefill_chunk_len: int | None = Field(default=None, ge=1, le=1 << 16)
    speculation: NGramSpeculation | None = None

    @classmethod
    def of(cls, config: EngineConfig) -> TunedEngine:
        """Take the settings of `config` that are not the default."""
        default = EngineConfig()
        return cls(
            **{
                name: getattr(config, name)
                for name in cls.model_fields
                if getattr(config, name) != getattr(default, name)
            }
        )

    def settings(self) -> dict[str, Any]:
        """Return the fields of `EngineConfig` that are set here."""
        return {
            name: value
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }


class TunedProfile(Spec):
    """A device profile of settings."""

    schema_version: Literal[1] = 1
    model_id: str
    package_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    runtime: str
    """Name and version, such as `onnxruntime-genai 0.18.0`."""
    ep: str
    goal: Goal
    created_utc: str
    edgeagent_version: str
    record: str
    """Name of the file beside this one that holds everything measured."""
    host: TunedHost
    gain: TunedGain
    engine: TunedEngine


@dataclass(frozen=True, slots=True)
class TunedFor:
    """What settings are tuned for: a package on a device with a runtime.

    Attributes:
        model_id: As the package says.
        package_sha256: Of its manifest.
        runtime: Name and version.
        host: The device.
    """

    model_id: str
    package_sha256: str
    runtime: str
    host: TunedHost

    @property
    def name(self) -> str:
        """Name of the profile's file without its ending."""
        return f"{_slug(self.model_id)}-{self.package_sha256[:8]}-{self.host.digest}"

    def staleness(self, profile: TunedProfile) -> str | None:
        """Return in words why a profile does not count here, `None` if it does."""
        if profile.model_id != self.model_id or profile.package_sha256 != self.package_sha256:
            return "for another export of the model"
        if profile.runtime != self.runtime:
            return f"with {profile.runtime}, now there is {self.runtime}"
        return profile.host.difference(self.host)


@dataclass(frozen=True, slots=True)
class FoundProfile:
    """The profile that counts, or why there is none.

    Attributes:
        profile: `None` if there is none or it does not count.
        note: A sentence about a profile that does not count, empty if there is none.
    """

    profile: TunedProfile | None
    note: str = ""


def tuned_dir() -> Path:
    """Return the folder of device profiles of settings."""
    return home_dir() / "tuned"


def profile_path(target: TunedFor) -> Path:
    """Return where the profile of a package on this device is, or would be."""
    return tuned_dir() / f"{target.name}.toml"


def find_tuned(target: TunedFor) -> FoundProfile:
    """Look for a profile that counts for a package on this device.

    Raises:
        ConfigError: The file of this very package and device cannot be read or is not valid.
    """
    own = profile_path(target)
    if own.is_file():
        profile = load_tuned(own)
        why = target.staleness(profile)
        return FoundProfile(profile) if why is None else FoundProfile(None, _stale(own, why))
    for path in _files_of(target.model_id, ".toml"):
        try:
            why = target.staleness(load_tuned(path))
        except ConfigError:
            continue  # of another package or device, and damaged: no concern of this one
        if why is not None:
            return FoundProfile(None, _stale(path, why))
    return FoundProfile(None)


def load_tuned(path: Path) -> TunedProfile:
    """Read a profile.

    Raises:
        ConfigError: It cannot be read or is not valid; the message says how to get rid of it.
    """
    try:
        return load_spec(path, TunedProfile)
    except ConfigError as error:
        raise ConfigError(
            f"The tuned settings cannot be used: {str(error).rstrip('.')}; delete the file, tune "
            "again, or add --no-tuned."
        ) from error


def write_tuned(target: TunedFor, profile: TunedProfile) -> Path:
    """Write a profile, replacing the one that was there; return its path.

    Raises:
        ResourceError: The folder cannot be written; the old one is intact.
    """
    path = profile_path(target)
    make_tuned_dir()
    write_text(path, to_toml(profile))
    return path


def make_tuned_dir() -> Path:
    """Make the folder of profiles and return it.

    Raises:
        ResourceError: It cannot be made.
    """
    folder = tuned_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"{folder} cannot be made ({error.strerror or error}); set EDGEAGENT_HOME to a folder "
            "that can be written."
        ) from error
    return folder


def forget_tuned(model_id: str) -> tuple[Path, ...]:
    """Delete every profile of a model, with the records of how it was found; return them.

    Raises:
        ResourceError: One cannot be deleted.
    """
    paths = (*_files_of(model_id, ".toml"), *_files_of(model_id, ".json"))
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(f"{path} cannot be deleted: {error.strerror or error}.") from error
    return paths


def to_toml(profile: TunedProfile) -> str:
    """Write a profile as TOML; `load_tuned` reads it back unchanged."""
    lines = [
        f"# Settings that `edgeagent tune` found for {_comment(profile.model_id)} on this device.",
        "# Undo: `edgeagent tune MODEL --forget`, or delete this file.",
    ]
    data = profile.model_dump(exclude_none=True)
    lines += _table((), data)
    return "\n".join(lines) + "\n"


def _table(path: tuple[str, ...], data: dict[str, Any]) -> list[str]:
    lines = [f"{key} = {_value(value)}" for key, value in data.items() if not _is_table(value)]
    if path:
        lines = ["", f"[{'.'.join(path)}]", *lines]
    for key, value in data.items():
        if _is_table(value):
            lines += _table((*path, key), value)
    return lines


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _value(value: str | float | bool) -> str:
    """Write a scalar; JSON's strings are TOML's, but for one character that TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "?", text)


def _slug(model_id: str) -> str:
    """Return a model's id as part of a file name; ids of local files may hold anything."""
    return re.sub(r"[^a-z0-9._-]+", "_", model_id.lower())[:64].strip("._") or "model"


def _files_of(model_id: str, suffix: str) -> list[Path]:
    """Return the files of a model, the newest first."""
    # An id may be the beginning of another one; what follows it here cannot be.
    wanted = re.compile(rf"{re.escape(_slug(model_id))}-[0-9a-f]{{8}}-[0-9a-f]{{8}}(\.[a-z.]+)")
    try:
        found = [
            path
            for path in tuned_dir().iterdir()
            if wanted.fullmatch(path.name) and path.name.endswith(suffix)
        ]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    except OSError:
        return []


def _stale(path: Path, why: str) -> str:
    return f"settings in {path.name} are not used: they were tuned {why}; tune again"
