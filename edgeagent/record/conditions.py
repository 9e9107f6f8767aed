"""The conditions of a run: the state of the machine before and after, and what was warned of."""

from __future__ import annotations

from pydantic import Field

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.run import RunConfig

CONDITIONS_NAME = "conditions.jsonl"


class HostState(Record):
    """What may change on a machine and changes its figures; `None` where the system does not tell.

    Attributes:
        utc: Wall-clock time, for people.
        t_ns: The same moment on the monotonic clock.
        ac_power: Whether it runs on mains power; `None` also for machines without a battery that do
            not say where their power comes from.
        battery_percent: Charge, `None` without a battery.
        governors: How the clocks are chosen; several if the cores differ.
        frequency_drivers: The drivers that these names belong to; `powersave` of some of them is
            the normal, load-driven mode.
        energy_preferences: The hint to these drivers between performance and power.
        platform_profile: The firmware's power profile.
        power_mode: Name of the module's or the system's power mode: nvpmodel on Jetson, the power
            scheme on Windows, low power mode on macOS.
        clocks_locked: Whether lowest and highest clock are set to the same, as `jetson_clocks`
            does.
        frequency_hz: Mean clock over the cores.
        frequency_min_hz: Of the slowest core.
        frequency_max_hz: Of the fastest core.
        frequency_limit_hz: Highest clock that is allowed now, of the core that may go fastest.
        frequency_hardware_max_hz: Highest clock that this core is made for.
        temperature_c: Of the hottest processor sensor.
        temperature_limit_c: Where the system begins to slow down because of it.
        throttle_events: Count of each throttle counter; only differences mean anything.
        throttle_states: What holds clocks back now, by its source; 0 is nothing.
        other_load_share: Share of all processor time that other processes used.
        steal_share: Share that the hypervisor gave to other machines.
        load_window_s: How long these two shares were watched for.
        cores_online: Logical cores of the machine.
        cores_usable: Those that this process may use.
        cpu_limit: CPUs' worth of time that a container allows.
        memory_available_bytes: Memory that can be had without swapping, a container's limit
            included.
        memory_limit_bytes: A container's limit.
        swap_total_bytes: Swap space, zram included.
        swap_used_bytes: Used swap space of the whole machine.
        zram_bytes: Memory that compressed swap takes.
        virtual_machine: Whether a hypervisor is below.
    """

    utc: str
    t_ns: int
    ac_power: bool | None = None
    battery_percent: float | None = None
    governors: tuple[str, ...] = ()
    frequency_drivers: tuple[str, ...] = ()
    energy_preferences: tuple[str, ...] = ()
    platform_profile: str | None = None
    power_mode: str | None = None
    clocks_locked: bool | None = None
    frequency_hz: float | None = None
    frequency_min_hz: float | None = None
    frequency_max_hz: float | None = None
    frequency_limit_hz: float | None = None
    frequency_hardware_max_hz: float | None = None
    temperature_c: float | None = None
    temperature_limit_c: float | None = None
    throttle_events: dict[str, float] = Field(default_factory=dict)
    throttle_states: dict[str, float] = Field(default_factory=dict)
    other_load_share: float | None = None
    steal_share: float | None = None
    load_window_s: float | None = None
    cores_online: int | None = None
    cores_usable: int | None = None
    cpu_limit: float | None = None
    memory_available_bytes: int | None = None
    memory_limit_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    zram_bytes: int | None = None
    virtual_machine: bool | None = None


class HostWarning(Record):
    """Something about the machine that makes figures worse or less repeatable.

    Attributes:
        id: Stable name, such as `on_battery`.
        sentence: What it is and what it does to figures.
        remedy: What to do, empty if nothing can be done.
    """

    id: str
    sentence: str
    remedy: str = ""


class ConditionsRecord(Record):
    """The conditions of one process of a run: a line of `conditions.jsonl`.

    Written when its tasks begin, with `after` being `None`, and again when they have ended. The
    last line of a session counts.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration.
        session: Number of the process within the run, as in `samples.jsonl`.
        before: State when its first task was about to start.
        after: State when its last task had ended, `None` if it did not come so far.
        warnings: What was warned of before.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    session: int
    before: HostState
    after: HostState | None = None
    warnings: tuple[HostWarning, ...] = ()
