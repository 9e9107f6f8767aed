"""How often and how long is measured, and what happens between measurements."""

from __future__ import annotations

from pydantic import Field

from edgeagent.config.spec import Spec


class Protocol(Spec):
    """The measuring protocol of a profile; recorded with every figure."""

    repeat: int = Field(default=1, ge=1, le=1000)
    """Repetitions of every task with every paradigm, at least."""
    max_repeat: int = Field(default=50, ge=1, le=1000)
    """Most repetitions where `min_duration_s` or `target_ci` ask for more than `repeat`; a larger
    `repeat` wins."""
    min_duration_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Seconds that the task runs of each paradigm last at least, all of them together."""
    target_ci: float | None = Field(default=None, gt=0, lt=1)
    """Repeat until the 95 % interval of the seconds per task is this narrow in every paradigm:
    half of its width over the mean. `None` does not look at the interval."""
    warm_ups: int = Field(default=1, ge=0, le=100)
    """Unrecorded task runs per paradigm before the first recorded one."""
    cool_down_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Between two repetitions, wait until the device is as cool as at the start, at most this long;
    a device that tells no temperature waits the whole time."""
    baseline_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Idle seconds with the model loaded, before and after the tasks; `None`: ten where energy is
    measured, else none."""
