"""A comparison as lines for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from edgeagent.report import format as fmt
from edgeagent.report.comparison.model import Comparison, Ratio, RunComparison
from edgeagent.report.model import Interval, Verdict

_LABELS = {
    "e2e_s": "seconds per task",
    "prefill_s": "prefill",
    "decode_s": "decode",
    "energy_j": "joules per task",
}
_WORDS = {
    Verdict.BETTER: "less",
    Verdict.WORSE: "more",
    Verdict.NOT_DISTINGUISHABLE: "not distinguishable",
}


def comparison_rows(run: RunComparison) -> Iterable[tuple[str, str, str, str]]:
    """Yield paradigm, figure, ratio to the reference with its interval, and verdict."""
    for paradigm in run.paradigms:
        name = fmt.plain(paradigm.paradigm)
        for figure, ratio in paradigm.ratios.items():
            yield name, _LABELS[figure], ratio_text(ratio.value, ratio.interval), _verdict(ratio)
        if paradigm.solved_rate is not None:
            yield name, "solved", fmt.difference(paradigm.solved_rate, "points", 100), ""
        if paradigm.rss_peak_bytes is not None:
            here, there = paradigm.rss_peak_bytes
            sizes = f"{fmt.megabytes(here)} to {fmt.megabytes(there)}"
            yield name, "peak memory", sizes, "measured once"


def machine_line(run: RunComparison) -> str:
    """Say how much longer the reference load took."""
    machine = run.machine
    if machine.ratio is None or machine.compute is None or machine.memory is None:
        return "The machine's own speed was not recorded in both runs."
    return (
        f"The machine itself (reference load) took {ratio_text(machine.ratio, machine.interval)} "
        f"times as long: computing {machine.compute:.3f}, reading memory {machine.memory:.3f}."
    )


def comparison_markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown."""
    parts = [f"# Runs against `{fmt.plain(comparison.reference)}`"]
    for run in comparison.runs:
        lines = ["| paradigm | figure | ratio to the reference | verdict |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in comparison_rows(run)]
        parts += [f"## `{fmt.plain(run.run)}`", "\n".join(lines), machine_line(run), *run.notes]
    parts.append(rule(comparison))
    return "\n\n".join(parts) + "\n"


def rule(comparison: Comparison) -> str:
    """Say what the verdicts mean."""
    return (
        "Ratios are geometric means over pairs of task runs with 95 % intervals over blocks of "
        "time. A verdict needs an interval without 1, with the machine's own change taken out and "
        f"without, and more than {100 * comparison.noise_floor:.0f} % of difference."
    )


def ratio_text(value: float, interval: Interval | None) -> str:
    """Return a ratio with its interval."""
    text = f"{value:.3f}"
    return text if interval is None else f"{text} ({interval.low:.3f} to {interval.high:.3f})"


def _verdict(ratio: Ratio) -> str:
    if ratio.interval is None:
        return f"too few pairs ({ratio.pairs})"
    text = _WORDS[ratio.verdict]
    return f"{text}: the machine or chance explains it" if ratio.machine_explains else text
