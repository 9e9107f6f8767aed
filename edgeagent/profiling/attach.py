"""Attaching what an external meter recorded to a run that was measured with load pulses.

Nothing that was measured is touched: the readings go into a file of their own, and attaching the
same recording again writes the same bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgeagent.clock import NS_PER_S, to_seconds
from edgeagent.errors import ConfigError, RunDataError
from edgeagent.meter.external.alignment import Alignment, PulseGroup, align
from edgeagent.meter.external.correlation import Floats
from edgeagent.meter.external.power_csv import PowerSeries, read_power_csv
from edgeagent.record import jsonl
from edgeagent.record.atomic import write_text
from edgeagent.record.external import ALIGNMENT_NAME, AlignmentRecord
from edgeagent.record.pulse import PULSES_NAME, PulseRecord
from edgeagent.record.run import EXTERNAL_NAME, SAMPLES_NAME, TASKS_NAME, SampleBatch
from edgeagent.record.samples import Sample, SampleKind, Scope, SourceInfo

DEFAULT_NAME = "meter"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_TOTALS = {Scope.WALL: "wall", Scope.SYSTEM: "system"}

_MIN_INTERVAL_S = 0.02
"""Faster recordings are averaged to this, which keeps their energy and makes files readable."""

_BATCH_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class AttachedPower:
    """What was attached.

    Attributes:
        source: The meter as the run names it.
        alignments: One entry per session of the run that the recording shows.
        samples: Readings that were attached.
        mean_power_w: Their mean.
        notes: Sentences about sessions that the recording does not show.
    """

    source: SourceInfo
    alignments: tuple[AlignmentRecord, ...]
    samples: int
    mean_power_w: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Recording:
    """A recording as it was read: its file, the file's hash, the readings and their source."""

    path: Path
    sha256: str
    series: PowerSeries
    source: SourceInfo


