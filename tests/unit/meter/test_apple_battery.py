"""macOS: no reader for the processor, and what `ioreg` says about the battery (synthetic lists)."""

from __future__ import annotations

import plistlib
import subprocess
from typing import Any

import pytest

from edgeagent.meter.energy import apple_battery
from edgeagent.meter.energy.apple_battery import discover_apple
from edgeagent.meter.protocol import MeterError
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

DISCHARGING = {
    "ExternalConnected": False,
    "IsCharging": False,
    "InstantAmperage": -1240,
    "Amperage": -1180,
    "Voltage": 12_107,
    "CycleCount": 42,
}


def ioreg(**changes: Any) -> bytes:
    return plistlib.dumps([{**DISCHARGING, **changes}])


def battery(output: bytes) -> SourceInfo:
    _, source = discover_apple(lambda: output).sources
    return source


def test_discharging_gives_watts() -> None:
    found = discover_apple(ioreg)
    (meter,) = found.meters
    assert meter.read().value == pytest.approx(15.01268)
    info = meter.info
    assert (info.source, info.quantity, info.kind) == (
        "battery:discharge",
        "power_w",
        SampleKind.SAMPLED,
    )
    assert (info.scope, info.total, info.interval_s) == (Scope.SYSTEM, "system", 60.0)
    assert meter.min_interval_s >= 10


def test_negative_amperes_as_unsigned_64_bit() -> None:
    text = ioreg().replace(b"<integer>-1240</integer>", b"<integer>18446744073709550376</integer>")
    (meter,) = discover_apple(lambda: text).meters
    assert meter.read().value == pytest.approx(15.01268)


def test_the_processor_is_said_to_be_out_of_reach_and_why() -> None:
    processor = discover_apple(ioreg).sources[0]
    assert processor.state is SourceState.UNSUPPORTED
    assert "powermetrics" in processor.reason
    assert "external power meter" in processor.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"ExternalConnected": True, "InstantAmperage": 1500},
        {"ExternalConnected": True, "InstantAmperage": -300},  # the battery helps the charger
        {"ExternalConnected": False, "InstantAmperage": 0},
    ],
)
def test_a_charger_means_no_value_and_a_remedy(changes: dict[str, Any]) -> None:
    source = battery(ioreg(**changes))
    assert source.state is SourceState.NOT_DISCHARGING
    assert "Unplug" in source.remedy


@pytest.mark.parametrize(
    ("output", "state"),
    [
        (b"", SourceState.ABSENT),
        (plistlib.dumps([]), SourceState.ABSENT),
        (b"+-o AppleSmartBattery  <class ...>", SourceState.UNSUPPORTED),
        (b"<plist><array><integer>x</integer></array></plist>", SourceState.UNSUPPORTED),
        (plistlib.dumps({"Voltage": 1}), SourceState.UNSUPPORTED),
        (plistlib.dumps([{"Voltage": 12000, "ExternalConnected": False}]), SourceState.UNSUPPORTED),
        (ioreg(Voltage=0), SourceState.UNSUPPORTED),
        (ioreg(InstantAmperage=-900_000), SourceState.UNSUPPORTED),
        (ioreg(InstantAmperage="-5"), SourceState.UNSUPPORTED),
        (b" " * (5 << 20) + b"x", SourceState.UNSUPPORTED),
    ],
)
def test_output_that_tells_nothing_is_no_value(output: bytes, state: SourceState) -> None:
    source = battery(output)
    assert source.state is state
    assert source.reason


def test_plugging_in_during_a_run_is_a_failed_reading() -> None:
    outputs = [ioreg(), ioreg(ExternalConnected=True)]
    (meter,) = discover_apple(lambda: outputs.pop(0)).meters
    with pytest.raises(MeterError) as raised:
        meter.read()
    assert raised.value.state is SourceState.NOT_DISCHARGING


def test_the_command_is_the_public_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: tuple[str, ...], **options: Any) -> subprocess.CompletedProcess[bytes]:
        assert command == ("/usr/sbin/ioreg", "-r", "-n", "AppleSmartBattery", "-a")
        if "hang" in answers:
            raise subprocess.TimeoutExpired(command, options["timeout"])
        return subprocess.CompletedProcess(command, answers.pop(), stdout=ioreg())

    monkeypatch.setattr(apple_battery.subprocess, "run", run)
    answers: Any = [0]
    assert apple_battery.run_ioreg() == ioreg()
    answers = [1]
    with pytest.raises(OSError, match="ended with 1"):
        apple_battery.run_ioreg()
    answers = ["hang"]
    with pytest.raises(OSError, match="no answer"):
        apple_battery.run_ioreg()
