"""From a run to its summary: one pass over the tasks of each paradigm, then paired comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeagent.clock import to_seconds
from edgeagent.record.run import ColdRecord, RunConfig, TaskRecord
from edgeagent.report.averages import Figure, by_task, phases_s, repetitions, tokens_per_task
from edgeagent.report.conditions import run_conditions
from edgeagent.report.energy.estimates import estimates_of
from edgeagent.report.energy.note import energy_note
from edgeagent.report.energy.run import EnergyOfRun, energy_of_run
from edgeagent.report.learning import learning_of
from edgeagent.report.load import Run
from edgeagent.report.memory import gpu_peak_bytes, memory_detail
from edgeagent.report.metrics import TaskMetrics, pooled, task_metrics
from edgeagent.report.model import (
    ColdStart,
    Difference,
    Energy,
    EstimatedEnergy,
    Memory,
    ParadigmSummary,
    RelativeQuality,
    RunConditions,
    Summary,
)
from edgeagent.report.quality.outcomes import (
    calls_per_task,
    category_results,
    completion,
    failure_modes,
    solved_by_category,
)
from edgeagent.report.quality.study import composite_z, relative_quality
from edgeagent.report.recommend import recommend
from edgeagent.report.stats import paired_difference, spread, wilson_interval

REFERENCE = "base"
RSS_HIGH_WATER_SOURCE = "process:rss_peak"
_LONG_GAP_NS = 1_000_000_000

# Figures that are compared in pairs: how to read them, and whether more is better.
_COMPARED: Mapping[str, tuple[Figure, bool]] = {
    "solved_rate": (lambda metrics: float(metrics.task.solved), True),
    "e2e_s": (lambda metrics: metrics.e2e_s, False),
    "tokens": (lambda metrics: float(metrics.tokens.tokens_in + metrics.tokens.out), False),
}


def summarize(run: Run) -> Summary:
    """Derive every reported figure of a run.

    The paradigms come in the order of the configuration; those without a finished task are left
    out and mentioned in the notes.
    """
    groups: dict[str, list[TaskMetrics]] = {name: [] for name in run.config.paradigms}
    for task in run.tasks:
        groups.setdefault(task.paradigm, []).append(task_metrics(task, run))
    measured = {name: group for name, group in groups.items() if group}
    reference = REFERENCE if REFERENCE in measured else None
    seed = run.config.seed
    energy, estimates = energy_of_run(run), estimates_of(run)
    by_category = {
        name: solved_by_category(metrics.task for metrics in group)
        for name, group in measured.items()
    }
    composite = composite_z(by_category)
    base = by_category[reference] if reference is not None and len(measured) > 1 else {}
    paradigms = tuple(
        _summarize_paradigm(
            name,
            group,
            run.cold.get(name),
            energy=energy.of_paradigm(name),
            estimate=estimates.get(name),
            differences=_differences(name, measured, energy, reference, seed),
            reference=_tasks(measured[reference])
            if reference is not None and name != reference
            else None,
            relative=relative_quality(by_category[name], base, seed),
            composite=composite.get(name),
            seed=seed,
        )
        for name, group in measured.items()
    )
    totals = energy.of_totals()
    solved = {name: by_task(group, _COMPARED["solved_rate"][0]) for name, group in measured.items()}
    started = sorted(task.started_utc for task in run.tasks)
    return Summary(
        config=run.config,
        started_utc=started[0],
        last_started_utc=started[-1],
        reference=reference,
        recommendation=recommend(paradigms, solved, reference, seed),
        paradigms=paradigms,
        sources=run.sources,
        rss_high_water_bytes=_high_water(run),
        gpu_memory_peak_bytes=gpu_peak_bytes(run.sessions),
        energy_totals=totals,
        conditions=_conditions(run),
        learning=learning_of(run, measured, energy, seed),
        energy_note=energy_note(run.sources, totals, paradigms),
        notes=(*run.notes, *_notes(run, groups)),
    )


def _differences(
    name: str,
    groups: Mapping[str, Sequence[TaskMetrics]],
    energy: EnergyOfRun,
    reference: str | None,
    seed: int,
) -> dict[str, Difference]:
    if reference is None or name == reference:
        return {}
    found = {
        figure_name: paired_difference(
            by_task(groups[name], figure),
            by_task(groups[reference], figure),
            higher_is_better=higher_is_better,
            seed=seed,
        )
        for figure_name, (figure, higher_is_better) in _COMPARED.items()
    }
    # Of repetitions that readings resolve only together, no mean over single ones exists.
    found["energy_j"] = paired_difference(
        energy.by_task(name), energy.by_task(reference), higher_is_better=False, seed=seed
    )
    return {figure_name: value for figure_name, value in found.items() if value is not None}


def _summarize_paradigm(
    name: str,
    group: Sequence[TaskMetrics],
    cold: ColdRecord | None,
    *,
    energy: Sequence[Energy],
    estimate: EstimatedEnergy | None,
    differences: dict[str, Difference],
    reference: Sequence[TaskRecord] | None,
    relative: RelativeQuality | None,
    composite: float | None,
    seed: int,
) -> ParadigmSummary:
    attempts, tasks = len(group), _tasks(group)
    solved = sum(metrics.task.solved for metrics in group)
    rates = by_task(group, _COMPARED["solved_rate"][0])
    completed, unaided = completion(tasks)
    e2e_s = spread([metrics.e2e_s for metrics in group])
    ttft_s = [metrics.ttft_s for metrics in group if metrics.ttft_s is not None]
    return ParadigmSummary(
        paradigm=name,
        tasks=len(rates),
        attempts=attempts,
        solved=solved,
        solved_rate=sum(rates.values()) / len(rates),
        solved_interval=wilson_interval(sum(rates.values()), len(rates)),
        completed_rate=completed.rate,
        completed_interval=completed.interval,
        completed_unaided_rate=unaided.rate,
        completed_unaided_interval=unaided.interval,
        failure_modes=failure_modes(tasks),
        wrong=sum(task.outcome.completed_unaided and not task.solved for task in tasks),
        categories=category_results(tasks, reference, seed),
        relative_quality=relative,
        composite_z=composite,
        e2e_s=e2e_s,
        e2e_s_per_solved_task=e2e_s.mean * attempts / solved if solved else None,
        ttft_s=spread(ttft_s) if ttft_s else None,
        tpot_s=pooled([metrics.tpot_s for metrics in group]),
        prefill_tok_per_s=pooled([metrics.prefill_tok_per_s for metrics in group]),
        decode_tok_per_s=pooled([metrics.decode_tok_per_s for metrics in group]),
        phases_s=phases_s(group),
        tokens_per_task=tokens_per_task(group),
        turns_per_task=sum(task.outcome.turns for task in tasks) / attempts,
        tool_calls_per_task=sum(metrics.tool_calls for metrics in group) / attempts,
        calls_per_task=calls_per_task(tasks),
        repetitions=repetitions(group),
        memory=_memory(group, cold),
        memory_detail=None if cold is None else memory_detail(cold),
        cold_start=_cold_start(cold),
        energy=energy[0] if energy else None,
        energy_others=tuple(energy[1:]),
        energy_estimate=estimate,
        differences=differences,
    )


def _tasks(group: Sequence[TaskMetrics]) -> list[TaskRecord]:
    return [metrics.task for metrics in group]


def _memory(group: Sequence[TaskMetrics], cold: ColdRecord | None) -> Memory:
    """Prefer the process that ran this paradigm alone to the one that held all of them."""
    if cold is not None:
        return Memory(
            alone=True,
            rss_peak_bytes=cold.rss_peak_bytes,
            rss_anon_peak_bytes=cold.rss_anon_bytes,
            rss_file_peak_bytes=cold.rss_file_bytes,
            kv_cache_bytes=cold.kv_cache_bytes,
        )
    return Memory(
        alone=False,
        rss_peak_bytes=_largest(group, lambda metrics: metrics.rss_peak_bytes),
        rss_anon_peak_bytes=_largest(group, lambda metrics: metrics.rss_anon_peak_bytes),
        rss_file_peak_bytes=_largest(group, lambda metrics: metrics.rss_file_peak_bytes),
    )


def _conditions(run: Run) -> RunConditions | None:
    return run_conditions(run.conditions, run.sessions, run.tasks) if run.conditions else None


def _cold_start(cold: ColdRecord | None) -> ColdStart | None:
    if cold is None:
        return None
    return ColdStart(
        load_s=to_seconds(cold.load_ns),
        warm_up_s=to_seconds(cold.warm_up_ns),
        prefix_tokens=cold.prefix_tokens,
    )


def _largest(group: Sequence[TaskMetrics], figure: Figure) -> float | None:
    values = [value for metrics in group if (value := figure(metrics)) is not None]
    return max(values, default=None)


def _high_water(run: Run) -> float | None:
    return max(
        (
            sample.value
            for session in run.sessions
            for sample in session.samples.get(RSS_HIGH_WATER_SOURCE, ())
        ),
        default=None,
    )


def _notes(run: Run, groups: Mapping[str, Sequence[TaskMetrics]]) -> list[str]:
    notes = []
    expected = _expected_attempts(run.config, groups)
    if len(run.tasks) < expected:
        notes.append(
            f"The run is not complete: {len(run.tasks)} of at least {expected} task runs are "
            "finished; the same profile command resumes it."
        )
    # Where paradigms were measured alone, the system's own high-water mark misses no peak.
    if not run.cold and run.largest_gap_ns is not None and run.largest_gap_ns > _LONG_GAP_NS:
        notes.append(
            f"Sampling paused for up to {to_seconds(run.largest_gap_ns):.1f} s; a memory peak in "
            "such a gap was missed."
        )
    if run.sessions and not run.cold and all(m.rss_peak_bytes is None for m in _all(groups)):
        notes.append("No reading of resident memory lies within a task run.")
    if run.config.budget.get("grounding"):
        notes.append(
            "Agents were grounded: tools offered themselves and arguments came from what was said, "
            "so a gain over base is that of the model and the harness together (docs/agents.md)."
        )
    if all(task.repetition == 0 for task in run.tasks):
        notes.append(
            "Every task was run once: the intervals cover the choice of tasks, not how much a "
            "second run on this machine would differ."
        )
    return notes


def _expected_attempts(config: RunConfig, groups: Mapping[str, Sequence[TaskMetrics]]) -> int:
    tasks = {metrics.task.task_id for metrics in _all(groups)}
    return len(tasks) * len(groups) * config.repeat


def _all(groups: Mapping[str, Sequence[TaskMetrics]]) -> list[TaskMetrics]:
    return [metrics for group in groups.values() for metrics in group]
