"""The tables of quality as rows of text, shared by all renderers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from edgeagent.record.outcome import FailureMode
from edgeagent.report import format as fmt
from edgeagent.report.model import ParadigmSummary, Summary
from edgeagent.report.row import NONE, Row

_STUDY_MODES = (
    FailureMode.CONTEXT_EXCEEDED,
    FailureMode.NO_DELEGATION,
    FailureMode.DELEGATION_FAILURE,
    FailureMode.TIMEOUT,
    FailureMode.PROTOCOL_VIOLATION,
)
"""The taxonomy of the study; shown also where nothing failed this way."""

_Cell = Callable[[ParadigmSummary], str]


def category_rows(summary: Summary) -> tuple[Row, ...]:
    """Return solved and attempted task runs per category."""
    return tuple(
        _row(summary, fmt.plain(name), partial(_solved, name)) for name in _categories(summary)
    )


def category_detail_rows(summary: Summary) -> tuple[Row, ...]:
    """Return the same with rates, intervals and differences to the reference."""
    rows = []
    versus = f"  against {fmt.plain(summary.reference or '')}"
    for name in _categories(summary):
        rows.append(_row(summary, fmt.plain(name), partial(_detail, name)))
        if summary.reference is not None and len(summary.paradigms) > 1:
            rows.append(_row(summary, versus, partial(_difference, name)))
    return tuple(rows)


def study_rows(summary: Summary) -> tuple[Row, ...]:
    """Return the study's measures of quality; empty where none is defined."""
    paradigms = summary.paradigms
    rows = []
    if any(paradigm.relative_quality is not None for paradigm in paradigms):
        rows.append(_row(summary, "Relative quality (NRQ)", relative_quality))
        rows.append(_row(summary, "  95 % interval", _relative_interval))
        for name in _categories(summary):
            label = f"  {fmt.plain(name)}"
            rows.append(_row(summary, label, partial(_relative_category, name)))
    if any(paradigm.composite_z is not None for paradigm in paradigms):
        rows.append(_row(summary, "Composite Z-score", composite_z))
    return tuple(rows)


def failure_rows(summary: Summary) -> tuple[Row, ...]:
    """Return what became of the task runs that were not solved, in numbers of task runs."""
    paradigms = summary.paradigms
    rows = [
        _row(summary, "Task runs", lambda p: str(p.attempts)),
        _row(summary, "Completed", lambda p: _completed(p, aided=True)),
        _row(summary, "  without fallback", lambda p: _completed(p, aided=False)),
        _row(summary, "  of these not solved", lambda p: _count(p.wrong, p)),
    ]
    seen = {name for paradigm in paradigms for name in paradigm.failure_modes}
    known = [mode.value for mode in FailureMode]
    modes = [
        *(mode for mode in known if mode in seen or mode in _STUDY_MODES),
        *sorted(seen - set(known)),
    ]
    for mode in modes:
        label = fmt.plain(mode).replace("_", " ").capitalize()
        rows.append(_row(summary, label, partial(_failed, mode)))
    rows.append(_row(summary, "Calls per task", lambda p: fmt.number(p.calls_per_task.made)))
    rows.append(_row(summary, "  failed or refused", lambda p: fmt.number(p.calls_per_task.failed)))
    return tuple(rows)


def study_notes(summary: Summary) -> Iterator[str]:
    """Yield what must be known to read the relative quality."""
    for paradigm in summary.paradigms:
        found = paradigm.relative_quality
        if found is not None and found.base_solved_none and paradigm.paradigm != summary.reference:
            yield (
                f"{summary.reference} solved nothing of {', '.join(found.base_solved_none)}: there "
                f"the relative quality is the share that was solved over {found.epsilon:g}, and "
                "it dominates the mean. Compare solved tasks instead."
            )
            return


def relative_quality(paradigm: ParadigmSummary) -> str:
    """Return the normalized relative quality as text."""
    found = paradigm.relative_quality
    return NONE if found is None else f"{found.mean:+.2f}"


def composite_z(paradigm: ParadigmSummary) -> str:
    """Return the composite Z-score as text."""
    return NONE if paradigm.composite_z is None else f"{paradigm.composite_z:+.2f}"


def _categories(summary: Summary) -> list[str]:
    return sorted({name for paradigm in summary.paradigms for name in paradigm.categories})


def _row(summary: Summary, label: str, cell: _Cell) -> Row:
    return Row(label, tuple(cell(paradigm) for paradigm in summary.paradigms))


def _solved(name: str, paradigm: ParadigmSummary) -> str:
    found = paradigm.categories.get(name)
    return NONE if found is None else f"{found.solved}/{found.attempts}"


def _detail(name: str, paradigm: ParadigmSummary) -> str:
    found = paradigm.categories.get(name)
    if found is None:
        return NONE
    interval = fmt.percent_interval(found.solved_interval)
    return f"{found.solved}/{found.attempts}, {fmt.percent(found.solved_rate)} ({interval})"


def _difference(name: str, paradigm: ParadigmSummary) -> str:
    found = paradigm.categories.get(name)
    return fmt.difference(found.difference if found else None, "points", 100)


def _relative_interval(paradigm: ParadigmSummary) -> str:
    found = paradigm.relative_quality
    if found is None or found.interval is None:
        return NONE
    return f"{found.interval.low:+.2f} to {found.interval.high:+.2f}"


def _relative_category(name: str, paradigm: ParadigmSummary) -> str:
    found = paradigm.relative_quality
    value = None if found is None else found.categories.get(name)
    return NONE if value is None else f"{value:+.2f}"


def _completed(paradigm: ParadigmSummary, *, aided: bool) -> str:
    rate, interval = (
        (paradigm.completed_rate, paradigm.completed_interval)
        if aided
        else (paradigm.completed_unaided_rate, paradigm.completed_unaided_interval)
    )
    return f"{fmt.percent(rate)} ({fmt.percent_interval(interval)})"


def _failed(mode: str, paradigm: ParadigmSummary) -> str:
    return _count(paradigm.failure_modes.get(mode, 0), paradigm)


def _count(count: int, paradigm: ParadigmSummary) -> str:
    return f"{count} ({fmt.percent(count / paradigm.attempts)})" if count else "0"
