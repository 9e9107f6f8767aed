"""Gathering the wheels that run edgeagent on another device, without running anything of it.

Versions are those that are installed here. Which packages are needed is decided by edgeagent and
not by pip, because `pip download --platform` asks environment markers about this device: it would
leave out what only the other one needs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag

from edgeagent.bundle.distributions import (
    OWN_NAME,
    Distribution,
    installed,
    read_wheel,
    wheel_name,
)
from edgeagent.bundle.index import WheelTarget
from edgeagent.bundle.own_wheel import make_own_wheel
from edgeagent.bundle.pip import run_pip
from edgeagent.bundle.platforms import marker_environment, platform_of, tags_of
from edgeagent.bundle.requirements import closure
from edgeagent.errors import DamagedFileError, SourceError

_MAX_ROUNDS = 10
"""Each round follows the requirements of the round before; chains are three or four long."""


@dataclass(frozen=True)
class Wheelhouse:
    """Wheels that need nothing but each other.

    Attributes:
        target: Where they can be installed.
        folder: Where they lie.
        runtime: Their distributions by name.
        paths: Their files by name.
    """

    target: WheelTarget
    folder: Path
    runtime: dict[str, Distribution]
    paths: dict[str, Path]


def gather_wheels(
    target: WheelTarget, folder: Path, work: Path, on_bytes: Callable[[int], None]
) -> Wheelhouse:
    """Download and check the wheels that edgeagent needs on a target.

    Args:
        target: The device.
        folder: Empty folder for the wheels.
        work: Folder for temporary files, removed by the caller.
        on_bytes: Told the bytes that have arrived.

    Raises:
        ConfigError: There is no such target, or no wheel of edgeagent can be made.
        SourceError: A wheel cannot be had.
        DamagedFileError: A wheel is not what its name says.
    """
    environment, tags = marker_environment(target), tags_of(target)

    def report() -> None:
        on_bytes(_size_of(folder) + _size_of(work))

    make_own_wheel(folder, work, report)
    # A first guess from what is installed here saves most rounds.
    guessed, missing = closure(installed, environment)
    wanted = [f"{name}=={each.version}" for name, each in guessed.items() if name != OWN_NAME]
    wanted += [_plain(requirement) for requirement in missing.values()]
    for _ in range(_MAX_ROUNDS):
        if wanted:
            _download(sorted(wanted), target, folder, work, report)
        paths, distributions = _read(folder, tags)
        runtime, missing = closure(distributions.get, environment)
        if not missing:
            return _without_strays(target, folder, runtime, paths)
        wanted = [_pinned(requirement) for requirement in missing.values()]
    raise SourceError(f"pip does not deliver {', '.join(wanted)}, which edgeagent needs.")


@contextmanager
def work_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield an empty folder that is removed with everything in it, on Ctrl-C too."""
    work = parent / name
    try:
        work.mkdir(parents=True)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(
    wanted: list[str], target: WheelTarget, folder: Path, work: Path, on_poll: Callable[[], None]
) -> None:
    arguments = ["download", "--no-deps", "--only-binary", ":all:", "--progress-bar", "off"]
    arguments += ["--no-cache-dir", "--implementation", "cp", "--python-version", target.python]
    for tag in platform_of(target).wheel_platforms:
        arguments += ["--platform", tag]
    place = f"{target.platform} with Python {target.python}"
    what = f"The wheels for {place} cannot be had"
    run_pip([*arguments, "--dest", str(folder), *wanted], work, what, on_poll)


def _read(folder: Path, tags: frozenset[Tag]) -> tuple[dict[str, Path], dict[str, Distribution]]:
    """Check every wheel of a folder against the tags, and its content against its name."""
    paths: dict[str, Path] = {}
    distributions: dict[str, Distribution] = {}
    for path in sorted(folder.iterdir()):
        name, version, own_tags = wheel_name(path)
        if not own_tags & tags:
            raise SourceError(f"{path.name} cannot be installed on the device that it is for.")
        distribution = read_wheel(path)
        if distribution.name != name or distribution.version != version:
            raise DamagedFileError(f"{path.name} holds {distribution.name} {distribution.version}.")
        if name in paths:
            raise SourceError(f"There are two wheels of {name}: {paths[name].name}, {path.name}.")
        paths[name], distributions[name] = path, distribution
    return paths, distributions


def _without_strays(
    target: WheelTarget, folder: Path, runtime: dict[str, Distribution], paths: dict[str, Path]
) -> Wheelhouse:
    """Remove wheels that the first guess was wrong about."""
    for name in paths.keys() - runtime.keys():
        paths[name].unlink()
    return Wheelhouse(target, folder, runtime, {name: paths[name] for name in runtime})


def _pinned(requirement: Requirement) -> str:
    """Return what pip is asked for: the version that is installed here if it fits."""
    here = installed(requirement.name)
    if here is not None and requirement.specifier.contains(here.version, prereleases=True):
        return f"{here.name}=={here.version}"
    return _plain(requirement)


def _plain(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _size_of(folder: Path) -> int:
    """Return the bytes below a folder, as far as it can be seen while pip moves files about."""
    total = 0
    try:
        for path in folder.rglob("*"):
            if path.is_file():
                total += path.stat().st_size
    except OSError:
        return total
    return total
