"""Why energy is missing, in sentences with a remedy."""

from __future__ import annotations

from collections.abc import Sequence

from edgeagent.record.energy import Invalid
from edgeagent.record.energy.totals import ENERGY_QUANTITY, POWER_QUANTITY
from edgeagent.record.samples import Scope, SourceInfo, SourceState
from edgeagent.report.energy.model import TotalEnergy
from edgeagent.report.model import ParadigmSummary


def energy_note(
    sources: Sequence[SourceInfo],
    totals: Sequence[TotalEnergy],
    paradigms: Sequence[ParadigmSummary],
) -> str:
    """Say why there is no energy figure, and what would give one; empty if all was measured.

    Args:
        sources: Every source that was tried.
        totals: The totals, the headline first.
        paradigms: With their energy by the headline total.
    """
    headline = totals[0] if totals else None
    attempts = sum(paradigm.attempts for paradigm in paradigms)
    if headline is not None and headline.attempts == attempts:
        coarse = [found.paradigm for found in paradigms if found.energy and found.energy.note]
        return _too_coarse(headline, coarse) if coarse else ""
    if headline is not None and headline.attempts:
        return (
            f"Energy was measured for {headline.attempts} of {attempts} task runs "
            f"({headline.total}); the others are left out: {unknown_runs(headline)}."
        )
    return " ".join(["Energy was not measured.", *_reasons(sources, headline)])


def _too_coarse(headline: TotalEnergy, paradigms: Sequence[str]) -> str:
    return (
        f"The readings of {', '.join(headline.sources)} are too coarse for the task runs of "
        f"{', '.join(paradigms)}; longer tasks or more repetitions help."
    )


def unknown_runs(total: TotalEnergy) -> str:
    """Return how many task runs a total does not know, and why."""
    return ", ".join(
        f"{Invalid(reason).sentence} ({count} {'task runs' if count > 1 else 'task run'})"
        for reason, count in total.unknown.items()
    )


def _reasons(sources: Sequence[SourceInfo], headline: TotalEnergy | None) -> list[str]:
    tried = [info for info in sources if info.quantity in (ENERGY_QUANTITY, POWER_QUANTITY)]
    packages = [info for info in tried if info.scope is Scope.PACKAGE]
    reasons = [
        " ".join(part for part in (f"{info.source}: {info.reason}", info.remedy) if part)
        for info in packages or tried
        if info.state is not SourceState.OK
    ]
    if reasons:
        return reasons
    if headline is not None:
        return [f"Of every task run, {unknown_runs(headline)}."]
    if any(info.state is SourceState.OK for info in tried):
        return ["The readings cover no task run."]
    return ["No source of energy or power was found."]
