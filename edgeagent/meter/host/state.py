"""The state of the machine at one moment, as runs record it before and after."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping

import psutil

from edgeagent.clock import now_ns, utc_now_iso
from edgeagent.config.cgroup import cpu_quota, memory_headroom_bytes, memory_limit_bytes
from edgeagent.config.cores import usable_cores
from edgeagent.meter.host.attributes import system_of
from edgeagent.meter.host.clocks import clock_limits, clock_rates
from edgeagent.meter.host.heat import temperature_c, temperature_limit_c
from edgeagent.meter.host.load import OTHER, STEAL, open_load, shares
from edgeagent.meter.host.modes import Ask, ask_system, read_modes
from edgeagent.meter.host.supply import read_supply
from edgeagent.meter.host.throttle import EVENTS, STATE, throttle_values
from edgeagent.meter.host.virtual import virtual_machine
from edgeagent.meter.memory.swap import zram_bytes
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.record.conditions import HostState

LOAD_WINDOW_S = 0.5
"""Long enough for processor times, which are counted in steps of 10 ms."""


def take_host_state(
    tree: SystemTree = THIS_MACHINE,
    *,
    pid: int | None = None,
    load_window_s: float = LOAD_WINDOW_S,
    ask: Ask = ask_system,
    sleep: Callable[[float], None] = time.sleep,
) -> HostState:
    """Look at everything that may change; takes about as long as it watches the load.

    Nothing here raises: what the system does not tell is `None`.

    Args:
        tree: The system's files.
        pid: Root of the processes whose load is our own; this process by default.
        load_window_s: How long the load of others is watched.
        ask: Runs commands of the system (Windows and macOS).
        sleep: Waits that long.
    """
    load = _load_shares(tree, os.getpid() if pid is None else pid, load_window_s, sleep)
    modes, supply, limits = read_modes(tree, ask), read_supply(tree), clock_limits(tree)
    rates = clock_rates(tree) or (None, None, None)
    memory = _memory(tree)
    linux = system_of(tree) == "linux"
    return HostState(
        utc=utc_now_iso(),
        t_ns=now_ns(),
        ac_power=supply.ac_power,
        battery_percent=supply.battery_percent,
        governors=modes.governors,
        frequency_drivers=modes.drivers,
        energy_preferences=modes.energy_preferences,
        platform_profile=modes.platform_profile,
        power_mode=modes.power_mode,
        clocks_locked=limits.locked,
        frequency_hz=rates[0],
        frequency_min_hz=rates[1],
        frequency_max_hz=rates[2],
        frequency_limit_hz=limits.limit_hz,
        frequency_hardware_max_hz=limits.hardware_max_hz,
        temperature_c=temperature_c(tree) if linux else None,
        temperature_limit_c=temperature_limit_c(tree) if linux else None,
        throttle_events=throttle_values(tree, EVENTS),
        throttle_states=throttle_values(tree, STATE),
        other_load_share=load.get(OTHER),
        steal_share=load.get(STEAL),
        load_window_s=load_window_s if load else None,
        cores_online=os.cpu_count(),
        cores_usable=usable_cores(tree.sys, tree.proc),
        cpu_limit=cpu_quota(tree.sys, tree.proc),
        memory_available_bytes=_least(
            memory.get("MemAvailable"), memory_headroom_bytes(tree.sys, tree.proc)
        ),
        memory_limit_bytes=memory_limit_bytes(tree.sys, tree.proc),
        swap_total_bytes=memory.get("SwapTotal"),
        swap_used_bytes=memory.get("SwapUsed"),
        zram_bytes=zram_bytes(tree) if linux else None,
        virtual_machine=virtual_machine(tree),
    )


def _load_shares(
    tree: SystemTree, pid: int, window_s: float, sleep: Callable[[float], None]
) -> Mapping[str, float]:
    try:
        load = open_load(pid, tree)
        first = load.read()
        sleep(window_s)
        return shares(first, load.read())
    except (OSError, ValueError, psutil.Error):
        return {}


def _memory(tree: SystemTree) -> dict[str, int]:
    """Return `MemAvailable`, `SwapTotal` and `SwapUsed` in bytes, those that are told."""
    if system_of(tree) == "linux":
        text = tree.text(tree.proc / "meminfo") or ""
        lines = re.findall(r"^(\w+):\s+(\d{1,15}) kB$", text, re.MULTILINE)
        found = {name: int(kib) * 1024 for name, kib in lines}
        if "SwapTotal" in found and "SwapFree" in found:
            found["SwapUsed"] = found["SwapTotal"] - found["SwapFree"]
        return found
    values = {"MemAvailable": int(psutil.virtual_memory().available)}
    try:
        swap = psutil.swap_memory()
    except (OSError, RuntimeError, psutil.Error):
        return values
    return values | {"SwapTotal": int(swap.total), "SwapUsed": int(swap.used)}


def _least(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)
