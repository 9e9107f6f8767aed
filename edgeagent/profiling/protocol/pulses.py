"""Load pulses of a run: made, shown and recorded."""

from __future__ import annotations

from pathlib import Path

from edgeagent.meter.external.load_pulse import Position, make_pulses
from edgeagent.profiling.progress import OnProfileProgress, ProfileProgress
from edgeagent.record import jsonl
from edgeagent.record.pulse import PULSES_NAME, PulseRecord
from edgeagent.record.run import RunConfig


def record_pulses(
    folder: Path,
    config: RunConfig,
    session: int,
    position: Position,
    on_progress: OnProfileProgress,
) -> None:
    """Load the processor in the pattern of the start or the end, and write down when.

    Args:
        folder: The run folder; a line is appended to its `pulses.jsonl`.
        config: Configuration of the run.
        session: Number of the process within the run.
        position: `start` before the first task, `end` behind the last one.
        on_progress: Told how far it is.

    Raises:
        ResourceError: The line cannot be written.
    """

    def show(done_s: float, total_s: float) -> None:
        on_progress(ProfileProgress("load pulses", position, round(done_s), round(total_s)))

    pulses = make_pulses(position, on_progress=show)
    record = PulseRecord(
        config=config,
        session=session,
        position=position,
        t0_ns=pulses.t0_ns,
        t1_ns=pulses.t1_ns,
        busy=pulses.busy,
        workers=pulses.workers,
    )
    jsonl.append(folder / PULSES_NAME, record)
