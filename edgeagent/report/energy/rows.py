"""The tables of energy as rows of text, shared by all renderers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from edgeagent.record.energy import Invalid
from edgeagent.record.energy.resolution import INSUFFICIENT
from edgeagent.report import format as fmt
from edgeagent.report.energy.model import Energy, PartEnergy, TotalEnergy
from edgeagent.report.model import Interval, ParadigmSummary, Summary
from edgeagent.report.row import NONE, Row

_PHASES = ("prefill", "decode", "tool", "overhead")
_TOO_COARSE = "insufficient resolution"

TOTAL_COLUMNS = ("Total", "Sources", "Run", "Task runs", "Baselines", "Between", "Idle power")


def energy_rows(summary: Summary) -> tuple[Row, ...]:
    """Return energy per paradigm by the headline total, then other totals and estimates apart."""
    paradigms = summary.paradigms
    measured = [found.energy for found in paradigms if found.energy is not None]
    rows: list[Row] = []

    def add(label: str, cell: Callable[[ParadigmSummary], str], *, section: bool = False) -> None:
        rows.append(Row(label, tuple(cell(paradigm) for paradigm in paradigms), section))

    def add_energy(label: str, cell: Callable[[Energy], str], *, section: bool = False) -> None:
        add(
            label,
            lambda p: fmt.NOT_MEASURED if p.energy is None else cell(p.energy),
            section=section,
        )

    if measured:
        add_energy("Gross, per task", lambda e: joules(e.energy_j_per_task, e.note))
        add_energy("  95 % interval", lambda e: _interval(e.energy_j_per_task_interval))
        add("  per solved task", per_solved)
        add_energy("  95 % interval", lambda e: _interval(e.energy_j_per_solved_task_interval))
        add_energy("Net, per task", net, section=True)
        add("  per solved task", _net_per_solved)
        add_energy("Failed, all", lambda e: joules(e.energy_j_failed, INSUFFICIENT), section=True)
        add_energy("Mean power", lambda e: _resolved(e.power_w, "W", e.note))
        add_energy("Energy-delay", lambda e: _resolved(e.edp_js, "J s", e.note))
        for index, name in enumerate(_in_order(measured, lambda e: e.phases, _PHASES)):
            add_energy(fmt.plain(name).capitalize(), _part_cell("phases", name), section=index == 0)
        for index, name in enumerate(_in_order(measured, lambda e: e.agents)):
            add_energy(f"Agent {fmt.plain(name)}", _part_cell("agents", name), section=index == 0)
        add_energy("Prefilled token", lambda e: _token(e.j_per_prefilled_token), section=True)
        add_energy("Decoded token", lambda e: _token(e.j_per_decoded_token))
    for index, total in enumerate(_other_totals(paradigms)):
        add(f"By {fmt.plain(total)}", _other_cell(total), section=index == 0)
    if any(paradigm.energy_estimate for paradigm in paradigms):
        add("Estimated", estimate, section=True)
    return tuple(rows)


def total_rows(totals: Iterable[TotalEnergy]) -> Iterator[tuple[str, ...]]:
    """Return what each total came to over the run, see `TOTAL_COLUMNS`."""
    for total in totals:
        mark = " (headline)" if total.is_headline else ""
        yield (
            f"{total.total}{mark}, {total.scope.value}",
            ", ".join(total.sources),
            *(
                fmt.quantity(value, "J")
                for value in (total.run_j, total.tasks_j, total.baselines_j, total.between_j)
            ),
            _idle(total),
        )


def headline_sentence(summary: Summary) -> str:
    """Say which total the figures are of."""
    headline = summary.energy_totals[0]
    return (
        f"Energy is that of the total {headline.total} (scope {headline.scope.value}: "
        f"{', '.join(headline.sources)}), the widest one that is known for the task runs and "
        "resolves them; other totals stand beside it and are never added."
    )


def sum_sentence(summary: Summary) -> str:
    """Say what the run came to, if all of it is known."""
    headline = summary.energy_totals[0]
    if headline.run_j is None:
        return ""
    return (
        f"The whole run took {fmt.quantity(headline.run_j, 'J')}: task runs "
        f"{fmt.quantity(headline.tasks_j, 'J')}, idle baselines "
        f"{fmt.quantity(headline.baselines_j, 'J')}, between them "
        f"{fmt.quantity(headline.between_j, 'J')}. Idle power: {_idle(headline)}."
    )


def hole_sentences(totals: Iterable[TotalEnergy]) -> Iterator[str]:
    """Say how many intervals of each total are not known, and why nothing is subtracted."""
    for total in totals:
        for reason, holes in total.holes.items():
            intervals = "interval" if holes.count == 1 else "intervals"
            yield (
                f"{total.total}: {holes.count} {intervals}, together "
                f"{fmt.seconds(holes.duration_s)}, not known because "
                f"{Invalid(reason).sentence}; what touches one has no figure."
            )
        notes = {idle.note for idle in total.idle if idle.note}
        for note in sorted(notes):
            yield f"{total.total}: no net energy, because {note}."


def joules(value: float | None, note: str) -> str:
    """Return joules, or that the readings do not resolve them."""
    return _resolved(value, "J", note)


def per_solved(paradigm: ParadigmSummary) -> str:
    """Return gross joules per solved task."""
    energy = paradigm.energy
    if energy is None:
        return fmt.NOT_MEASURED
    if energy.energy_j_per_solved_task is None and not energy.note:
        return "none solved"
    return joules(energy.energy_j_per_solved_task, energy.note)


def net(energy: Energy) -> str:
    """Return net joules per task."""
    return fmt.quantity(energy.net_j_per_task, "J")


def estimate(paradigm: ParadigmSummary) -> str:
    """Return the bounds of an estimate, marked as one."""
    found = paradigm.energy_estimate
    if found is None:
        return NONE
    low, high = fmt.number(found.low_j_per_task), fmt.number(found.high_j_per_task)
    return f"{fmt.number(found.energy_j_estimate_per_task)} J ({low}{NONE}{high}), estimate"


def _resolved(value: float | None, unit: str, note: str) -> str:
    return _TOO_COARSE if value is None and note == INSUFFICIENT else fmt.quantity(value, unit)


def _net_per_solved(paradigm: ParadigmSummary) -> str:
    energy = paradigm.energy
    if energy is None or energy.net_j_per_task is None:
        return fmt.NOT_MEASURED
    if energy.net_j_per_solved_task is None:
        return "none solved"
    return fmt.quantity(energy.net_j_per_solved_task, "J")


def _part_cell(field: str, name: str) -> Callable[[Energy], str]:
    def cell(energy: Energy) -> str:
        parts: Mapping[str, PartEnergy] = getattr(energy, field)
        part = parts.get(name)
        if part is None:
            return NONE
        if part.energy_j_per_task is None:
            return _TOO_COARSE
        return f"{fmt.number(part.energy_j_per_task)} J, {fmt.quantity(part.power_w, 'W')}"

    return cell


def _other_cell(total: str) -> Callable[[ParadigmSummary], str]:
    def cell(paradigm: ParadigmSummary) -> str:
        found = next((e for e in paradigm.energy_others if _label(e) == total), None)
        if found is None:
            return fmt.NOT_MEASURED
        return joules(found.energy_j_per_task, found.note)

    return cell


def _label(energy: Energy) -> str:
    return f"{energy.total}, {energy.scope.value}"


def _other_totals(paradigms: Iterable[ParadigmSummary]) -> list[str]:
    return list(dict.fromkeys(_label(e) for p in paradigms for e in p.energy_others))


def _in_order(
    energies: Iterable[Energy],
    parts: Callable[[Energy], Mapping[str, PartEnergy]],
    first: tuple[str, ...] = (),
) -> list[str]:
    names = dict.fromkeys(name for energy in energies for name in parts(energy))
    return [name for name in first if name in names] + [n for n in names if n not in first]


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return NONE
    return f"{fmt.number(interval.low)}{NONE}{fmt.number(interval.high)} J"


def _token(value: float | None) -> str:
    """Return joules per token; phases that are not resolved have none."""
    return _TOO_COARSE if value is None else f"{fmt.number(value)} J"


def _idle(total: TotalEnergy) -> str:
    found = [
        f"{fmt.quantity(idle.before_w, 'W')} before, {fmt.quantity(idle.after_w, 'W')} after"
        for idle in total.idle
        if idle.before_w is not None or idle.after_w is not None
    ]
    return "; ".join(found) or fmt.NOT_MEASURED
