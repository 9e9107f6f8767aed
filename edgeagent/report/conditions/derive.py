"""From the records and readings of a run to its marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgeagent.record.conditions import ConditionsRecord
from edgeagent.record.run import TaskRecord
from edgeagent.report.conditions.evidence import Findings, Window, windows_of
from edgeagent.report.conditions.model import RunConditions
from edgeagent.report.conditions.processor import (
    judge_busy,
    judge_clock_dropped,
    judge_steal,
    judge_throttled,
)
from edgeagent.report.conditions.surroundings import (
    judge_power,
    judge_settings,
    judge_swapped,
    judge_warmed,
)
from edgeagent.report.sessions import SampleSession


def run_conditions(
    records: Sequence[ConditionsRecord],
    sessions: Sequence[SampleSession],
    tasks: Sequence[TaskRecord],
) -> RunConditions:
    """Derive the marks of a run.

    Args:
        records: The lines of `conditions.jsonl` in order; of a session the last one counts.
        sessions: The readings of the run.
        tasks: Its task runs.
    """
    windows = list(windows_of(sessions, tasks))
    states = {record.session: record for record in records}
    findings = Findings()
    judges: tuple[Callable[[list[Window], Findings], None], ...] = (
        judge_throttled,
        judge_clock_dropped,
        judge_busy,
        judge_steal,
        judge_swapped,
    )
    for judge in judges:
        judge(windows, findings)
    ordered = [states[number] for number in sorted(states)]
    judge_warmed(ordered, windows, findings)
    ac_power = judge_power(ordered, windows, findings)
    judge_settings(ordered, windows, findings)
    touched = {ref for mark in findings.marks for ref in mark.tasks}
    warnings = {warning.id: warning for record in ordered for warning in record.warnings}
    return RunConditions(
        marks=tuple(findings.marks),
        attempts=len(tasks),
        affected=len(touched),
        not_judged=tuple(findings.not_judged),
        warnings=tuple(warnings.values()),
        ac_power=ac_power,
        **findings.figures,
    )
