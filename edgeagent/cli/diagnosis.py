"""What `edgeagent doctor` knows: gathers facts about runtime, machine, sensors and cache.

Gathering never fails: what cannot be told is `None` with a reason. Rendering is in `doctor`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgeagent import __version__
from edgeagent.agent.tools.python.support import Support, sandbox_support
from edgeagent.cli.sensors import SourceReading, read_all, readings
from edgeagent.config.devices import DeviceFacts, list_devices, matching_devices
from edgeagent.config.paths import home_dir, packages_dir, sources_dir
from edgeagent.meter.discover import discover, not_here
from edgeagent.meter.host.facts import HostFact, cpu_name, host_facts
from edgeagent.meter.host.identity import device_facts
from edgeagent.meter.host.preflight import preflight
from edgeagent.meter.host.state import take_host_state
from edgeagent.privacy import disable_dependency_telemetry
from edgeagent.record.conditions import HostState, HostWarning
from edgeagent.record.manifest import MANIFEST_NAME, Manifest
from edgeagent.record.samples import SourceInfo

RUNTIME_PACKAGES = ("onnxruntime-genai", "onnxruntime")
"""Distributions without which no model runs; variants for other hardware carry the same modules."""

_REMOTE_PROVIDERS = {"AzureExecutionProvider"}
"""Part of every wheel, but it sends inputs to a remote service: nothing that runs here."""

_PROBE_TIMEOUT_S = 60.0
_PROBE = """
import json
import onnxruntime
import onnxruntime_genai
print(json.dumps(onnxruntime.get_available_providers()))
"""


@dataclass(frozen=True, slots=True)
class Library:
    """One library that something needs.

    Attributes:
        name: Distribution name.
        version: Installed version, `None` if it is not installed.
        needed_for: The extra that it belongs to, `runtime` for those that are always needed.
    """

    name: str
    version: str | None
    needed_for: str


@dataclass(frozen=True, slots=True)
class CachedFile:
    """Something in the cache folder.

    Attributes:
        name: Model id of a package, file name of a source.
        kind: `package` or `source`.
        size_bytes: On disk.
        note: Precision of a package, or what is wrong with it.
    """

    name: str
    kind: str
    size_bytes: int
    note: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that the doctor found.

    Attributes:
        edgeagent: Our version.
        python: Version and path of the interpreter.
        system: Operating system, architecture and processor.
        libraries: Of the runtime first, then of the extras.
        providers: Execution providers that the runtime offers, `None` if it does not load.
        providers_reason: Why it does not load, empty if it does.
        host: Facts that change figures.
        home: The cache folder.
        disk_free_bytes: Free bytes there, `None` if unknown.
        device: Name of the device profile that fits this machine, `None` if none does.
        state: The machine's state now.
        warnings: What about it makes figures worse or less repeatable.
        sources: Every source of readings with its state.
        readings: What those show that can be read.
        sandbox: Whether models may run Python here, and what confines it; `None` if not asked.
        cached: Packages and sources in the cache folder.
    """

    edgeagent: str
    python: str
    system: str
    libraries: tuple[Library, ...]
    providers: tuple[str, ...] | None
    providers_reason: str
    host: tuple[HostFact, ...]
    home: str
    disk_free_bytes: int | None
    sources: tuple[SourceInfo, ...]
    cached: tuple[CachedFile, ...]
    device: str | None = None
    state: HostState | None = None
    warnings: tuple[HostWarning, ...] = ()
    readings: tuple[SourceReading, ...] = ()
    sandbox: Support | None = None

    @property
    def can_run_models(self) -> bool:
        """Whether the runtime loads."""
        return self.providers is not None


def diagnose() -> Diagnosis:
    """Look at everything; takes a second or two, most of it to load the runtime elsewhere."""
    found = discover(os.getpid())
    samples = read_all(found.meters)
    state = take_host_state()  # before the runtime is loaded, which is a load of our own
    providers, reason = probe_runtime()
    samples += read_all(found.meters)
    return Diagnosis(
        edgeagent=__version__,
        python=f"{platform.python_version()} at {sys.executable}",
        system=f"{platform.system()} {platform.release()}, {platform.machine()}, {cpu_name()}",
        libraries=libraries(),
        providers=providers,
        providers_reason=reason,
        host=host_facts(),
        home=str(home_dir()),
        disk_free_bytes=disk_free_bytes(home_dir()),
        sources=(*found.sources, *not_here(found)),
        cached=cached_files(),
        device=device_name(device_facts()),
        state=state,
        warnings=preflight(state),
        readings=readings(found.meters, samples),
        sandbox=sandbox_support(),
    )


def device_name(facts: DeviceFacts) -> str | None:
    """Return the name of the device profile that fits, `None` if none does."""
    match = next(iter(matching_devices(facts, list_devices())), None)
    return None if match is None else match.name


def probe_runtime(code: str = _PROBE) -> tuple[tuple[str, ...] | None, str]:
    """Return the execution providers, or `None` and the reason why the runtime does not load.

    In a process of its own: a wheel built for another processor can end the process that loads it.
    """
    disable_dependency_telemetry()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return None, f"it did not load within {_PROBE_TIMEOUT_S:.0f} s"
    except OSError as error:
        return None, f"{sys.executable} cannot be started: {error.strerror or error}"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return None, lines[-1] if lines else f"loading it ended with status {done.returncode}"
    try:
        names = [str(name) for name in json.loads(done.stdout.splitlines()[-1])]
    except (IndexError, TypeError, ValueError):
        return None, "its execution providers cannot be told"
    return tuple(name for name in names if name not in _REMOTE_PROVIDERS), ""


def libraries() -> tuple[Library, ...]:
    """Return the runtime's libraries and those of our extras, as our own metadata names them."""
    found = [Library(name, _version(name), "runtime") for name in RUNTIME_PACKAGES]
    try:
        requirements = importlib.metadata.requires("edgeagent") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        requirements = []
    for requirement in requirements:
        extra = re.search(r"""extra\s*==\s*["']([^"']+)["']""", requirement)
        name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
        if extra and name:
            found.append(Library(name[0], _version(name[0]), extra[1]))
    return tuple(found)


def disk_free_bytes(folder: Path) -> int | None:
    """Return the free bytes where `folder` is or would be created, `None` if unknown."""
    for candidate in (folder, *folder.parents):
        if candidate.exists():
            try:
                return shutil.disk_usage(candidate).free
            except OSError:
                return None
    return None


def cached_files() -> tuple[CachedFile, ...]:
    """Return the exported packages and the downloaded sources of the cache folder."""
    packages = [
        _package(folder)
        for folder in _children(packages_dir())
        if (folder / MANIFEST_NAME).is_file()
    ]
    sources = [
        CachedFile(path.name, "source", _size_bytes(path), "")
        for path in _children(sources_dir())
        if not path.name.startswith(".")
    ]
    return (*packages, *sources)


def _package(folder: Path) -> CachedFile:
    try:
        text = (folder / MANIFEST_NAME).read_text(encoding="utf-8")
        manifest = Manifest.model_validate_json(text)
    except (OSError, ValidationError, UnicodeDecodeError):
        note = f"{MANIFEST_NAME} cannot be read; export it again"
        return CachedFile(folder.name, "package", _size_bytes(folder), note)
    stored = dict.fromkeys(group.stored_as for group in manifest.tensor_groups)
    return CachedFile(folder.name, "package", _size_bytes(folder), "; ".join(stored))


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    total = 0
    for file in files:
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
