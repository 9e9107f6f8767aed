"""The packages of a backend: pinned for edgeagent's own environments, bounded for the user's."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

_NAME = re.compile(r"[-_.]+")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True)
class Bounds:
    """Versions that work: `at_least <= version < below`; empty for no bound."""

    at_least: str = ""
    below: str = ""

    def admit(self, version: str) -> bool:
        """Whether a version works; suffixes such as `+cpu` do not count."""
        found = _release(version)
        return _release(self.at_least) <= found and (not self.below or found < _release(self.below))

    def __str__(self) -> str:
        """In the syntax of pip."""
        parts = [f">={self.at_least}"] * bool(self.at_least) + [f"<{self.below}"] * bool(self.below)
        return ",".join(parts)


@dataclass(frozen=True)
class RequirementSet:
    """What one backend needs.

    Attributes:
        name: Of the backend; names the file of pins and the extra in `pyproject.toml`.
        bounds: Distributions that an interpreter of the user's must have.
        disk_bytes: Room that a new environment takes, measured on Linux with torch for CPUs, and
            as much again for the downloads.
        imports: Modules whose import proves that an environment works.
    """

    name: str
    bounds: Mapping[str, Bounds]
    disk_bytes: int
    imports: tuple[str, ...]

    @cached_property
    def pins(self) -> str:
        """The pinned requirements as pip reads them."""
        data = files("edgeagent.export.backends").joinpath("requirements", f"{self.name}.txt")
        return data.read_text(encoding="utf-8")

    @cached_property
    def pinned(self) -> tuple[str, ...]:
        """Normalized names of the pinned distributions."""
        lines = (line.partition("#")[0].strip() for line in self.pins.splitlines())
        return tuple(normalized(line.partition("==")[0]) for line in lines if line)

    @cached_property
    def key(self) -> str:
        """Name of the environment: another pin, Python or machine is another environment."""
        identity = "\0".join(
            (
                "\n".join(line for line in self.pins.splitlines() if not line.startswith("#")),
                f"{sys.version_info.major}.{sys.version_info.minor}",
                sys.platform,
                platform.machine().lower(),
            )
        )
        return f"{self.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"

    def missing(self, versions: Mapping[str, str | None]) -> list[str]:
        """Return what an interpreter lacks, in words; empty if it will do.

        Args:
            versions: Version by distribution, `None` where it is not installed.
        """
        lacking = []
        for name, bounds in self.bounds.items():
            version = versions.get(name)
            if version is None:
                lacking.append(f"{name}{bounds}")
            elif not bounds.admit(version):
                lacking.append(f"{name}{bounds} (it has {version})")
        return lacking


def normalized(distribution: str) -> str:
    """Return the name of a distribution in the one spelling that can be compared."""
    return _NAME.sub("-", distribution.strip()).lower()


def _release(version: str) -> tuple[int, ...]:
    found = _NUMBERS.match(version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
