"""What about the machine's state will make figures worse or less repeatable, before they are taken.

Nothing here blocks a run: a person may want exactly these figures. The warnings are shown and
recorded.
"""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.meter.host.modes import drives_itself
from edgeagent.record.conditions import HostState, HostWarning

BUSY_SHARE = 0.10
"""Other processes use more than this of all processor time."""

STEAL_SHARE = 0.05
"""The hypervisor gives more than this of all processor time to other machines."""

HOT_C = 70.0
"""Where the system tells no limit; idle processors are well below it."""

HOT_MARGIN_C = 15.0
"""Closer to the limit than this, a minute of work reaches it."""

SWAP_BYTES = 64 << 20
"""A system that runs for long moves a few pages out that nobody misses."""

_SAVING_PROFILES = frozenset({"low-power", "quiet", "cool"})


def preflight(
    state: HostState, *, needed_bytes: int | None = None, wants_battery: bool | None = None
) -> tuple[HostWarning, ...]:
    """Return what is to be said about the state before a run, most important first.

    Args:
        state: The machine now.
        needed_bytes: Memory that the run is predicted to need.
        wants_battery: Whether energy is to be measured at the battery, so that it must discharge;
            False for figures on mains power only. `None` warns of a battery without asking for one.
    """
    checks: tuple[Callable[[HostState], HostWarning | None], ...] = (
        lambda state: _supply(state, wants_battery),
        _throttled,
        lambda state: _memory(state, needed_bytes),
        _busy,
        _hot,
        _governor,
        _saving,
        _steal,
        _swap,
        _container,
        _virtual,
    )
    return tuple(warning for check in checks if (warning := check(state)) is not None)


def _supply(state: HostState, wants_battery: bool | None) -> HostWarning | None:
    if wants_battery and state.ac_power is not False:
        return HostWarning(
            id="not_on_battery",
            sentence="Energy is to be measured at the battery, but it does not discharge.",
            remedy="Unplug the charger and start again.",
        )
    if not wants_battery and state.ac_power is False:
        return HostWarning(
            id="on_battery",
            sentence="The machine runs on its battery; many slow down then, more as it empties.",
            remedy="Plug in the charger.",
        )
    return None


def _throttled(state: HostState) -> HostWarning | None:
    held = [name for name, value in state.throttle_states.items() if value > 0]
    if held:
        return HostWarning(
            id="throttled",
            sentence=f"Clocks are being held back already ({', '.join(sorted(held))}).",
            remedy="Let the machine cool down, and check its fan and its power supply.",
        )
    if state.throttle_events.get("throttle:firmware_since_boot", 0) > 0:
        return HostWarning(
            id="throttled_since_boot",
            sentence="Since it was started this machine was throttled or had too low a voltage.",
            remedy="Use a stronger power supply or better cooling, and restart.",
        )
    return None


def _memory(state: HostState, needed_bytes: int | None) -> HostWarning | None:
    available = state.memory_available_bytes
    if needed_bytes is None or available is None or needed_bytes <= available:
        return None
    return HostWarning(
        id="low_memory",
        sentence=(
            f"The run is predicted to need {needed_bytes / 1e6:,.0f} MB of memory, but "
            f"{available / 1e6:,.0f} MB are available; it may swap or be ended by the system."
        ),
        remedy="Close other programs, or choose a smaller model or context.",
    )


def _busy(state: HostState) -> HostWarning | None:
    share = state.other_load_share
    if share is None or share <= BUSY_SHARE:
        return None
    return HostWarning(
        id="busy",
        sentence=f"Other programs use {share:.0%} of the processor.",
        remedy="Close them before measuring.",
    )


def _hot(state: HostState) -> HostWarning | None:
    now_c, limit_c = state.temperature_c, state.temperature_limit_c
    if now_c is None:
        return None
    if limit_c is not None and now_c > limit_c - HOT_MARGIN_C:
        sentence = (
            f"The processor is at {now_c:.0f} \N{DEGREE SIGN}C and slows down from "
            f"{limit_c:.0f} \N{DEGREE SIGN}C."
        )
    elif limit_c is None and now_c > HOT_C:
        sentence = f"The processor is at {now_c:.0f} \N{DEGREE SIGN}C before anything was run."
    else:
        return None
    return HostWarning(id="hot", sentence=sentence, remedy="Let it cool down before measuring.")


def _governor(state: HostState) -> HostWarning | None:
    if "powersave" not in state.governors or drives_itself(state.frequency_drivers):
        return None
    return HostWarning(
        id="slow_governor",
        sentence="The governor `powersave` holds the clocks at their lowest.",
        remedy="Choose `schedutil` or `performance` (cpupower frequency-set -g performance).",
    )


def _saving(state: HostState) -> HostWarning | None:
    settings = []
    if state.platform_profile in _SAVING_PROFILES:
        settings.append(f"platform profile {state.platform_profile}")
    if state.energy_preferences == ("power",):
        settings.append("energy preference power")
    if state.power_mode == "low power":
        settings.append("low power mode")
    if not settings:
        return None
    return HostWarning(
        id="power_saving",
        sentence=f"The machine is set to save power at the cost of speed ({', '.join(settings)}).",
        remedy="Choose the mode that it will be used in.",
    )


def _steal(state: HostState) -> HostWarning | None:
    share = state.steal_share
    if share is None or share <= STEAL_SHARE:
        return None
    return HostWarning(
        id="steal",
        sentence=f"The hypervisor gives {share:.0%} of the processor to other machines.",
        remedy="Measure on a machine of its own.",
    )


def _swap(state: HostState) -> HostWarning | None:
    used = state.swap_used_bytes
    if used is None or used < SWAP_BYTES:
        return None
    where = ", compressed in memory" if state.zram_bytes else ""
    return HostWarning(
        id="swap_in_use",
        sentence=f"{used / 1e6:,.0f} MB are swapped out{where}; pages may have to come back.",
        remedy="Close other programs, or choose a smaller model.",
    )


def _container(state: HostState) -> HostWarning | None:
    limit, online = state.cpu_limit, state.cores_online
    if limit is None or online is None or limit >= online:
        return None
    return HostWarning(
        id="container_limit",
        sentence=f"A container limits this process to {limit:g} of {online} cores.",
        remedy="Figures hold for this limit; raise it to measure the machine.",
    )


def _virtual(state: HostState) -> HostWarning | None:
    if not state.virtual_machine:
        return None
    return HostWarning(
        id="virtual_machine",
        sentence=(
            "This is a virtual machine: neighbours share its cores, and sensors of energy and "
            "heat are hidden."
        ),
        remedy="Measure on the device itself.",
    )
