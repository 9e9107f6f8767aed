"""Tables and sentences about a search for settings."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from edgeagent.record.tuning import Comparison, TuningRecord, Verdict

HEAD = ("Search", "Settings", "Cost", "95 % interval", "Pairs", "Peak memory", "Verdict")
CAPTION = (
    "Cost is relative to the settings that were held at that time, paired by round; below 1 is "
    "better. Screening only chooses what is measured afresh."
)
_NOTHING = "-"


def rows(record: TuningRecord) -> list[tuple[str, ...]]:
    """Return a row for each comparison, in order."""
    return [_row(record, comparison) for comparison in record.comparisons]


def _row(record: TuningRecord, found: Comparison) -> tuple[str, ...]:
    stage = found.stage if found.phase != "check" else "against the default"
    if found.phase == "screen":
        stage += ", screening"
    verdict = found.verdict.value
    return (
        stage,
        record.candidates[found.candidate].label,
        _NOTHING if found.cost_ratio is None else f"{found.cost_ratio:.3f}",
        _interval(found) or _NOTHING,
        str(found.pairs) if found.pairs else _NOTHING,
        _peak(record, found.candidate),
        f"{verdict}: {found.reason}" if found.reason else verdict,
    )


def _interval(found: Comparison) -> str:
    return "" if found.low is None or found.high is None else f"{found.low:.3f} to {found.high:.3f}"


def _peak(record: TuningRecord, candidate: int) -> str:
    peaks = [
        trial.rss_peak_bytes
        for trial in record.trials
        if trial.candidate == candidate and trial.rss_peak_bytes is not None
    ]
    return f"{max(peaks) / 1e6:.0f} MB" if peaks else _NOTHING


def sentences(record: TuningRecord) -> Iterator[str]:
    """Yield what came out, in sentences."""
    default = record.candidates[0].label
    check = record.check
    if check is None:
        yield f"The default stays: {default}; {_why_default(record)}."
    else:
        yield (
            f"{record.candidates[record.chosen].label}: {_change(record, check)} than the default "
            f"({default}), cost {check.cost_ratio or 0:.3f} (95 % interval {_interval(check)}, "
            f"{check.pairs} fresh pairs)."
        )
        yield f"A piece of work costs {_cost(record, record.chosen)} instead of {_cost(record, 0)}."
    if record.ended != "complete":
        yield (
            "The time was up before everything was searched; --max-minutes "
            f"{max(1, round(2 * record.max_minutes))} gives it more."
        )


def _why_default(record: TuningRecord) -> str:
    checks = [found for found in record.comparisons if found.phase == "check"]
    if checks and checks[-1].verdict is Verdict.UNDECIDED:
        return "what looked better could not be checked in time"
    if checks:
        return "what looked better is not distinguishable from it when measured afresh"
    return "nothing is distinguishably better"


def _change(record: TuningRecord, check: Comparison) -> str:
    ratio = check.cost_ratio or 1.0
    if record.goal == "energy":
        return f"{1 - ratio:.1%} less energy"
    if record.goal == "throughput":
        return f"{1 / ratio - 1:.1%} more tokens per second"
    return f"{1 - ratio:.1%} less time"


def _cost(record: TuningRecord, candidate: int) -> str:
    cost = median(
        trial.cost
        for trial in record.trials
        if trial.candidate == candidate and trial.phase == "check"
    )
    if record.goal == "energy":
        return f"{cost:.3g} J"
    if record.goal == "throughput":
        return f"{cost:.3g} s ({record.work_tokens / cost:.1f} tokens per second)"
    return f"{cost:.3g} s"
