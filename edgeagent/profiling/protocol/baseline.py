"""Idle baselines: the power of the device with the model loaded and nothing to do."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgeagent.clock import NS_PER_S, now_ns, to_seconds
from edgeagent.record.baseline import BaselineRecord, BaselineWhen
from edgeagent.record.run import RunConfig
from edgeagent.record.samples import SampleKind, SourceInfo, SourceState

DEFAULT_S = 10.0
"""A hundred readings of most sensors."""

_STEP_S = 0.5


def baseline_s(asked_s: float | None, *, energy_is_measured: bool) -> float:
    """Return how long to rest: as asked, else ten seconds where energy is measured."""
    if asked_s is not None:
        return asked_s
    return DEFAULT_S if energy_is_measured else 0.0


def measures_energy(info: SourceInfo) -> bool:
    """Whether a source measures energy or power, and can be read."""
    return (
        info.state is SourceState.OK
        and info.kind is not SampleKind.ESTIMATED
        and info.quantity in {"energy_j", "power_w"}
    )


def rest(
    duration_s: float,
    on_progress: Callable[[float], None],
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[int, int]:
    """Do nothing for a while; return start and end on the monotonic clock.

    Args:
        duration_s: How long.
        on_progress: Told now and then how many seconds are over.
        sleep: Waits.
    """
    t0_ns = now_ns()
    end_ns = t0_ns + round(duration_s * NS_PER_S)
    while (left_s := to_seconds(end_ns - now_ns())) > 0:
        on_progress(duration_s - left_s)
        sleep(min(_STEP_S, left_s))
    return t0_ns, now_ns()


def baseline_record(
    config: RunConfig, session: int, when: BaselineWhen, window_ns: tuple[int, int]
) -> BaselineRecord:
    """Return the record of a rest with the model loaded."""
    return BaselineRecord(
        config=config,
        session=session,
        when=when,
        model_loaded=True,
        t0_ns=window_ns[0],
        t1_ns=window_ns[1],
    )
