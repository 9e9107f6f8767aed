"""When enough is measured: minimum repetitions and duration, then a narrow interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.config.protocol import Protocol
from edgeagent.record.repetitions import RepetitionInterval, Timing, repetition_intervals


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether another repetition is needed.

    Attributes:
        enough: Whether measuring is finished.
        reason: One sentence for a person.
    """

    enough: bool
    reason: str


def decide(
    timings: Sequence[Timing], protocol: Protocol, paradigms: Sequence[str], tasks: int
) -> Decision:
    """Decide from everything measured so far, that of interrupted sessions included.

    Args:
        timings: All finished task runs.
        protocol: What was asked for.
        paradigms: Those that are compared.
        tasks: Tasks of a repetition.
    """
    # Each paradigm's own intervals know complete repetitions only relative to what it ran.
    runs = {name: sum(timing.paradigm == name for timing in timings) for name in paradigms}
    repetitions = min(runs.values(), default=0) // max(tasks, 1)
    if repetitions < protocol.repeat:
        return Decision(False, f"{repetitions} of {protocol.repeat} repetitions are measured")
    asks_for_more = protocol.min_duration_s > 0 or protocol.target_ci is not None
    if asks_for_more and repetitions >= protocol.max_repeat:
        missed = protocol.target_ci is not None and _wider(timings, protocol.target_ci, paradigms)
        return Decision(
            True,
            f"the limit of {protocol.max_repeat} repetitions is reached"
            + (f", {missed}" if missed else ""),
        )
    intervals = repetition_intervals(timings)
    shortest_s = min(intervals[name].total_s for name in paradigms)
    if shortest_s < protocol.min_duration_s:
        return Decision(
            False, f"{shortest_s:.0f} of {protocol.min_duration_s:.0f} s per paradigm are measured"
        )
    if protocol.target_ci is not None:
        wider = _wider(timings, protocol.target_ci, paradigms)
        if wider:
            return Decision(False, wider)
        return Decision(True, f"every interval is within ± {100 * protocol.target_ci:.3g} %")
    return Decision(True, f"{repetitions} repetitions are measured")


def _wider(timings: Sequence[Timing], target: float, paradigms: Sequence[str]) -> str:
    """Name the paradigm whose interval is widest if it is wider than wanted, else nothing."""
    intervals = repetition_intervals(timings)
    widest, width = "", 0.0
    for name in paradigms:
        found = _relative(intervals.get(name))
        if found is None:
            return f"{name} has too few repetitions for an interval"
        if found > width:
            widest, width = name, found
    if width <= target:
        return ""
    return f"{widest} is known to ± {100 * width:.2g} % of the wanted ± {100 * target:.2g} %"


def _relative(interval: RepetitionInterval | None) -> float | None:
    return None if interval is None else interval.relative_half_width
