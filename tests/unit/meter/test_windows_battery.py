"""Batteries of Windows: structures byte by byte (synthetic)."""

from __future__ import annotations

import errno
import struct
import uuid
from typing import Any

import pytest

from edgeagent.meter.energy.windows_battery import BATTERY, discover_windows_battery
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.record.samples import Scope, SourceState

SYSTEM, RELATIVE, SHORT_TERM = 0x80000000, 0x40000000, 0x20000000
ON_LINE, DISCHARGING, CHARGING = 1, 2, 4


class FakeBattery:
    """A slot with a battery: checks what it is asked and answers with structures."""

    def __init__(
        self,
        state: int = DISCHARGING,
        rate_mw: int = -8250,
        *,
        tag: int = 3,
        capabilities: int = SYSTEM,
    ) -> None:
        self.state, self.rate_mw, self.tag, self.capabilities = state, rate_mw, tag, capabilities
        self.error: int | None = None
        self.cut = 0

    def control(self, code: int, size: int, given: bytes = b"") -> bytes:
        if self.error is not None:
            raise OSError(self.error, "broken")
        if code == 0x294040:
            assert (size, given) == (4, bytes(4))
            return struct.pack("<I", self.tag)
        if code == 0x294044:
            assert (size, given) == (36, struct.pack("<III", self.tag, 0, 0))
            return struct.pack("<I", self.capabilities) + bytes(32)
        assert (code, size) == (0x29404C, 16)
        assert given == struct.pack("<IIIII", self.tag, 0, 0, 0, 0)
        answer = struct.pack("<IIIi", self.state, 40_000, 11_400, self.rate_mw)
        return answer[: size - self.cut]


def found(*batteries: FakeBattery) -> Discovery:
    def opener(interface: uuid.UUID) -> list[Any]:
        assert interface == BATTERY
        return list(batteries)

    return discover_windows_battery(opener)


def test_discharging_gives_watts() -> None:
    (meter,) = found(FakeBattery()).meters
    assert meter.read().value == pytest.approx(8.25)
    assert (meter.info.scope, meter.info.total) == (Scope.SYSTEM, "system")


def test_two_batteries_are_one_device_and_other_things_are_not_it() -> None:
    resting = FakeBattery(0, 0)
    mouse = FakeBattery(capabilities=0)
    supply = FakeBattery(capabilities=SYSTEM | SHORT_TERM)
    empty = FakeBattery()
    empty.error = errno.ENOENT
    others = (resting, mouse, supply, empty, FakeBattery(tag=0))
    (meter,) = found(FakeBattery(), *others, FakeBattery(rate_mw=-1750)).meters
    assert meter.read().value == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("battery", "state"),
    [
        (FakeBattery(ON_LINE | CHARGING, 20_000), SourceState.NOT_DISCHARGING),
        (FakeBattery(ON_LINE | DISCHARGING, -500), SourceState.NOT_DISCHARGING),
        (FakeBattery(0, 0), SourceState.NOT_DISCHARGING),
        (FakeBattery(tag=0), SourceState.ABSENT),
        (FakeBattery(rate_mw=-(1 << 31)), SourceState.UNSUPPORTED),
        (FakeBattery(rate_mw=-900_000), SourceState.UNSUPPORTED),
        (FakeBattery(capabilities=SYSTEM | RELATIVE), SourceState.UNSUPPORTED),
    ],
)
def test_no_value_and_why(battery: FakeBattery, state: SourceState) -> None:
    result = found(battery)
    assert result.meters == ()
    (source,) = result.sources
    assert source.state is state
    assert source.reason
    assert bool(source.remedy) == (state is SourceState.NOT_DISCHARGING)


def test_what_goes_wrong_later_is_a_failed_reading() -> None:
    battery = FakeBattery()
    (meter,) = found(battery).meters
    battery.state = ON_LINE | CHARGING
    with pytest.raises(MeterError) as raised:
        meter.read()
    assert raised.value.state is SourceState.NOT_DISCHARGING
    battery.state, battery.cut = DISCHARGING, 2
    with pytest.raises(MeterError, match="cut short"):
        meter.read()
    battery.error = errno.ENODEV
    with pytest.raises(MeterError, match="broken"):
        meter.read()


def test_no_battery_and_none_that_may_be_opened() -> None:
    assert found() == Discovery((), ())

    def refuse(_interface: uuid.UUID) -> list[Any]:
        raise OSError(errno.EACCES, "refused")

    (source,) = discover_windows_battery(refuse).sources
    assert source.state is SourceState.PERMISSION
