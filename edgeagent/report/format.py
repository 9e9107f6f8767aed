"""Figures as text for people; the only place where SI units are scaled or rounded."""

from __future__ import annotations

import unicodedata

from edgeagent.report.model import Difference, Interval, Verdict

NOT_MEASURED = "not measured"
_VERDICTS = {
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.NOT_DISTINGUISHABLE: "not distinguishable",
}


def plain(text: str) -> str:
    """Return the text with control characters replaced: names in a run file are not trusted."""
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else "?" for char in text
    )


def number(value: float) -> str:
    """Return three significant digits, without an exponent and without trailing zeros lost."""
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{value:,.0f}"
    if magnitude >= 10:
        return f"{value:.1f}"
    if magnitude >= 0.1 or value == 0:
        return f"{value:.2f}"
    return f"{value:.3g}"


def quantity(value: float | None, unit: str) -> str:
    """Return a number with its unit, or that it was not measured."""
    return NOT_MEASURED if value is None else f"{number(value)} {unit}"


def seconds(value: float | None) -> str:
    """Return a duration in seconds, below one second in milliseconds."""
    if value is None:
        return NOT_MEASURED
    return f"{number(value * 1000)} ms" if 0 < abs(value) < 1 else f"{number(value)} s"


def megabytes(value: float | None) -> str:
    """Return bytes in decimal megabytes, the unit that disks and package sizes are given in."""
    return quantity(None if value is None else value / 1e6, "MB")


def percent(share: float) -> str:
    """Return a share in percent; 100 % and 0 % only if it is exactly that."""
    rounded = f"{100 * share:.0f}"
    return (
        f"{100 * share:.1f} %"
        if rounded in {"0", "100"} and share not in {0, 1}
        else f"{rounded} %"
    )


def percent_interval(interval: Interval | None) -> str:
    """Return an interval of a share in percent."""
    if interval is None:
        return NOT_MEASURED
    return f"{100 * interval.low:.0f}\N{EN DASH}{100 * interval.high:.0f} %"


def difference(value: Difference | None, unit: str, scale: float = 1.0) -> str:
    """Return a verdict with the paired difference and its interval, in `unit` after scaling."""
    if value is None:
        return "\N{EN DASH}"
    text = f"{_VERDICTS[value.verdict]}: {_signed(value.mean * scale)} {unit}"
    if value.interval is not None:
        low, high = value.interval.low * scale, value.interval.high * scale
        text += f" ({_signed(low)} to {_signed(high)})"
    return text


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"
