"""The trade-off table as rows of text, shared by all renderers."""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.report import format as fmt
from edgeagent.report.energy.rows import estimate, joules, net, per_solved
from edgeagent.report.memory import memory_rows
from edgeagent.report.model import ParadigmSummary, Summary
from edgeagent.report.quality.rows import composite_z, relative_quality
from edgeagent.report.row import NONE, Row


def tradeoff_rows(summary: Summary) -> tuple[Row, ...]:
    """Return the trade-off table, one row per figure, one cell per paradigm."""
    rows: list[Row] = []

    def add(label: str, cell: Callable[[ParadigmSummary], str], *, section: bool = False) -> None:
        cells = tuple(cell(paradigm) for paradigm in summary.paradigms)
        rows.append(Row(label, cells, section))

    def add_difference(label: str, figure: str, unit: str, scale: float = 1.0) -> None:
        if summary.reference is not None and len(summary.paradigms) > 1:
            add(label, lambda p: fmt.difference(p.differences.get(figure), unit, scale))

    versus = f"  against {fmt.plain(summary.reference or '')}"
    add("Solved", lambda p: f"{p.solved}/{p.attempts} ({fmt.percent(p.solved_rate)})")
    add("  95 % interval", lambda p: fmt.percent_interval(p.solved_interval))
    add_difference(versus, "solved_rate", "points", 100)
    if any(p.relative_quality is not None for p in summary.paradigms):
        add("Relative quality (NRQ)", relative_quality)
    if any(p.composite_z is not None for p in summary.paradigms):
        add("Composite Z-score", composite_z)
    add("Completed", lambda p: fmt.percent(p.completed_rate))
    add("  without fallback", lambda p: fmt.percent(p.completed_unaided_rate))
    add("Time per task", lambda p: fmt.seconds(p.e2e_s.mean), section=True)
    add("  median (quartiles), s", _quartiles)
    if any(p.repetitions and p.repetitions.count > 1 for p in summary.paradigms):
        add("  repetitions agree", _repetitions)
    add_difference(versus, "e2e_s", "s")
    add("  prefill, decode", lambda p: _pair(p.phases_s.prefill, p.phases_s.decode))
    add("  tools, overhead", lambda p: _pair(p.phases_s.tool, p.phases_s.overhead))
    add("Time per solved task", lambda p: _per_solved(p, p.e2e_s_per_solved_task))
    add("TTFT, median", lambda p: fmt.seconds(p.ttft_s.median if p.ttft_s else None), section=True)
    add("TPOT", lambda p: fmt.seconds(p.tpot_s))
    add("Prefill", lambda p: fmt.quantity(p.prefill_tok_per_s, "tok/s"))
    add("Decode", lambda p: fmt.quantity(p.decode_tok_per_s, "tok/s"))
    add("Tokens in per task", lambda p: fmt.number(p.tokens_per_task.tokens_in), section=True)
    add("  cached", lambda p: fmt.number(p.tokens_per_task.cached))
    add("  prefilled", lambda p: fmt.number(p.tokens_per_task.prefilled))
    add("Tokens out per task", lambda p: fmt.number(p.tokens_per_task.out))
    add("  forced", lambda p: fmt.number(p.tokens_per_task.forced))
    add("  decoded", lambda p: fmt.number(p.tokens_per_task.decoded))
    add_difference(f"In and out{versus[1:]}", "tokens", "tokens")
    add("Model turns per task", lambda p: fmt.number(p.turns_per_task))
    add("Tool calls per task", lambda p: fmt.number(p.tool_calls_per_task))
    if any(p.calls_per_task.failed for p in summary.paradigms):
        add("  failed or refused", lambda p: fmt.number(p.calls_per_task.failed))
    rows += _memory_rows(summary)
    rows += _energy_rows(summary, versus)
    add("Failures", _failures, section=True)
    return tuple(rows)


def _quartiles(paradigm: ParadigmSummary) -> str:
    spread = paradigm.e2e_s
    quartiles = f"{fmt.number(spread.p25)}{NONE}{fmt.number(spread.p75)}"
    return f"{fmt.number(spread.median)} ({quartiles})"


def _repetitions(paradigm: ParadigmSummary) -> str:
    found = paradigm.repetitions
    if found is None or found.half_width_s is None:
        return NONE
    width = found.half_width_s / paradigm.e2e_s.mean if paradigm.e2e_s.mean else 0.0
    return f"\N{PLUS-MINUS SIGN} {100 * width:.2g} % ({found.count} times)"


