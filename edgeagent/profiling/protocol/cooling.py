"""Waiting between repetitions until the device is as cool as it was at the start."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgeagent.clock import now_ns, to_seconds

TOLERANCE_K = 2.0
"""Sensors step by a degree, and a room is not a thermostat."""
_POLL_S = 1.0

ReadTemperature = Callable[[], float | None]
"""Returns the hottest sensor in degrees Celsius, `None` if the device does not tell."""


def cool_down(
    read_temperature: ReadTemperature,
    start_c: float | None,
    limit_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until the device is within two kelvins of its first temperature.

    Args:
        read_temperature: Reads the hottest sensor.
        start_c: Temperature at the start of the run, `None` if unknown: then the wait is `limit_s`.
        limit_s: Longest wait.
        sleep: Waits.

    Returns:
        Seconds that it took.
    """
    t0_ns = now_ns()
    while (elapsed_s := to_seconds(now_ns() - t0_ns)) < limit_s:
        now_c = read_temperature() if start_c is not None else None
        if start_c is not None and now_c is not None and now_c <= start_c + TOLERANCE_K:
            break
        sleep(min(_POLL_S, limit_s - elapsed_s))
    return to_seconds(now_ns() - t0_ns)
