"""The runtime that a bundle was made with: pinned versions, and `requirements.txt`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edgeagent.bundle.distributions import OWN_NAME, Distribution, installed
from edgeagent.errors import ConfigError, DamagedFileError

_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.+!]*)"
    r"(?: --hash=sha256:(?P<sha256>[0-9a-f]{64}))?"
)
_MAX_BYTES = 1 << 20

Find = Callable[[str], Distribution | None]
"""Returns a distribution by its normalized name, `None` if it is not there."""


def closure(
    find: Find, environment: Mapping[str, str] | None
) -> tuple[dict[str, Distribution], dict[str, Requirement]]:
    """Follow the requirements of edgeagent, without its extras, as far as distributions are there.

    Args:
        find: Where distributions are looked up.
        environment: Values of environment markers, `None` for this device.

    Returns:
        The distributions by name, and the requirements that no distribution was there for.

    Raises:
        ConfigError: A distribution that is there does not fit a requirement.
    """
    found: dict[str, Distribution] = {}
    missing: dict[str, Requirement] = {}
    visited: set[tuple[str, frozenset[str]]] = set()
    queue = deque([Requirement(OWN_NAME)])
    while queue:
        requirement = queue.popleft()
        name = canonicalize_name(requirement.name)
        extras = frozenset(requirement.extras)
        distribution = found.get(name) or find(name)
        if distribution is None:
            missing[name] = requirement
            continue
        if not requirement.specifier.contains(distribution.version, prereleases=True):
            raise ConfigError(
                f"{requirement} is needed and {name} {distribution.version} is there;"
                " repair this installation of edgeagent first."
            )
        found[name] = distribution
        if (name, extras) not in visited:
            visited.add((name, extras))
            queue.extend(distribution.requires_on(environment, extras))
    return found, missing


def installed_runtime() -> dict[str, Distribution]:
    """Return the distributions that run edgeagent on this device, by name.

    Raises:
        ConfigError: One of them is missing, or does not fit the others.
    """
    found, missing = closure(installed, None)
    if missing:
        raise ConfigError(
            f"{', '.join(sorted(missing))} should be installed beside edgeagent and"
            f" {'is' if len(missing) == 1 else 'are'} not; repair this installation first."
        )
    return found


def requirements_content(
    runtime: Mapping[str, Distribution], sha256_of: Mapping[str, str], made_for: str
) -> bytes:
    """Return `requirements.txt` with exact versions.

    Args:
        runtime: The distributions by name.
        sha256_of: Hashes of their wheels by name, empty if there are no wheels.
        made_for: Platform and Python in words.
    """
    lines = [f"# The runtime of edgeagent {runtime[OWN_NAME].version} on {made_for}."]
    for name in sorted(runtime):
        line = f"{name}=={runtime[name].version}"
        lines.append(f"{line} --hash=sha256:{sha256_of[name]}" if sha256_of else line)
    return ("\n".join(lines) + "\n").encode("utf-8")


def check_requirements(path: Path, wheel_hashes: frozenset[str]) -> None:
    """Check that a bundle's `requirements.txt` names versions and nothing else.

    Lines with options could make pip ask another index. If there are wheels, each line must name
    the hash of one of them.

    Raises:
        DamagedFileError: It holds another line.
    """
    content = path.read_bytes()
    if len(content) > _MAX_BYTES:
        raise DamagedFileError(f"The bundle's {path.name} is larger than {_MAX_BYTES >> 20} MiB.")
    for line in content.decode("utf-8", "replace").split("\n"):
        if not line or (line.startswith("#") and line.isprintable()):
            continue
        parts = _LINE.fullmatch(line)
        if parts is None or (wheel_hashes and parts["sha256"] not in wheel_hashes):
            raise DamagedFileError(
                f"The bundle's {path.name} holds the line {line[:80]!r}, which does not pin the"
                " version of a wheel in it; make the bundle again."
            )