def attach_power(
    folder: Path,
    recording: Path,
    *,
    name: str = DEFAULT_NAME,
    scope: Scope = Scope.WALL,
    column: str | None = None,
) -> AttachedPower:
    """Find the run's load pulses in a recording and attach its readings to the run.

    An earlier recording of the same name is replaced; those of other meters stay.

    Args:
        folder: The run folder.
        recording: A table with time and power, see `read_power_csv`.
        name: What to call the meter: its readings are of the source `external:<name>`.
        scope: `wall` for a meter in front of the power supply, `system` for one behind it.
        column: Name of the power column, if several may be meant.

    Raises:
        RunDataError: The folder is no run, or was measured without load pulses.
        ConfigError: The recording cannot be read or does not show the pulses, or the name or the
            scope does not fit.
        ResourceError: The folder cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a meter: use up to 32 of a-z, 0-9, hyphen and underscore."
        )
    if scope not in _TOTALS:
        raise ConfigError("An external meter measures wall or system, nothing else.")
    sessions = _sessions(folder)
    source_name = f"external:{name}"
    kept = [
        batch
        for batch in _read(folder / EXTERNAL_NAME, SampleBatch)
        if all(source.source != source_name for source in batch.sources)
    ]
    _refuse_second(kept, _TOTALS[scope], folder)
    series = read_power_csv(recording, column)
    source = _source(source_name, scope, series)
    read = _Recording(recording, _sha256(recording), series, source)
    batches: list[SampleBatch] = []
    records: list[AlignmentRecord] = []
    notes: list[str] = []
    for pulses in sessions:
        try:
            record, samples = _attach_session(folder, pulses, read)
        except ConfigError as error:
            if len(sessions) == 1:
                raise
            notes.append(f"Part {pulses[0].session + 1} of the run: {error}")
            continue
        records.append(record)
        batches.extend(_batches(pulses[0], source, samples))
    if not records:
        raise ConfigError(
            f"{recording} shows no part of the run {folder}: {notes[0].partition(': ')[2]}"
        )
    others = [
        record
        for record in _read(folder / ALIGNMENT_NAME, AlignmentRecord)
        if record.source != source_name
    ]
    _write(folder / ALIGNMENT_NAME, [*others, *records])
    _write(folder / EXTERNAL_NAME, [*kept, *batches])
    values = [sample.value for batch in batches for sample in batch.samples]
    return AttachedPower(source, tuple(records), len(values), float(np.mean(values)), tuple(notes))


def _sessions(folder: Path) -> list[list[PulseRecord]]:
    """Return the groups of pulses of each session, in order of time."""
    if not (folder / TASKS_NAME).is_file():
        raise RunDataError(
            f"{folder} is not a run folder: it has no {TASKS_NAME}; "
            "name a folder that `edgeagent profile` wrote."
        )
    sessions: dict[int, list[PulseRecord]] = {}
    for record in _read(folder / PULSES_NAME, PulseRecord):
        if record.t1_ns <= record.t0_ns or not record.busy:
            raise RunDataError(f"{folder / PULSES_NAME} is damaged: a group of pulses is empty.")
        sessions.setdefault(record.session, []).append(record)
    if not sessions:
        raise RunDataError(
            f"{folder} was measured without load pulses, so no meter's clock can be found; profile "
            "again with --load-pulse while the meter records."
        )
    return [sorted(group, key=lambda record: record.t0_ns) for group in sessions.values()]


def _read(path: Path, record_type: type[jsonl.RecordT]) -> Iterable[jsonl.RecordT]:
    return jsonl.read(path, record_type) if path.is_file() else ()


def _refuse_second(kept: Sequence[SampleBatch], total: str, folder: Path) -> None:
    """Two meters of the same total would be added up, as if each measured a part."""
    for batch in kept:
        for source in batch.sources:
            if source.total == total:
                raise ConfigError(
                    f"{folder} has the {total} meter {source.source} already; import under its "
                    "name to replace it."
                )


def _source(name: str, scope: Scope, series: PowerSeries) -> SourceInfo:
    return SourceInfo(
        source=name,
        quantity="power_w",
        kind=SampleKind.SAMPLED,
        scope=scope,
        resolution=series.resolution_w,
        total=_TOTALS[scope],
        interval_s=max(series.interval_s, _MIN_INTERVAL_S),
    )


def _attach_session(
    folder: Path, pulses: Sequence[PulseRecord], recording: _Recording
) -> tuple[AlignmentRecord, list[Sample]]:
    series, source = recording.series, recording.source
    base_ns = pulses[0].t0_ns
    alignment = align(series.t_s, series.power_w, [_group(record, base_ns) for record in pulses])
    end_ns = pulses[-1].t1_ns if len(pulses) > 1 else _last_reading_ns(folder, pulses[0])
    t_s, power_w = _thin(series)
    run_s = alignment.to_run_s(t_s)
    inside = (run_s >= 0.0) & (run_s <= to_seconds(end_ns - base_ns))
    if not inside.any():
        raise ConfigError("the recording has no reading within it.")
    uncertainty_s = alignment.uncertainty_at_s(_farthest_s(run_s[inside], pulses, alignment))
    width_ns = round(2 * uncertainty_s * NS_PER_S)
    samples = [
        Sample(
            source=source.source,
            t_ns=base_ns + round(float(moment) * NS_PER_S),
            width_ns=width_ns,
            value=float(value),
        )
        for moment, value in zip(run_s[inside], power_w[inside], strict=True)
    ]
    record = AlignmentRecord(
        config=pulses[0].config,
        session=pulses[0].session,
        source=source.source,
        file_name=recording.path.name,
        file_sha256=recording.sha256,
        readings=len(series.t_s),
        missing=series.missing,
        t0_ns=base_ns + round(alignment.offset_s * NS_PER_S),
        scale=alignment.scale,
        skew_ppm=(alignment.scale - 1) * 1e6 if alignment.skew_known else None,
        uncertainty_s=uncertainty_s,
        correlation=alignment.correlation,
        pulse_groups=len(alignment.groups),
    )
    return record, samples


def _group(record: PulseRecord, base_ns: int) -> PulseGroup:
    def moment_s(t_ns: int) -> float:
        return to_seconds(t_ns - base_ns)

    busy = tuple((moment_s(start), moment_s(end)) for start, end in record.busy)
    return PulseGroup(moment_s(record.t0_ns), moment_s(record.t1_ns), busy)


def _last_reading_ns(folder: Path, pulse: PulseRecord) -> int:
    """Return when an interrupted session ended, by the last thing that was read in it."""
    times = (
        sample.t_ns
        for batch in _read(folder / SAMPLES_NAME, SampleBatch)
        if batch.session == pulse.session
        for sample in batch.samples
    )
    return max(times, default=pulse.t1_ns)


def _farthest_s(run_s: Floats, pulses: Sequence[PulseRecord], alignment: Alignment) -> float:
    """Return the longest time between a reading and the pulses that were found."""
    known = [to_seconds(pulses[index].t0_ns - pulses[0].t0_ns) for index in alignment.groups]
    return float(max(known[0] - run_s[0], run_s[-1] - known[-1], 0.0))


def _thin(series: PowerSeries) -> tuple[Floats, Floats]:
    """Return the readings, averaged over short equal times where there are too many."""
    if series.interval_s >= _MIN_INTERVAL_S:
        return series.t_s, series.power_w
    index = np.floor(series.t_s / _MIN_INTERVAL_S).astype(np.int64)
    _, first, counts = np.unique(index, return_index=True, return_counts=True)
    return (
        np.add.reduceat(series.t_s, first) / counts,
        np.add.reduceat(series.power_w, first) / counts,
    )


def _batches(
    pulse: PulseRecord, source: SourceInfo, samples: Sequence[Sample]
) -> Iterable[SampleBatch]:
    for start in range(0, len(samples), _BATCH_SAMPLES):
        part = tuple(samples[start : start + _BATCH_SAMPLES])
        around = samples[max(0, start - 1) : start + _BATCH_SAMPLES]
        gaps_ns = (after.t_ns - before.t_ns for before, after in pairwise(around))
        yield SampleBatch(
            config=pulse.config,
            session=pulse.session,
            sources=(source,),
            samples=part,
            largest_gap_ns=max(gaps_ns, default=0),
        )


def _write(path: Path, records: Iterable[SampleBatch | AlignmentRecord]) -> None:
    write_text(path, "".join(f"{record.model_dump_json()}\n" for record in records))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
