"""A self-contained SVG of the trade-off: solved tasks against seconds per task."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from edgeagent.report import format as fmt
from edgeagent.report.model import Summary

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 120, 20, 50
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, told apart with colour-deficient sight."""


def tradeoff_svg(summary: Summary) -> str:
    """Draw one point per paradigm: mean `e2e_s` and `solved_rate` with its 95 % interval."""
    step_s, top_s = _axis(max(paradigm.e2e_s.mean for paradigm in summary.paradigms))

    def x(value_s: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value_s / top_s

    def y(share: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="12">',
        "<title>Solved tasks against seconds per task</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_line(x(0), y(share), x(top_s), y(share), "#ddd"))
        parts.append(_text(x(0) - 8, y(share) + 4, f"{share:.0%}", "end"))
    for index in range(round(top_s / step_s) + 1):
        at_s = index * step_s
        parts.append(_line(x(at_s), y(0), x(at_s), y(0) + 5, "#888"))
        parts.append(_text(x(at_s), y(0) + 18, f"{at_s:g}", "middle"))
    parts.append(_text(x(top_s / 2), _HEIGHT - 10, "seconds per task (mean)", "middle"))
    parts.append(_text(x(0), _TOP - 6, "solved, with 95 % interval", "start"))
    for index, paradigm in enumerate(summary.paradigms):
        colour = _COLOURS[index % len(_COLOURS)]
        at_x, at_y = x(paradigm.e2e_s.mean), y(paradigm.solved_rate)
        if (interval := paradigm.solved_interval) is not None:
            parts.append(_line(at_x, y(interval.low), at_x, y(interval.high), colour))
        parts.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="5" fill="{colour}"/>')
        parts.append(_text(at_x + 9, at_y + 4, fmt.plain(paradigm.paradigm), "start", colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis(largest: float) -> tuple[float, float]:
    """Return step and end of an axis from 0 with about five round steps."""
    if largest <= 0:
        return 1.0, 1.0
    rough = largest / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return step, step * math.ceil(largest / step)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="1.5"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )
