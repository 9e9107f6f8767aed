"""Options for measuring power with more than the device's own sensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from edgeagent.config.power import PowerRequest

_Function = TypeVar("_Function", bound=Callable[..., object])

_OPTIONS = (
    click.option(
        "--load-pulse",
        is_flag=True,
        help="Mark the run in an external meter's recording, see import-power.",
    ),
    click.option(
        "--meter",
        multiple=True,
        metavar="KIND:ADDRESS",
        help="Read a meter on the local network too, such as shelly:192.168.1.20.",
    ),
    click.option(
        "--allow-estimates",
        is_flag=True,
        help="Estimate power, apart from all measurements, between --idle-w and --max-w.",
    ),
    click.option("--idle-w", type=float, metavar="WATTS", help="Power with all cores idle."),
    click.option("--max-w", type=float, metavar="WATTS", help="Power with all cores busy."),
)

POWER_NAMES = ("load_pulse", "meter", "allow_estimates", "idle_w", "max_w")
"""Names of the parameters that these options become."""


def power_options(function: _Function) -> _Function:
    """Add load pulses, meters on the network, and estimates."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def power_request(
    *,
    load_pulse: bool,
    meter: tuple[str, ...],
    allow_estimates: bool,
    idle_w: float | None,
    max_w: float | None,
) -> PowerRequest:
    """Return what the options ask for; raises `ConfigError` where they contradict each other."""
    from edgeagent.meter.external.estimate import estimate_limits
    from edgeagent.meter.external.requested import check_meters

    return PowerRequest(
        load_pulse=load_pulse,
        meters=check_meters(meter),
        estimate=estimate_limits(allowed=allow_estimates, idle_w=idle_w, max_w=max_w),
    )
