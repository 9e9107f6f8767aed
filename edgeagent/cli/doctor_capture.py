"""`edgeagent doctor --capture` and `--replay`: machines that others do not have."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeagent.cli.text import human_bytes

if TYPE_CHECKING:
    from edgeagent.cli.doctor import Section
    from edgeagent.cli.sensors import SourceReading
    from edgeagent.meter.capture.format import Capture
    from edgeagent.record.conditions import HostState, HostWarning
    from edgeagent.record.samples import SourceInfo

_KINDS = (
    ("sys/class/powercap", "powercap"),
    ("sys/devices/virtual/powercap", "powercap"),
    ("/power_supply/", "power supplies"),
    ("/hwmon/", "hwmon chips"),
    ("/iio:device", "hwmon chips"),
    ("/thermal", "temperatures and throttling"),
    ("/cpu/", "processor"),
    ("/cgroup", "container limits"),
    ("proc/", "memory and load"),
    ("devicetree", "what machine it is"),
    ("/dmi/", "what machine it is"),
)
"""Part of a path, and what files with it are about; the first that fits counts."""


def take(path: Path, seconds: float, *, as_json: bool) -> None:
    """Capture this machine's sensor tree and say what is in the file.

    Raises:
        ConfigError: This system has no such tree, or the folder of `path` does not exist.
        ResourceError: The file cannot be written.
    """
    from edgeagent.errors import ConfigError
    from edgeagent.meter.capture.file import save_capture
    from edgeagent.meter.capture.take import take_capture

    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder; name a file in a folder that exists.")
    click.echo(f"Reading the sensor tree for {seconds:g} s ...", err=True)
    capture = take_capture(duration_s=seconds)
    size_bytes = save_capture(capture, path)
    if as_json:
        click.echo(json.dumps({"file": str(path), "size_bytes": size_bytes, **_facts(capture)}))
        return
    for line in _description(capture, path, size_bytes):
        click.echo(line)


def _facts(capture: Capture) -> dict[str, object]:
    return {
        "files": len(capture.files),
        "links": len(capture.links),
        "frames": len(capture.frame_t_s),
        "kinds": dict(_kinds(capture)),
        "errors": dict(_errors(capture)),
        "removed": capture.removed,
        "left_out": capture.left_out,
    }


def _kinds(capture: Capture) -> Counter[str]:
    return Counter(_kind(file.path) for file in capture.files)


def _errors(capture: Capture) -> Counter[str]:
    """Count the files that could not be read at least once, by error."""
    return Counter(
        next(reading.error for reading in file.readings if reading.error)
        for file in capture.files
        if any(reading.error for reading in file.readings)
    )


def _kind(path: str) -> str:
    return next((kind for part, kind in _KINDS if part in path), "other sensors")


def _description(capture: Capture, path: Path, size_bytes: int) -> Iterable[str]:
    yield (
        f"{path}: {human_bytes(size_bytes)}, {len(capture.files)} files and {len(capture.links)} "
        f"links, {len(capture.frame_t_s)} frames over {capture.frame_t_s[-1]:.1f} s."
    )
    for title, counts in (
        ("files of", _kinds(capture)),
        ("could not be read", _errors(capture)),
        ("replaced", Counter(capture.removed)),
    ):
        text = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        yield f"  {title}: {text or 'none'}"
    for name, reason in capture.left_out.items():
        yield f"  left out: {name}: {reason}"
    show = f"gzip -dc {path} | less" if path.name.endswith(".gz") else f"less {path}"
    yield (
        "Serial numbers, addresses, UUIDs, host and user names are taken out where edgeagent "
        f"finds them. Nothing was sent. Read the file before you send it: {show}"
    )
    yield f"See what edgeagent makes of it: edgeagent doctor --replay {path}"


def show(path: Path, *, as_json: bool) -> None:
    """Show what discovery finds on the machine of a capture.

    Raises:
        RunDataError: The file is no capture, or not a safe one.
        ConfigError: This system cannot lay out the tree (Windows).
        ResourceError: There is no room for it.
    """
    replayed = replay(path)
    if as_json:
        click.echo(json.dumps(replayed.as_plain_data(), indent=2))
        return
    from rich.console import Console

    from edgeagent.cli.doctor import print_sections

    print_sections(replayed.sections(), Console(highlight=False))


@dataclasses.dataclass(frozen=True, slots=True)
class Replayed:
    """The machine of a capture.

    Attributes:
        path: Where the capture is.
        capture: What it holds.
        device: Name of the device profile that fits, `None` if none does.
        board: What the machine is called by its maker, empty if it does not say.
        cpu: Its processor.
        state: Its state then; facts that no file tells are those of no machine and `None`.
        warnings: What would have made figures worse there.
        sources: Every source that discovery tried, with its state.
        readings: What those showed that could be read.
    """

    path: Path
    capture: Capture
    device: str | None
    board: str
    cpu: str
    state: HostState
    warnings: tuple[HostWarning, ...]
    sources: tuple[SourceInfo, ...]
    readings: tuple[SourceReading, ...]

    def as_plain_data(self) -> dict[str, object]:
        """Return everything but the files as JSON data."""
        return {
            "capture": {
                "file": str(self.path),
                "origin": self.capture.origin.value,
                "note": self.capture.note,
                "system": self.capture.system,
                "machine": self.capture.machine,
                "edgeagent": self.capture.edgeagent_version,
                **_facts(self.capture),
            },
            "device": self.device,
            "board": self.board,
            "cpu": self.cpu,
            "state": self.state.model_dump(mode="json"),
            "warnings": [warning.model_dump(mode="json") for warning in self.warnings],
            "sources": [source.model_dump(mode="json") for source in self.sources],
            "readings": [dataclasses.asdict(reading) for reading in self.readings],
        }

    def sections(self) -> Iterable[Section]:
        """Yield title and rows of name, value and note, as for this machine."""
        from edgeagent.cli.doctor import source_sections, warning_section

        capture = self.capture
        span_s = capture.frame_t_s[-1]
        rows = [
            ("origin", capture.origin.value, capture.note),
            ("frames", str(len(capture.frame_t_s)), f"over {span_s:.1f} s"),
            ("system", f"{capture.system}, {capture.machine}", ""),
            ("board", self.board or "unknown", ""),
            ("processor", self.cpu or "unknown", ""),
            ("device profile", self.device or "none", ""),
            ("power mode", self.state.power_mode or "unknown", ""),
            ("governor", ", ".join(self.state.governors) or "unknown", ""),
        ]
        yield f"Machine of {self.path}", rows
        yield from warning_section(self.warnings)
        yield from source_sections(self.sources, self.readings)


def replay(path: Path) -> Replayed:
    """Load a capture and look at its machine."""
    from edgeagent.cli.diagnosis import device_name
    from edgeagent.cli.sensors import readings
    from edgeagent.meter.capture.file import load_capture
    from edgeagent.meter.capture.replay import Replay
    from edgeagent.meter.discover import discover, not_here
    from edgeagent.meter.host.identity import device_facts
    from edgeagent.meter.host.preflight import preflight
    from edgeagent.meter.host.state import take_host_state

    capture = load_capture(path)
    with Replay(capture) as playing:
        found = discover(playing.pid, playing.tree)
        absent = not_here(found, playing.tree)
        played = playing.play(found.meters)
        facts = device_facts(playing.tree, capture.machine)
        playing.t_s = 0.0

        def go_on(_: float) -> None:
            playing.t_s = capture.frame_t_s[-1]

        state = take_host_state(playing.tree, pid=playing.pid, sleep=go_on)
        root = str(playing.tree.root)
    sources = tuple(
        info.model_copy(
            update={
                "reason": info.reason.replace(root, ""),
                "remedy": info.remedy.replace(root, ""),
            }
        )
        for info in (*found.sources, *absent)
    )
    # The number of cores is asked of the running system, which is not this one.
    state = state.model_copy(update={"cores_online": None, "cores_usable": None})
    return Replayed(
        path=path,
        capture=capture,
        device=device_name(facts),
        board=facts.board or facts.product,
        cpu=facts.cpu,
        state=state,
        warnings=preflight(state),
        sources=sources,
        readings=readings(found.meters, played.samples),
    )
