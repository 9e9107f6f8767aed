"""Judging what is around the processor: swap, heat, power supply and settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgeagent.record.conditions import ConditionsRecord, HostState
from edgeagent.report.conditions.evidence import Findings, Window, count_of, growth, unknown
from edgeagent.report.conditions.model import Mark, TaskRef

WARMED_C = 15.0
"""A rise that is worth a sentence: cooler task runs are not comparable with warmer ones."""

SWAPPED_IN_BYTES = 1 << 20
"""Pages that came back from swap during a task run."""

_DEGREE = "\N{DEGREE SIGN}C"


def judge_swapped(windows: list[Window], findings: Findings) -> None:
    """Look for memory of this process in swap, and for pages of anybody that came back."""
    touched, most, told = [], 0.0, False
    for window in windows:
        own = [sample.value for sample in window.around("process:swap")]
        back = window.around("system:swapped_in")
        told = told or bool(own) or len(back) > 1
        most = max([most, *own])
        if any(own) or growth(back) >= SWAPPED_IN_BYTES:
            touched.append(window.ref)
    if not told:
        findings.not_judged.append(unknown("whether memory was swapped", windows, "process:swap"))
    if touched:
        size = f" (up to {most / 1e6:,.0f} MB of this process)" if most else ""
        findings.marks.append(
            Mark(
                id="swapped",
                sentence=f"Memory was swapped{size} during {count_of(touched, windows)}.",
                tasks=tuple(touched),
            )
        )


def judge_warmed(
    records: Sequence[ConditionsRecord], windows: list[Window], findings: Findings
) -> None:
    """Compare the temperature before the first task with the highest during one."""
    readings = [s.value for window in windows for s in window.within("cpu:temperature")]
    before = [r.before.temperature_c for r in records if r.before.temperature_c is not None]
    if not readings:
        what = "how warm the processor became"
        findings.not_judged.append(unknown(what, windows, "cpu:temperature"))
        return
    start_c, max_c = (before or readings)[0], max(readings)
    findings.figures["temperature_start_c"] = start_c
    findings.figures["temperature_max_c"] = max_c
    if max_c - start_c < WARMED_C:
        return
    limits = [r.before.temperature_limit_c for r in records if r.before.temperature_limit_c]
    limit = f", and it slows down from {limits[0]:.0f} {_DEGREE}" if limits else ""
    findings.marks.append(
        Mark(
            id="warmed",
            sentence=f"The processor warmed from {start_c:.0f} to {max_c:.0f} {_DEGREE}{limit}.",
        )
    )


def judge_power(
    records: Sequence[ConditionsRecord], windows: list[Window], findings: Findings
) -> bool | None:
    """Return where the power came from, and mark a change within or between processes."""
    known = {
        record.session: values
        for record in records
        if (values := {state.ac_power for state in _states(record)} - {None})
    }
    if not known:
        return None
    kinds = set().union(*known.values())
    if len(kinds) == 1:
        return kinds.pop()
    first = next(iter(known.values()))
    changed = {number for number, values in known.items() if len(values) > 1 or values != first}
    findings.marks.append(
        Mark(
            id="power_changed",
            sentence="A part of the run was on mains power and a part on the battery.",
            tasks=_in_sessions(windows, changed),
        )
    )
    return None


def judge_settings(
    records: Sequence[ConditionsRecord], windows: list[Window], findings: Findings
) -> None:
    """Mark a change of governor, profile or power mode."""
    if not records:
        return
    first = _setting(records[0].before)
    changed = {
        record.session
        for record in records
        if any(_setting(state) != first for state in _states(record))
    }
    if changed:
        findings.marks.append(
            Mark(
                id="settings_changed",
                sentence="Governor, power profile or power mode changed during the run.",
                tasks=_in_sessions(windows, changed),
            )
        )


def _setting(state: HostState) -> tuple[object, ...]:
    return (
        state.governors,
        state.energy_preferences,
        state.platform_profile,
        state.power_mode,
        state.clocks_locked,
        state.cpu_limit,
    )


def _states(record: ConditionsRecord) -> Iterator[HostState]:
    yield record.before
    if record.after is not None:
        yield record.after


def _in_sessions(windows: Iterable[Window], numbers: set[int]) -> tuple[TaskRef, ...]:
    return tuple(window.ref for window in windows if window.session.number in numbers)
