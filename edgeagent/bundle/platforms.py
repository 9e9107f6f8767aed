"""Devices for which wheels can be gathered: their wheel tags and what markers say there."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms, sys_tags

from edgeagent.bundle.index import WheelTarget
from edgeagent.errors import ConfigError

_GLIBC_MINOR = 31
"""glibc 2.31: Ubuntu 20.04, Debian 11, JetPack 5; what llguidance's wheels for aarch64 need."""
_MANYLINUX_ALIASES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""glibc minor version and the names of PEP 513, 571 and 599."""
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_MACOS = (14, 0)
"""What onnxruntime's current wheels for macOS need."""


@dataclass(frozen=True)
class Platform:
    """An operating system on a processor.

    Attributes:
        name: As users write it.
        sys_platform: `sys.platform` there.
        system: `platform.system()` there.
        machine: `platform.machine()` there.
    """

    name: str
    sys_platform: str
    system: str
    machine: str

    @property
    def wheel_platforms(self) -> tuple[str, ...]:
        """Platform tags of wheels that run there, the newest first."""
        if self.system == "Linux":
            return tuple(_manylinux(self.machine))
        if self.system == "Darwin":
            return tuple(mac_platforms(_MACOS, self.machine))
        return (f"win_{self.machine.lower()}",)

    @property
    def os_name(self) -> str:
        """`os.name` there."""
        return "nt" if self.system == "Windows" else "posix"


PLATFORMS = {
    entry.name: entry
    for entry in (
        Platform("linux-aarch64", "linux", "Linux", "aarch64"),
        Platform("linux-x86_64", "linux", "Linux", "x86_64"),
        Platform("macos-arm64", "darwin", "Darwin", "arm64"),
        Platform("windows-arm64", "win32", "Windows", "ARM64"),
        Platform("windows-x86_64", "win32", "Windows", "AMD64"),
    )
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def this_python() -> str:
    """Return the minor version that runs, such as `3.11`."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def this_platform() -> str:
    """Return this device as `PLATFORMS` names it, or in the same manner if it is not there."""
    system, machine = platform.system(), platform.machine()
    for entry in PLATFORMS.values():
        if (entry.system, entry.machine.lower()) == (system, machine.lower()):
            return entry.name
    return f"{system.lower() or 'unknown'}-{machine.lower() or 'unknown'}"


def platform_of(target: WheelTarget) -> Platform:
    """Return the platform of a target.

    Raises:
        ConfigError: It is none of those that wheels can be gathered for.
    """
    if target.platform not in PLATFORMS or target.python not in PYTHONS:
        raise ConfigError(
            f"Wheels for {target.platform} with Python {target.python} cannot be gathered; there"
            f" are {', '.join(PLATFORMS)} with Python {PYTHONS[0]} to {PYTHONS[-1]}."
        )
    return PLATFORMS[target.platform]


def tags_of(target: WheelTarget) -> frozenset[Tag]:
    """Return the tags of wheels that can be installed on a target."""
    wheel_platforms = platform_of(target).wheel_platforms
    version = tuple(int(part) for part in target.python.split("."))
    interpreter = "cp" + target.python.replace(".", "")
    return frozenset(cpython_tags(version, [interpreter], wheel_platforms)) | frozenset(
        compatible_tags(version, interpreter, wheel_platforms)
    )


def tags_here() -> frozenset[Tag]:
    """Return the tags of wheels that this Python can install."""
    return frozenset(sys_tags())


def marker_environment(target: WheelTarget) -> dict[str, str]:
    """Return what the environment markers of PEP 508 say on a target.

    Versions of its kernel are not known before it is there; no package we need asks for them.
    """
    place = platform_of(target)
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": place.os_name,
        "platform_machine": place.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": place.system,
        "platform_version": "",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": place.sys_platform,
        "extra": "",
    }


def _manylinux(machine: str) -> Iterator[str]:
    for minor in range(_GLIBC_MINOR, _OLDEST_GLIBC[machine] - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in _MANYLINUX_ALIASES:
            yield f"{_MANYLINUX_ALIASES[minor]}_{machine}"
    yield f"linux_{machine}"
