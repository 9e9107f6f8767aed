"""The records of what the machine went through during a run."""

from __future__ import annotations

from edgeagent.record.base import Record
from edgeagent.record.conditions import HostWarning


class TaskRef(Record):
    """One task run."""

    task_id: str
    paradigm: str
    repetition: int


class Mark(Record):
    """Something that happened.

    Attributes:
        id: `throttled`, `busy`, `steal`, `clock_dropped`, `warmed`, `power_changed`,
            `settings_changed` or `swapped`.
        sentence: What it was, with its size.
        tasks: The task runs that it touched, empty where it says nothing against single ones.
    """

    id: str
    sentence: str
    tasks: tuple[TaskRef, ...] = ()


class RunConditions(Record):
    """What the machine went through during a run.

    Attributes:
        marks: What happened.
        attempts: Task runs of the run.
        affected: Task runs that any mark touches.
        not_judged: Sentences on what no source could tell.
        warnings: What was warned of before the first task of each process, each once.
        temperature_start_c: Of the processor when tasks began.
        temperature_max_c: Highest during task runs.
        frequency_start_hz: Of the fastest core during the first readings.
        frequency_low_hz: Lowest that the fastest core had in a task run (median of the task run).
        other_load_share: Share of all processor time that others used during task runs.
        steal_share: Share that the hypervisor gave to other machines meanwhile.
        throttle_events: Throttle events counted during task runs.
        ac_power: Whether it ran on mains power, `None` if unknown or if it changed.
    """

    marks: tuple[Mark, ...]
    attempts: int
    affected: int
    not_judged: tuple[str, ...] = ()
    warnings: tuple[HostWarning, ...] = ()
    temperature_start_c: float | None = None
    temperature_max_c: float | None = None
    frequency_start_hz: float | None = None
    frequency_low_hz: float | None = None
    other_load_share: float | None = None
    steal_share: float | None = None
    throttle_events: float | None = None
    ac_power: bool | None = None
