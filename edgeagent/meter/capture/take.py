"""Taking a capture: an allow-listed, scrubbed copy of the sensor tree, over a few seconds.

It needs no privileges: a file that may not be read is recorded with its error, which is what a
reader of that machine has to cope with.
"""

from __future__ import annotations

import errno
import platform
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent import __version__
from edgeagent.clock import now_ns, to_seconds
from edgeagent.errors import ConfigError
from edgeagent.meter.capture.allow import Rule, rules
from edgeagent.meter.capture.format import (
    MAX_FILES,
    MAX_FRAMES,
    MAX_TEXT_CHARS,
    MAX_TOTAL_CHARS,
    Capture,
    CapturedFile,
    Origin,
    Reading,
)
from edgeagent.meter.capture.scrub import Scrubber
from edgeagent.meter.capture.walk import Walk
from edgeagent.meter.tree import THIS_MACHINE, SystemTree

FRAME_INTERVAL_S = 0.5

OnFrame = Callable[[int, int], None]


@dataclass(slots=True)
class _File:
    """A file that is being captured."""

    path: Path
    rule: Rule
    readings: list[Reading] = field(default_factory=list)
    read_us: int = 0


def take_capture(
    tree: SystemTree = THIS_MACHINE,
    *,
    duration_s: float = 5.0,
    interval_s: float = FRAME_INTERVAL_S,
    scrubber: Scrubber | None = None,
    origin: Origin = Origin.CAPTURED,
    note: str = "",
    on_frame: OnFrame = lambda _done, _total: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Capture:
    """Read everything once and what moves several times.

    Args:
        tree: The system's files.
        duration_s: How long to go on reading what moves; 0 reads once.
        interval_s: Time between two frames.
        scrubber: Removes what identifies; by default this machine's and user's names too.
        origin: `captured` for a real machine; tests say what they made up.
        note: Kept in the capture.
        on_frame: Told the number of frames read and of all frames.
        sleep: Waits for the next frame.

    Raises:
        ConfigError: There is no /sys or /proc, as on macOS and Windows.
    """
    if not (tree.sys.is_dir() or tree.proc.is_dir()):
        raise ConfigError(
            "A capture copies /sys and /proc, which only Linux has; send the output of "
            "`edgeagent doctor --json` instead."
        )
    scrubber = scrubber or Scrubber()
    walk, taken = Walk(tree.root), _Taken(tree, scrubber)
    for rule in rules(tree):
        for name in rule.names:
            for path in walk.files(rule.folder, name):
                taken.add(path, walk.below_root(path), rule)
    frames = min(MAX_FRAMES, 1 + max(0, round(duration_s / interval_s)))
    began_ns = now_ns()
    times_s: list[float] = []
    for frame in range(frames):
        wait_s = frame * interval_s - to_seconds(now_ns() - began_ns)
        if frame and wait_s > 0:
            sleep(wait_s)
        times_s.append(round(to_seconds(now_ns() - began_ns), 4))
        taken.read(frame)
        on_frame(frame + 1, frames)
    links = {scrubber.path(path): scrubber.path(target) for path, target in walk.links.items()}
    return Capture(
        origin=origin,
        note=note,
        edgeagent_version=__version__,
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        frame_t_s=tuple(times_s),
        links=dict(sorted(links.items())),
        files=taken.files(),
        left_out=taken.left_out,
        removed=dict(sorted(scrubber.removed.items())),
    )


class _Taken:
    """The files of a capture and what they gave so far, within the limits of the format."""

    def __init__(self, tree: SystemTree, scrubber: Scrubber) -> None:
        self._tree = tree
        self._scrubber = scrubber
        self._files: dict[str, _File] = {}
        self._chars = 0
        self.left_out: dict[str, str] = {}

    def add(self, path: Path, name: str, rule: Rule) -> None:
        """Take a file into the capture, once, under a name without what identifies."""
        name = self._scrubber.path(name)
        if name in self._files:
            return
        if self._scrubber.denies(path.name):
            self.left_out[name] = "its name says that it identifies the device"
        elif rule.live and _sleeps(path, self._tree):
            self.left_out[name] = "its device is suspended, and reading would wake it"
        elif len(self._files) >= MAX_FILES:
            self.left_out[name] = "too many files"
        else:
            self._files[name] = _File(path, rule)

    def read(self, frame: int) -> None:
        """Read everything in frame 0, and what moves in the others."""
        for name, file in self._files.items():
            if frame == 0 or file.rule.live:
                self._read(name, file, frame)

    def files(self) -> tuple[CapturedFile, ...]:
        """Return the files that gave something, an error included."""
        return tuple(
            CapturedFile(path=name, readings=tuple(file.readings), read_us=file.read_us)
            for name, file in sorted(self._files.items())
            if file.readings
        )

    def _read(self, name: str, file: _File, frame: int) -> None:
        t0_ns = now_ns()
        try:
            if file.rule.is_binary:
                reading = Reading(frame=frame, base64=b64encode(file.path.read_bytes()).decode())
            else:
                reading = Reading(frame=frame, text=self._tree.read(file.path))
        except OSError as failure:
            error = errno.errorcode.get(failure.errno or 0, "EIO")
            reading = Reading(frame=frame, error=error)
        file.read_us = max(file.read_us, (now_ns() - t0_ns) // 1000)
        if reading.text is not None:
            text = self._scrubber.text(_kept(reading.text, file.rule.lines))
            reading = reading.model_copy(update={"text": text})
        last = file.readings[-1] if file.readings else None
        if last is not None and last.model_copy(update={"frame": frame}) == reading:
            return
        size = len(reading.text or reading.base64)
        if size > MAX_TEXT_CHARS:
            self.left_out[name] = f"longer than {MAX_TEXT_CHARS >> 10} KiB"
        elif self._chars + size > MAX_TOTAL_CHARS:
            self.left_out[name] = "the capture is full"
        else:
            self._chars += size
            file.readings.append(reading)


def _sleeps(path: Path, tree: SystemTree) -> bool:
    """Tell whether the device of a file is suspended (Linux `ABI/testing/sysfs-devices-power`)."""
    folders = (path.parent, path.parent / "device")
    return any(tree.text(folder / "power" / "runtime_status") == "suspended" for folder in folders)


def _kept(text: str, beginnings: tuple[str, ...]) -> str:
    """Return the lines that may be kept."""
    if not beginnings:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith(beginnings))
