"""Judging the processor during task runs: throttling, clocks, and who else used it."""

from __future__ import annotations

from statistics import median

from edgeagent.report.conditions.evidence import (
    Findings,
    Window,
    count_of,
    growth,
    mean_share,
    shares_of,
    unknown,
    whole,
)
from edgeagent.report.conditions.model import Mark

BUSY_SHARE = 0.10
"""Others used more than this share of all processor time during a task run."""

STEAL_SHARE = 0.05
"""The hypervisor gave more than this share to other machines during a task run."""

CLOCK_DROP = 0.10
"""The fastest core was slower than at the start by more than this."""

_START_READINGS = 5


def judge_throttled(windows: list[Window], findings: Findings) -> None:
    """Look for throttle events and for states in which clocks are held back."""
    touched, seen, told = [], set(), False
    for window in windows:
        hit = False
        for source in window.sources("throttle_events"):
            told = True
            if growth(window.around(source)) > 0:
                hit = True
                seen.add(source)
        for source in window.sources("throttle_state"):
            told = True
            if any(sample.value > 0 for sample in window.around(source)):
                hit = True
                seen.add(source)
        if hit:
            touched.append(window.ref)
    if not told:
        findings.not_judged.append(unknown("whether clocks were throttled", windows, "throttle:"))
        return
    events = sum(
        growth(session.around(source))
        for session in whole(windows)
        for source in session.sources("throttle_events")
    )
    findings.figures["throttle_events"] = events
    if touched:
        count = f", {events:.0f} events" if events else ""
        findings.marks.append(
            Mark(
                id="throttled",
                sentence=(
                    f"Clocks were held back during {count_of(touched, windows)}{count} "
                    f"({', '.join(sorted(seen))})."
                ),
                tasks=tuple(touched),
            )
        )


def judge_clock_dropped(windows: list[Window], findings: Findings) -> None:
    """Compare the fastest core of each task run with that of the first readings.

    The fastest, because cores that idle run slowly without anything being wrong.
    """
    source = "cpu:frequency_max"
    rates: list[tuple[Window, float]] = []
    start: dict[int, list[float]] = {}
    for window in windows:
        values = [sample.value for sample in window.within(source)]
        if values:
            rates.append((window, median(values)))
            first = start.setdefault(window.session.number, [])
            first += values[: max(0, _START_READINGS - len(first))]
    if not rates:
        findings.not_judged.append(unknown("whether clocks dropped", windows, "cpu:frequency"))
        return
    at_start = {number: median(values) for number, values in start.items()}
    findings.figures["frequency_start_hz"] = at_start[rates[0][0].session.number]
    findings.figures["frequency_low_hz"] = min(rate for _, rate in rates)
    touched, least = [], 1.0
    for window, rate in rates:
        part = rate / at_start[window.session.number]
        if part < 1 - CLOCK_DROP:
            touched.append(window.ref)
            least = min(least, part)
    if touched:
        findings.marks.append(
            Mark(
                id="clock_dropped",
                sentence=(
                    f"During {count_of(touched, windows)} the fastest core was slower than at the "
                    f"start, by up to {1 - least:.0%}."
                ),
                tasks=tuple(touched),
            )
        )


def judge_busy(windows: list[Window], findings: Findings) -> None:
    """Look for other programs that used the processor."""
    shares = shares_of(windows, "cpu:other_load")
    if not shares:
        findings.not_judged.append(unknown("what else used the processor", windows, "cpu:other"))
        return
    findings.figures["other_load_share"] = mean_share(windows, "cpu:other_load")
    touched = [window.ref for window, share in shares if share > BUSY_SHARE]
    if touched:
        findings.marks.append(
            Mark(
                id="busy",
                sentence=(
                    f"Other programs used more than {BUSY_SHARE:.0%} of the processor during "
                    f"{count_of(touched, windows)}, up to {max(share for _, share in shares):.0%}."
                ),
                tasks=tuple(touched),
            )
        )


def judge_steal(windows: list[Window], findings: Findings) -> None:
    """Look for other machines that used the processor."""
    shares = shares_of(windows, "cpu:steal")
    if not shares:
        return  # only hypervisors steal, and only Linux tells
    findings.figures["steal_share"] = mean_share(windows, "cpu:steal")
    touched = [window.ref for window, share in shares if share > STEAL_SHARE]
    if touched:
        findings.marks.append(
            Mark(
                id="steal",
                sentence=(
                    f"The hypervisor gave more than {STEAL_SHARE:.0%} of the processor to other "
                    f"machines during {count_of(touched, windows)}, up to "
                    f"{max(share for _, share in shares):.0%}."
                ),
                tasks=tuple(touched),
            )
        )