def _predicted(paradigm: ParadigmSummary) -> str:
    detail = paradigm.memory_detail
    if detail is None or detail.predicted is None or detail.predicted_ratio is None:
        return NONE
    off = 100 * (detail.predicted_ratio - 1)
    return f"{fmt.megabytes(detail.predicted.rss_peak_bytes)} ({off:+.0f} %)"


def memory_table(summary: Summary) -> tuple[Row, ...]:
    """Return memory by phase and by kind; empty where no paradigm was measured alone."""
    details = [paradigm.memory_detail for paradigm in summary.paradigms]
    return tuple(
        Row(label.strip(), cells) for label, cells in memory_rows(details, megabytes=fmt.megabytes)
    )


def _pair(first_s: float, second_s: float) -> str:
    return f"{fmt.seconds(first_s)}, {fmt.seconds(second_s)}"


def _prefixes(paradigm: ParadigmSummary) -> str:
    cold = paradigm.cold_start
    if cold is None:
        return fmt.NOT_MEASURED
    return f"{fmt.seconds(cold.warm_up_s)} ({cold.prefix_tokens} tokens)"


def _per_solved(paradigm: ParadigmSummary, value_s: float | None) -> str:
    return fmt.seconds(value_s) if paradigm.solved else "none solved"


def _memory_rows(summary: Summary) -> list[Row]:
    """Return the few memory figures of the trade-off, and what a cold start costs."""
    rows: list[Row] = []

    def add(label: str, cell: Callable[[ParadigmSummary], str], *, section: bool = False) -> None:
        cells = tuple(cell(paradigm) for paradigm in summary.paradigms)
        rows.append(Row(label, cells, section))

    alone = any(p.memory.alone for p in summary.paradigms)
    label = "Peak RSS, alone" if alone else "Peak RSS, all loaded"
    add(label, lambda p: fmt.megabytes(p.memory.rss_peak_bytes), section=True)
    if any(p.memory.rss_anon_peak_bytes is not None for p in summary.paradigms):
        add("  anonymous", lambda p: fmt.megabytes(p.memory.rss_anon_peak_bytes))
        add("  file-backed", lambda p: fmt.megabytes(p.memory.rss_file_peak_bytes))
    if alone:
        add("  KV caches, computed", lambda p: fmt.megabytes(p.memory.kv_cache_bytes))
    if any(p.memory_detail and p.memory_detail.predicted for p in summary.paradigms):
        add("  predicted", _predicted)
    if any(p.cold_start is not None for p in summary.paradigms):
        add("Load", lambda p: fmt.seconds(p.cold_start.load_s if p.cold_start else None))
        add("Prefixes, once", _prefixes)
    return rows


def _energy_rows(summary: Summary, versus: str) -> list[Row]:
    """Return the few energy figures of the trade-off; `edgeagent.report.energy.rows` has all."""
    paradigms = summary.paradigms

    def row(label: str, cell: Callable[[ParadigmSummary], str], *, section: bool = False) -> Row:
        return Row(label, tuple(cell(paradigm) for paradigm in paradigms), section)

    total = f", {fmt.plain(summary.energy_totals[0].total)}" if summary.energy_totals else ""
    rows = [row(f"Energy per task{total}", _joules, section=True)]
    if any(p.energy is not None for p in paradigms):
        rows.append(row("  per solved task", per_solved))
        if summary.reference is not None and len(paradigms) > 1:
            rows.append(row(versus, lambda p: fmt.difference(p.differences.get("energy_j"), "J")))
        rows.append(row("  without idle power", _net))
    if any(p.energy_estimate is not None for p in paradigms):
        rows.append(row("Energy per task, ESTIMATED", estimate))
    return rows


def _net(paradigm: ParadigmSummary) -> str:
    return fmt.NOT_MEASURED if paradigm.energy is None else net(paradigm.energy)


def _joules(paradigm: ParadigmSummary) -> str:
    energy = paradigm.energy
    return fmt.NOT_MEASURED if energy is None else joules(energy.energy_j_per_task, energy.note)


def _failures(paradigm: ParadigmSummary) -> str:
    modes = [f"{name.replace('_', ' ')} {count}" for name, count in paradigm.failure_modes.items()]
    return ", ".join(modes) or "none"
