"""Playing a capture back: the tree of another machine, at a time of our choosing.

::

    with Replay(load_capture(path)) as replay:
        found = discover(replay.pid, replay.tree)
        played = replay.play(found.meters)
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edgeagent.clock import NS_PER_S
from edgeagent.errors import ConfigError, ResourceError
from edgeagent.meter.capture.format import Capture, CapturedFile, Reading
from edgeagent.meter.protocol import Meter, MeterError
from edgeagent.meter.sampler.failures import FailureLog
from edgeagent.meter.tree import SystemTree, read_text
from edgeagent.record.samples import ReadFailure, Sample


@dataclass(frozen=True, slots=True)
class Played:
    """What meters read from a replay.

    Attributes:
        samples: In order of time.
        failures: Readings that gave nothing, told as a sampler would.
    """

    samples: tuple[Sample, ...]
    failures: tuple[ReadFailure, ...]


class Replay:
    """A capture as a system tree, in a temporary folder that is removed at the end.

    Folders, files and links are real, so readers may list and follow them; texts and errors come
    from the capture, those of the moment `t_s`.

    Attributes:
        capture: What is played back.
        tree: What readers of hardware are given.
        t_s: The moment of the replay, in seconds after the first frame; may be set freely.
        pid: The process that captured, whose memory is part of the capture; 0 if it is not.
    """

    def __init__(self, capture: Capture) -> None:
        """Lay out the tree; the capture must come from `load_capture` or from `take_capture`.

        Raises:
            ConfigError: This system has no symbolic links or such file names (Windows).
            ResourceError: The temporary folder cannot be written.
        """
        if os.name != "posix":
            raise ConfigError(
                "Captures hold links and names such as intel-rapl:0 that Windows does not allow; "
                "replay them on Linux or macOS."
            )
        self.capture = capture
        self.t_s = 0.0
        own = capture.links.get("proc/self", "")
        self.pid = int(own) if own.isascii() and own.isdigit() else 0
        self._files = {file.path: file for file in capture.files}
        self._places: dict[Path, CapturedFile | None] = {}
        self._root = Path(os.path.realpath(tempfile.mkdtemp(prefix="edgeagent-replay-")))
        self.tree = SystemTree(self._root, self._read)
        try:
            self._lay_out()
        except OSError as error:
            self.close()
            raise ResourceError(
                f"The capture cannot be laid out in {self._root.parent} "
                f"({error.strerror or error}); free some disk space."
            ) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Replay:
        """Return itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the folder."""
        self.close()

    def close(self) -> None:
        """Remove the folder; idempotent."""
        shutil.rmtree(self._root, ignore_errors=True)

    def play(
        self, meters: Iterable[Meter], times_s: Sequence[float] | None = None, *, start_ns: int = 0
    ) -> Played:
        """Read meters of this tree at moments of the replay, stamped with these moments.

        Args:
            meters: As discovered in `tree`.
            times_s: When to read; by default at every frame.
            start_ns: The time stamp of the first frame.
        """
        chosen = tuple(meters)
        samples: list[Sample] = []
        failures: list[ReadFailure] = []
        log = FailureLog()
        for t_s in self.capture.frame_t_s if times_s is None else times_s:
            self.t_s = t_s
            t_ns = start_ns + round(self.t_s * NS_PER_S)
            for meter in chosen:
                try:
                    sample = meter.read()
                except MeterError as error:
                    source = meter.info.source
                    if failure := log.fail(source, t_ns, error.state, error.reason):
                        failures.append(failure)
                    continue
                log.succeed(sample.source)
                samples.append(sample.model_copy(update={"t_ns": t_ns, "width_ns": 0}))
        return Played(tuple(samples), tuple(failures))

    def _lay_out(self) -> None:
        """Make files and links; a capture that was checked has no file below a link."""
        for file in self.capture.files:
            place = self._root / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            # For readers that do not go through the tree: what the file held at first.
            place.write_bytes(file.readings[0].as_bytes())
        for name, target in self.capture.links.items():
            place = self._root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)

    def _read(self, path: Path) -> str:
        """Return the text of a file at `t_s`; raise the error that reading it gave then."""
        if path not in self._places:
            self._places[path] = self._find(path)
        file = self._places[path]
        if file is None:
            return read_text(path)  # a folder, or a file that the capture lacks: raises
        reading = self._at(file.readings)
        if reading.error:
            number = getattr(errno, reading.error, errno.EIO)
            raise OSError(number, os.strerror(number), str(path))
        if reading.text is None:
            return reading.as_bytes().decode("utf-8", "replace")
        return reading.text

    def _find(self, path: Path) -> CapturedFile | None:
        place = Path(os.path.realpath(path))
        if not place.is_relative_to(self._root):
            raise PermissionError(errno.EACCES, "outside of the replayed tree", str(path))
        return self._files.get(place.relative_to(self._root).as_posix())

    def _at(self, readings: Sequence[Reading]) -> Reading:
        frame = bisect_right(self.capture.frame_t_s, self.t_s) - 1
        index = bisect_right(readings, max(0, frame), key=lambda reading: reading.frame) - 1
        return readings[index]
