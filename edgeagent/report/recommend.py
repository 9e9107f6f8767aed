"""Which paradigm to deploy, said no more firmly than the run supports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edgeagent.report.model import Difference, ParadigmSummary, Recommendation, Verdict
from edgeagent.report.stats import paired_difference


def recommend(
    paradigms: Sequence[ParadigmSummary],
    solved_by_task: Mapping[str, Mapping[str, float]],
    reference: str | None,
    seed: int = 0,
) -> Recommendation:
    """Choose a paradigm by solved tasks first and seconds per solved task second.

    A paradigm must beat the reference beyond noise to replace it, because the reference is the
    simplest. Among those that do, the one that solves most competes with those that cannot be told
    apart from it, and the fewest seconds per solved task decide. Joules are said where they were
    measured, by the headline total; estimates never are.

    Args:
        paradigms: Their summaries.
        solved_by_task: Per paradigm the share of solved repetitions of each task.
        reference: The paradigm to beat, `None` if it was not run.
        seed: Seed of the bootstrap.
    """
    if len(paradigms) == 1:
        return Recommendation(
            paradigm=None,
            reason=f"Only {paradigms[0].paradigm} was run, so there is nothing to compare.",
        )
    if not any(paradigm.solved for paradigm in paradigms):
        return Recommendation(
            paradigm=None,
            reason="No paradigm solved any task; a larger or less quantized model is needed.",
        )
    by_name = {paradigm.paradigm: paradigm for paradigm in paradigms}
    if reference is None:
        return Recommendation(
            paradigm=None, reason="The base model was not run, so no gain over it can be shown."
        )
    base = by_name[reference]
    better = [
        paradigm
        for paradigm in paradigms
        if _verdict(paradigm.differences.get("solved_rate")) is Verdict.BETTER
    ]
    if not better:
        return Recommendation(paradigm=reference, reason=_keep_base(base, paradigms))
    best = max(better, key=lambda paradigm: paradigm.solved_rate)
    rivals = [
        paradigm
        for paradigm in better
        if paradigm is best
        or _verdict(_compare(solved_by_task, paradigm, best, seed)) is not Verdict.WORSE
    ]
    chosen = min(rivals, key=_seconds_per_solved)
    others = [paradigm for paradigm in rivals if paradigm is not chosen]
    return Recommendation(paradigm=chosen.paradigm, reason=_take(chosen, base, others))


def _compare(
    solved_by_task: Mapping[str, Mapping[str, float]],
    paradigm: ParadigmSummary,
    other: ParadigmSummary,
    seed: int,
) -> Difference | None:
    return paired_difference(
        solved_by_task[paradigm.paradigm],
        solved_by_task[other.paradigm],
        higher_is_better=True,
        seed=seed,
    )


def _verdict(difference: Difference | None) -> Verdict:
    return Verdict.NOT_DISTINGUISHABLE if difference is None else difference.verdict


def _take(chosen: ParadigmSummary, base: ParadigmSummary, rivals: Sequence[ParadigmSummary]) -> str:
    difference = chosen.differences["solved_rate"]
    interval = difference.interval
    between = (
        f", 95 % interval {100 * interval.low:+.0f} to {100 * interval.high:+.0f}"
        if interval
        else ""
    )
    text = (
        f"Deploy {chosen.paradigm}: it solves {_share(chosen)}, {base.paradigm} {_share(base)} "
        f"({100 * difference.mean:+.0f} points{between}), at "
        f"{_times(chosen.e2e_s.mean, base.e2e_s.mean)} seconds{_joules(chosen, base)} per task."
    )
    for other in rivals:
        cost = _times(_seconds_per_solved(other), _seconds_per_solved(chosen))
        text += (
            f" {other.paradigm} ({_share(other)}) cannot be told apart from it by solved tasks "
            f"and takes {cost} seconds{_joules_per_solved(other, chosen)} per solved task."
        )
    return text


def _joules(paradigm: ParadigmSummary, other: ParadigmSummary) -> str:
    """Return the ratio of measured joules per task as a part of a sentence, else nothing."""
    if paradigm.energy is None or other.energy is None:
        return ""
    return _ratio(paradigm.energy.energy_j_per_task, other.energy.energy_j_per_task)


def _joules_per_solved(paradigm: ParadigmSummary, other: ParadigmSummary) -> str:
    if paradigm.energy is None or other.energy is None:
        return ""
    mine, theirs = (p.energy_j_per_solved_task for p in (paradigm.energy, other.energy))
    return _ratio(mine, theirs)


def _ratio(value_j: float | None, other_j: float | None) -> str:
    if value_j is None or other_j is None or other_j <= 0:
        return ""
    return f" and {_times(value_j, other_j)} joules"


def _seconds_per_solved(paradigm: ParadigmSummary) -> float:
    seconds = paradigm.e2e_s_per_solved_task
    return math.inf if seconds is None else seconds


def _times(value: float, reference: float) -> str:
    """Return a ratio in words, with the bare value where there is nothing to divide by."""
    return f"{value / reference:.1f} times the" if reference > 0 else f"{value:.3g}"


def _keep_base(base: ParadigmSummary, paradigms: Sequence[ParadigmSummary]) -> str:
    others = ", ".join(
        f"{paradigm.paradigm} {_share(paradigm)}" for paradigm in paradigms if paradigm is not base
    )
    return (
        f"Deploy {base.paradigm} ({_share(base)}): no other paradigm solves more tasks beyond "
        f"noise ({others}), and it is the simplest."
    )


def _share(paradigm: ParadigmSummary) -> str:
    return f"{paradigm.solved}/{paradigm.attempts}"
