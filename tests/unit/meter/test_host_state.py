"""The state of the machine: modes, power supply, and everything together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from host_trees import JETSON_CONF, chip, files, jetson, policy
from sensor_trees import write

from edgeagent.meter.host.modes import Modes, ask_system, nvpmodel_mode, read_modes
from edgeagent.meter.host.state import take_host_state
from edgeagent.meter.host.supply import Supply, read_supply
from edgeagent.meter.tree import SystemTree
from edgeagent.record.conditions import HostState

MEMINFO = """MemTotal:       16000000 kB
MemAvailable:    8000000 kB
SwapTotal:       2000000 kB
SwapFree:        1500000 kB
"""


def supply(name: str, **texts: str) -> dict[str, str]:
    return {f"sys/class/power_supply/{name}/{key}": text for key, text in texts.items()}


def test_modes_of_a_laptop(tmp_path: Path) -> None:
    tree = files(
        tmp_path,
        {
            **policy(
                0,
                scaling_governor="powersave",
                scaling_driver="intel_pstate",
                energy_performance_preference="balance_power",
            ),
            **policy(
                1,
                scaling_governor="powersave",
                scaling_driver="intel_pstate",
                energy_performance_preference="power",
            ),
            "sys/firmware/acpi/platform_profile": "low-power",
        },
    )
    assert read_modes(tree) == Modes(
        governors=("powersave",),
        drivers=("intel_pstate",),
        energy_preferences=("balance_power", "power"),
        platform_profile="low-power",
    )


@pytest.mark.parametrize(
    ("status", "conf", "mode"),
    [
        ("pmode:0002 fmode:quiet", JETSON_CONF, "MODE_15W"),
        ("pmode:0000", JETSON_CONF, "MAXN"),
        ("pmode:0007", JETSON_CONF, "mode 7"),
        ("pmode:0002", "", "mode 2"),
        ("nonsense", JETSON_CONF, None),
        ("", JETSON_CONF, None),
        ("pmode:99999999999999999999", JETSON_CONF, None),
    ],
)
def test_power_modes_of_jetson(tmp_path: Path, status: str, conf: str, mode: str | None) -> None:
    write(tmp_path / "var/lib/nvpmodel/status", status)
    write(tmp_path / "etc/nvpmodel.conf", conf)
    assert nvpmodel_mode(SystemTree(tmp_path)) == mode


@pytest.mark.parametrize(
    ("system", "said", "mode"),
    [
        (
            "win32",
            "GUID du mode de gestion : 381b4222-f694-41f0-9685-ff5bb260df2e  (Equilibre)\r\n",
            "Equilibre",
        ),
        ("win32", "", None),
        ("darwin", "System-wide power settings:\n lowpowermode         1\n", "low power"),
        ("darwin", " standby 1\n powermode            2\n", "high power"),
        ("darwin", " lowpowermode 0\n", "automatic"),
        ("darwin", "", None),
        ("sunos5", "x", None),
    ],
)
def test_modes_of_other_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, said: str, mode: str | None
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    asked: list[Sequence[str]] = []

    def ask(command: Sequence[str]) -> str:
        asked.append(command)
        return said

    assert read_modes(SystemTree(tmp_path), ask) == Modes(power_mode=mode)
    assert len(asked) == (system != "sunos5")


def test_a_command_that_fails_or_is_missing_says_nothing() -> None:
    assert ask_system([sys.executable, "-c", "print('a')"]) == "a\n"
    assert ask_system([sys.executable, "-c", "print('a'); raise SystemExit(1)"]) == ""
    assert ask_system(["/there/is/no/such/program"]) == ""


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ({}, Supply(None, None)),
        (supply("AC", type="Mains", online="1"), Supply(True, None)),
        (
            {
                **supply("AC", type="Mains", online="0"),
                **supply("BAT0", type="Battery", status="Discharging", capacity="57"),
                **supply("hid-mouse", type="Battery", scope="Device", capacity="3"),
            },
            Supply(False, 57.0),
        ),
        (  # a charger that is too weak
            {
                **supply("AC", type="Mains", online="1"),
                **supply("BAT0", type="Battery", status="Discharging", capacity="90"),
            },
            Supply(False, 90.0),
        ),
        (
            {
                **supply("ucsi-1", type="USB", online="0"),
                **supply("ucsi-2", type="USB", online="1"),
                **supply("BAT0", type="Battery", status="Charging", capacity="90"),
                **supply("BAT1", type="Battery", status="Full", capacity="100"),
            },
            Supply(True, 90.0),
        ),
        (supply("BAT0", type="Battery", status="Not charging"), Supply(True, None)),
        (supply("BAT0", type="Battery", status="Unknown", capacity="-3"), Supply(None, None)),
    ],
)
def test_where_the_power_comes_from(
    tmp_path: Path, supplies: dict[str, str], expected: Supply
) -> None:
    assert read_supply(files(tmp_path, supplies)) == expected


@pytest.mark.parametrize(
    ("battery", "expected"),
    [
        (None, Supply(None, None)),
        (SimpleNamespace(percent=41, power_plugged=False), Supply(False, 41.0)),
        (SimpleNamespace(percent=41, power_plugged=None), Supply(None, 41.0)),
    ],
)
def test_power_supply_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, battery: object, expected: Supply
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert read_supply(SystemTree(tmp_path)) == expected
    monkeypatch.delattr(psutil, "sensors_battery")
    assert read_supply(SystemTree(tmp_path)) == Supply(None, None)


def test_everything_about_a_jetson_in_a_container(tmp_path: Path) -> None:
    tree = jetson(tmp_path)
    write(tmp_path / "proc/meminfo", MEMINFO.rstrip())
    write(tmp_path / "sys/block/zram0/mm_stat", "1 2 4096 0 0 0 0")
    write(tmp_path / "proc/self/cgroup", "0::/box")
    write(tmp_path / "sys/fs/cgroup/box/cpu.max", "150000 100000")
    write(tmp_path / "sys/fs/cgroup/box/memory.max", "4000000000")
    write(tmp_path / "sys/fs/cgroup/box/memory.current", "1500000000")
    write(tmp_path / "sys/fs/cgroup/box/memory.stat", "anon 1000\ninactive_file 500000000")
    state = take_host_state(tree, pid=7, sleep=lambda _seconds: None)
    assert state.power_mode == "MODE_15W"
    assert state.temperature_c == 51.5
    assert state.temperature_limit_c == 99
    assert state.throttle_events["throttle:oc2"] == 2
    assert state.throttle_states == {"throttle:cooling": 0}
    assert state.frequency_max_hz == state.frequency_limit_hz == 1.5104e9
    assert state.memory_limit_bytes == 4_000_000_000
    assert state.memory_available_bytes == 3_000_000_000  # less than MemAvailable
    assert state.swap_used_bytes == 500_000 * 1024
    assert state.zram_bytes == 4096
    assert state.cpu_limit == 1.5
    assert state.other_load_share is None  # this tree has no /proc/stat


def test_the_load_of_others_is_watched_for_the_time_given(tmp_path: Path) -> None:
    tree = files(
        tmp_path,
        {
            "proc/stat": "cpu  100 0 0 900 0 0 0 0 0 0",
            "proc/7/stat": "7 (x) S 1 1 1 0 -1 0 0 0 0 0 50 0 0 0 20 0 1 0 5",
        },
    )
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        write(tmp_path / "proc/stat", "cpu  125 0 0 970 0 0 0 5 0 0")

    state = take_host_state(tree, pid=7, load_window_s=2.0, sleep=sleep)
    assert slept == [2.0]
    assert state.other_load_share == pytest.approx(0.25)
    assert state.steal_share == pytest.approx(0.05)
    assert state.load_window_s == 2.0


def test_this_machine_and_one_that_tells_nothing(tmp_path: Path) -> None:
    state = take_host_state(load_window_s=0.05)
    assert state.memory_available_bytes
    assert state.cores_usable
    assert HostState.model_validate_json(state.model_dump_json()) == state
    empty = take_host_state(SystemTree(tmp_path), sleep=lambda _seconds: None)
    assert empty.governors == ()
    assert empty.temperature_c is empty.ac_power is empty.memory_available_bytes is None


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    state = take_host_state(
        SystemTree(tmp_path), ask=lambda _command: "", sleep=lambda _seconds: None
    )
    assert state.memory_available_bytes
    assert state.temperature_c is state.zram_bytes is state.power_mode is None
    assert state.throttle_events == {}


def test_a_chip_that_tells_only_a_name_is_no_sensor(tmp_path: Path) -> None:
    tree = files(tmp_path, chip(0, "coretemp"))
    assert take_host_state(tree, sleep=lambda _seconds: None).temperature_c is None
