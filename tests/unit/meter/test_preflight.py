"""What is warned of before a run, and what is not."""

from __future__ import annotations

import pytest

from edgeagent.meter.host.preflight import preflight
from edgeagent.record.conditions import HostState

CALM = {
    "utc": "2026-01-01T00:00:00+00:00",
    "t_ns": 1,
    "ac_power": True,
    "governors": ("powersave",),
    "frequency_drivers": ("intel_pstate",),
    "energy_preferences": ("balance_performance",),
    "platform_profile": "balanced",
    "temperature_c": 45.0,
    "temperature_limit_c": 100.0,
    "throttle_events": {"throttle:package": 12.0},
    "throttle_states": {"throttle:cooling": 0.0},
    "other_load_share": 0.04,
    "steal_share": 0.0,
    "cores_online": 8,
    "memory_available_bytes": 4_000_000_000,
    "swap_used_bytes": 1 << 20,
    "virtual_machine": False,
}


def state(**changes: object) -> HostState:
    return HostState.model_validate(CALM | changes)


def test_a_calm_machine_and_one_that_tells_nothing_give_no_warning() -> None:
    assert preflight(state(), needed_bytes=4_000_000_000) == ()
    assert preflight(HostState(utc="", t_ns=0), needed_bytes=1) == ()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"ac_power": False}, "on_battery"),
        ({"frequency_drivers": ("acpi-cpufreq",)}, "slow_governor"),
        ({"frequency_drivers": ("acpi-cpufreq", "intel_pstate")}, "slow_governor"),
        ({"other_load_share": 0.11}, "busy"),
        ({"steal_share": 0.06}, "steal"),
        ({"temperature_c": 86.0}, "hot"),
        ({"temperature_c": 71.0, "temperature_limit_c": None}, "hot"),
        ({"throttle_states": {"throttle:undervoltage": 1.0}}, "throttled"),
        ({"throttle_events": {"throttle:firmware_since_boot": 2.0}}, "throttled_since_boot"),
        ({"swap_used_bytes": 65 << 20}, "swap_in_use"),
        ({"cpu_limit": 2.5}, "container_limit"),
        ({"virtual_machine": True}, "virtual_machine"),
        ({"platform_profile": "low-power"}, "power_saving"),
        ({"energy_preferences": ("power",)}, "power_saving"),
        ({"power_mode": "low power"}, "power_saving"),
    ],
)
def test_each_condition_has_its_warning_with_a_remedy(
    changes: dict[str, object], name: str
) -> None:
    (warning,) = preflight(state(**changes))
    assert warning.id == name
    assert warning.sentence.endswith(".")
    assert warning.remedy.endswith((".", ")."))


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature_c": 84.0},
        {"temperature_c": 69.0, "temperature_limit_c": None},
        {"governors": ("schedutil",), "frequency_drivers": ("cpufreq-dt",)},
        {"cpu_limit": 8.0},
        {"power_mode": "MODE_15W"},
        {"energy_preferences": ("balance_performance", "power")},
        {"other_load_share": 0.10},
        {"ac_power": None},
    ],
)
def test_what_is_no_reason_to_warn(changes: dict[str, object]) -> None:
    assert preflight(state(**changes)) == ()


def test_energy_at_the_battery_needs_one_that_discharges() -> None:
    for ac_power in (True, None):
        (warning,) = preflight(state(ac_power=ac_power), wants_battery=True)
        assert warning.id == "not_on_battery"
    assert preflight(state(ac_power=False), wants_battery=True) == ()


def test_memory_that_will_not_be_enough() -> None:
    (warning,) = preflight(state(), needed_bytes=4_000_000_001)
    assert warning.id == "low_memory"
    assert "4,000 MB" in warning.sentence


def test_several_warnings_come_in_the_order_of_their_weight() -> None:
    found = preflight(state(virtual_machine=True, other_load_share=0.5, ac_power=False))
    assert [warning.id for warning in found] == ["on_battery", "busy", "virtual_machine"]
    assert "50%" in found[1].sentence
