"""Find device profiles: by id, by path, and by what a machine says about itself."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import Path

from edgeagent.config.device import (
    ID_PATTERN,
    Compute,
    DeviceProfile,
    Match,
    Memory,
    PowerMode,
    Rail,
    Variant,
)
from edgeagent.config.paths import data_dir
from edgeagent.config.spec import load_spec
from edgeagent.errors import ConfigError

_ARCHITECTURES = {"arm64": "aarch64", "amd64": "x86_64", "x64": "x86_64", "i686": "i386"}
"""Names that macOS and Windows have for what Linux calls otherwise."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a machine says about itself; empty where it says nothing.

    Attributes:
        compatible: Entries of `compatible` at the root of the device tree, most specific first.
        board: `model` at the root of the device tree.
        product: DMI system vendor and product name, with a space between them.
        cpu: Name of the processor.
        architecture: As the system calls it: `aarch64`, `arm64`, `x86_64`, `AMD64`.
    """

    compatible: tuple[str, ...] = ()
    board: str = ""
    product: str = ""
    cpu: str = ""
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class DeviceMatch:
    """A profile that fits a machine, and the version of the device that it is.

    Attributes:
        profile: The profile.
        variant: The version; `None` if the profile has none that fits.
    """

    profile: DeviceProfile
    variant: Variant | None = None

    @property
    def name(self) -> str:
        """Name of the version, else of the device."""
        return self.profile.name if self.variant is None else self.variant.name

    @property
    def memory(self) -> Memory:
        """Main memory of this version."""
        own = None if self.variant is None else self.variant.memory
        if own is None:
            return self.profile.memory
        stated = {key: value for key in Memory.model_fields if (value := getattr(own, key))}
        return self.profile.memory.model_copy(update=stated)

    @property
    def compute(self) -> tuple[Compute, ...]:
        """Ceilings of this version."""
        own = () if self.variant is None else self.variant.compute
        return own or self.profile.compute

    @property
    def power_modes(self) -> tuple[PowerMode, ...]:
        """Power modes of this version."""
        own = () if self.variant is None else self.variant.power_mode
        return own or self.profile.power_mode

    def bandwidth_bytes_per_s(self, power_mode: str | None = None) -> float | None:
        """Return the peak transfer rate of memory, `None` if it is unknown.

        Args:
            power_mode: Name of the mode that is set, which may lower it; `None` if unknown.
        """
        mode = next((mode for mode in self.power_modes if mode.name == power_mode), None)
        if mode is not None and mode.bandwidth_bytes_per_s is not None:
            return mode.bandwidth_bytes_per_s
        stated = self.memory.bandwidth_bytes_per_s
        return None if stated is None else stated.value


@dataclass(frozen=True, slots=True)
class BoardRails:
    """The supply rails of a board.

    Attributes:
        profile_id: Id of the device profile that they are from.
        rails: The rails whose sensors are known.
    """

    profile_id: str
    rails: tuple[Rail, ...]

    def find(self, sensor: str, label: str) -> Rail | None:
        """Return the rail that a sensor of this family labels exactly so."""
        fitting = (rail for rail in self.rails if rail.sensor == sensor and label in rail.labels)
        return next(fitting, None)

    def total(self, name: str) -> tuple[Rail, ...]:
        """Return the rails that all together are the total `module` or `system`, if any."""
        return tuple(rail for rail in self.rails if rail.total == name)


class _Evidence(IntEnum):
    """What a machine was recognised by, weakest first."""

    ARCHITECTURE = 0
    CPU = 1
    PRODUCT = 2
    BOARD = 3
    COMPATIBLE = 4


def list_devices() -> tuple[DeviceProfile, ...]:
    """Read all shipped profiles, sorted by id.

    Raises:
        ConfigError: A profile is damaged, or the installation is incomplete.
    """
    return tuple(load_device(device_id) for device_id in _device_ids())


def load_device(id_or_path: str | Path) -> DeviceProfile:
    """Read a shipped profile by id, or any profile by the path of its file.

    A shipped id wins over a file of the same name in the working directory.

    Raises:
        ConfigError: There is no such profile, or it is not valid; the message names file and key.
    """
    path = device_file(id_or_path)
    profile = load_spec(path, DeviceProfile)
    if path.parent == _shipped_dir() and profile.id != path.stem:
        raise ConfigError(
            f"{path}: id is {profile.id!r} but must be the file's name, {path.stem!r}."
        )
    return profile


def device_file(id_or_path: str | Path) -> Path:
    """Return the file of a profile, which `load_device` reads.

    Raises:
        ConfigError: There is no such profile.
    """
    known = _device_ids()
    if str(id_or_path) in known:
        return _shipped_dir() / f"{id_or_path}.toml"
    path = Path(id_or_path)
    if _is_file(path):
        return path
    raise ConfigError(_unknown(str(id_or_path), known))


def matching_devices(
    facts: DeviceFacts, profiles: Iterable[DeviceProfile] | None = None
) -> tuple[DeviceMatch, ...]:
    """Return the profiles that fit a machine, the most specific one first.

    What the device tree says is stronger than what DMI says, that than the processor's name, and
    that than the architecture alone. Among entries of `compatible`, the first are more specific.

    Args:
        facts: What the machine says about itself.
        profiles: Profiles to choose from; default: all that are shipped.

    Raises:
        ConfigError: A shipped profile is damaged, or the installation is incomplete.
    """
    candidates = list_devices() if profiles is None else tuple(profiles)
    fits = [(fit, profile) for profile in candidates if (fit := _fit(profile.match, facts))]
    fits.sort(key=lambda pair: (-pair[0][0], -pair[0][1], pair[1].id))
    return tuple(DeviceMatch(profile, _variant(profile, facts)) for _, profile in fits)


def match_device(
    facts: DeviceFacts, profiles: Iterable[DeviceProfile] | None = None
) -> DeviceMatch | None:
    """Return the most specific profile that fits a machine, `None` if none does.

    Raises:
        ConfigError: A shipped profile is damaged, or the installation is incomplete.
    """
    return next(iter(matching_devices(facts, profiles)), None)


def rails_for(compatible: Sequence[str], model: str | None = None) -> BoardRails | None:
    """Return the supply rails of the board with this device tree.

    Args:
        compatible: Entries of `compatible` at the root of the device tree.
        model: `model` at the root of the device tree.

    Returns:
        Which exact labels to read, what each covers and which are added up; `None` if no profile
        fits or the one that fits knows no rails. Labels that are not in it must not be added.

    Raises:
        ConfigError: A shipped profile is damaged, or the installation is incomplete.
    """
    found = match_device(DeviceFacts(tuple(compatible), model or "", architecture="aarch64"))
    if found is None or not found.profile.rail:
        return None
    return BoardRails(found.profile.id, found.profile.rail)


def _fit(match: Match, facts: DeviceFacts) -> tuple[int, int] | None:
    """Return how strong the evidence is, `None` if the machine is another one."""
    architecture = facts.architecture.lower()
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if match.architecture and architecture not in match.architecture:
        return None
    for index, entry in enumerate(facts.compatible):
        if _fits_any(entry, match.compatible):
            return _Evidence.COMPATIBLE, -index
    for evidence, text, patterns in (
        (_Evidence.BOARD, facts.board, match.board),
        (_Evidence.PRODUCT, facts.product, match.product),
        (_Evidence.CPU, facts.cpu, match.cpu),
    ):
        if _fits_any(text, patterns):
            return evidence, 0
    if match.compatible or match.board or match.product or match.cpu:
        return None
    return (_Evidence.ARCHITECTURE, 0) if match.architecture else None


def _fits_any(text: str, patterns: Iterable[str]) -> bool:
    plain = text.strip().lower()
    return bool(plain) and any(fnmatchcase(plain, pattern.lower()) for pattern in patterns)


def _variant(profile: DeviceProfile, facts: DeviceFacts) -> Variant | None:
    fits = [(fit, variant) for variant in profile.variant if (fit := _fit(variant.match, facts))]
    return max(fits, key=lambda pair: pair[0])[1] if fits else None


def _shipped_dir() -> Path:
    return data_dir("profiles") / "devices"


def _device_ids() -> list[str]:
    stems = sorted(path.stem for path in _shipped_dir().glob("*.toml"))
    return [stem for stem in stems if re.fullmatch(ID_PATTERN, stem)]


def _is_file(path: Path) -> bool:
    """Like `Path.is_file`, but false for names that the system refuses (null bytes, too long)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _unknown(wanted: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(wanted.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `edgeagent devices`."
    return f"There is no device profile {wanted[:80]!r}, by id or as a path; {hint}"
