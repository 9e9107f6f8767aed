"""The readings of one process of a run, from all files that hold some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgeagent.record.baseline import BaselineRecord
from edgeagent.record.energy.readings import by_source
from edgeagent.record.run import SampleBatch
from edgeagent.record.samples import ReadFailure, Sample, SourceInfo


@dataclass(frozen=True, slots=True)
class SampleSession:
    """What was read during one process of a run.

    Readings of different sessions are never joined: between them a counter may have been reset
    and, after a reboot, the monotonic clock too.

    Attributes:
        number: Number of the process within the run.
        sources: Every source that was tried, with its last state.
        samples: Readings per source in order of time.
        failures: Readings that failed, per source.
        window_ns: First and last moment that the device itself read something, `None` if it never
            did. A meter outside may have recorded for longer than the session lasted.
        baselines: The windows of rest.
    """

    number: int
    sources: tuple[SourceInfo, ...]
    samples: Mapping[str, Sequence[Sample]]
    failures: Mapping[str, Sequence[ReadFailure]]
    window_ns: tuple[int, int] | None
    baselines: tuple[BaselineRecord, ...] = ()

    def covers(self, t0_ns: int, t1_ns: int) -> bool:
        """Whether any reading of this session is from within the interval or both sides of it."""
        return (
            self.window_ns is not None and self.window_ns[0] <= t1_ns and self.window_ns[1] >= t0_ns
        )


def make_sessions(
    device: Iterable[SampleBatch],
    external: Iterable[SampleBatch],
    baselines: Iterable[BaselineRecord],
) -> tuple[SampleSession, ...]:
    """Group batches of all files by session.

    Args:
        device: What the device read of itself, by the sampler and at the edges of spans.
        external: Readings of meters outside it, on its clock.
        baselines: All baselines of the run.
    """
    own, all_batches = _by_session(device), defaultdict(list)
    for batches in (own, _by_session(external)):
        for number, group in batches.items():
            all_batches[number].extend(group)
    rests = defaultdict(list)
    for baseline in baselines:
        rests[baseline.session].append(baseline)
    return tuple(
        _session(number, group, own.get(number) or group, rests[number])
        for number, group in sorted(all_batches.items())
    )


def session_of(sessions: Sequence[SampleSession], t0_ns: int, t1_ns: int) -> SampleSession | None:
    """Return the one session whose readings cover the window.

    `None` without any, and also with several: the monotonic clock restarts with the machine, so
    after a reboot two sessions can claim the same window, and guessing would be inventing.
    """
    covering = [session for session in sessions if session.covers(t0_ns, t1_ns)]
    return covering[0] if len(covering) == 1 else None


def last_states(batches: Iterable[SampleBatch]) -> tuple[SourceInfo, ...]:
    """Return every source with its state in the last batch that names it."""
    states = {info.source: info for batch in batches for info in batch.sources}
    return tuple(states.values())


def _by_session(batches: Iterable[SampleBatch]) -> dict[int, list[SampleBatch]]:
    grouped: dict[int, list[SampleBatch]] = defaultdict(list)
    for batch in batches:
        grouped[batch.session].append(batch)
    return grouped


def _session(
    number: int,
    batches: Sequence[SampleBatch],
    own: Sequence[SampleBatch],
    baselines: Sequence[BaselineRecord],
) -> SampleSession:
    failures: dict[str, list[ReadFailure]] = defaultdict(list)
    for batch in batches:
        for failure in batch.failures:
            failures[failure.source].append(failure)
    times = [sample.t_ns for batch in own for sample in batch.samples]
    return SampleSession(
        number=number,
        sources=last_states(batches),
        samples=by_source(sample for batch in batches for sample in batch.samples),
        failures=dict(failures),
        window_ns=(min(times), max(times)) if times else None,
        baselines=tuple(baselines),
    )
