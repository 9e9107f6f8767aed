"""Options of the measuring protocol."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import click

from edgeagent.config.protocol import Protocol

_Function = TypeVar("_Function", bound=Callable[..., object])


def share(_context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Read a share written as a percentage or a fraction: `5%`, `5 %` or `0.05`."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*", text)
    value = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < value < 1:
        raise click.BadParameter(f"{text!r} is no share; write 5% or 0.05.", param=parameter)
    return value


_OPTIONS = (
    click.option(
        "--repeat",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        help="Repetitions of every task with every paradigm, at least.",
    ),
    click.option(
        "--target-ci",
        callback=share,
        metavar="SHARE",
        help="Repeat until the seconds per task are known this well, such as 5%.",
    ),
    click.option(
        "--min-duration",
        type=click.FloatRange(min=0),
        default=0.0,
        help="Repeat until each paradigm was measured for this many seconds.",
    ),
    click.option(
        "--max-repeat",
        type=click.IntRange(1, 1000),
        default=50,
        show_default=True,
        help="Most repetitions for --target-ci and --min-duration.",
    ),
    click.option(
        "--warm-ups",
        type=click.IntRange(0, 100),
        default=1,
        show_default=True,
        help="Unrecorded task runs per paradigm before the first recorded one.",
    ),
    click.option(
        "--cool-down",
        type=click.FloatRange(min=0),
        default=0.0,
        help="Most seconds to wait between repetitions for the device to cool down.",
    ),
    click.option(
        "--baseline",
        type=click.FloatRange(min=0),
        help="Idle seconds before and after; default: 10 where energy is measured.",
    ),
)


PROTOCOL_NAMES = (
    "repeat",
    "target_ci",
    "min_duration",
    "max_repeat",
    "warm_ups",
    "cool_down",
    "baseline",
)
"""Names of the parameters that these options become."""


def protocol_options(function: _Function) -> _Function:
    """Add repetitions, durations, warm-ups and rests."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def protocol(
    *,
    repeat: int,
    target_ci: float | None,
    min_duration: float,
    max_repeat: int,
    warm_ups: int,
    cool_down: float,
    baseline: float | None,
) -> Protocol:
    """Return the protocol that the options stand for."""
    return Protocol(
        repeat=repeat,
        max_repeat=max_repeat,
        target_ci=target_ci,
        min_duration_s=min_duration,
        warm_ups=warm_ups,
        cool_down_s=cool_down,
        baseline_s=baseline,
    )
