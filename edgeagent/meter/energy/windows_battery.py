"""Power that the batteries of a Windows laptop deliver, readable by every user.

Battery devices answer control codes (Windows SDK `poclass.h`): IOCTL_BATTERY_QUERY_TAG gives the
number of the battery that is in the slot, IOCTL_BATTERY_QUERY_STATUS its state, voltage and rate.
The rate is in mW, negative while discharging, unless the battery says by its capabilities that its
units are relative ones; firmware renews it every few seconds at best, so it serves whole runs.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence

from edgeagent.meter.energy.reading import failed, offer
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import state_of
from edgeagent.meter.windows import Device, OpenDevices, open_devices
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

BATTERY = uuid.UUID("72631e54-78a4-11d0-bcf7-00aa00b7b32a")
QUERY_TAG, QUERY_INFORMATION, QUERY_STATUS = 0x294040, 0x294044, 0x29404C
"""CTL_CODE(FILE_DEVICE_BATTERY, 0x10, 0x11 and 0x13, METHOD_BUFFERED, FILE_READ_ACCESS)."""

INTERVAL_S = 5.0
_READ_EVERY_S = 1.0
_ON_LINE, _DISCHARGING = 0x1, 0x2
_UNKNOWN_RATE = -(1 << 31)
_SYSTEM_BATTERY, _RELATIVE_UNITS, _SHORT_TERM = 0x80000000, 0x40000000, 0x20000000
_INFORMATION_BYTES = 36
_MAX_MW = 500_000
_W_PER_MW = 1e-3

_INFO = SourceInfo(
    source="battery:discharge",
    quantity="power_w",
    kind=SampleKind.SAMPLED,
    scope=Scope.SYSTEM,
    resolution=_W_PER_MW,
    total="system",
    interval_s=INTERVAL_S,
    max_power_w=_MAX_MW * _W_PER_MW,
)
_UNPLUG = "Unplug the charger, for the whole run."


def discover_windows_battery(opener: OpenDevices = open_devices) -> Discovery:
    """Find the batteries of the device and probe what they deliver together."""
    try:
        devices = opener(BATTERY)
    except OSError as error:
        state = state_of(error)
        return Discovery((), (failed(_INFO, state, f"The battery cannot be opened: {error}."),))
    if not devices:
        return Discovery((), ())
    return offer(
        _INFO,
        lambda: _power_w(devices),
        min_interval_s=_READ_EVERY_S,
        remedies={SourceState.NOT_DISCHARGING: _UNPLUG},
    )


def _power_w(devices: Sequence[Device]) -> float:
    """Return what all batteries of the device deliver.

    Raises:
        OSError: Windows gives no value.
        ValueError: It gives something that is no value.
        MeterError: A charger feeds the device, or there is no battery in it.
    """
    powers_w = [watts for device in devices if (watts := _discharge_w(device)) is not None]
    if not powers_w:
        raise MeterError("There is no battery in the device.", SourceState.ABSENT)
    if not any(powers_w):
        raise MeterError("No battery is discharging.", SourceState.NOT_DISCHARGING)
    return sum(powers_w)


def _discharge_w(device: Device) -> float | None:
    """Return what one battery delivers, `None` for an empty slot or a battery of something else."""
    try:
        (tag,) = _unpack("<I", device.control(QUERY_TAG, 4, struct.pack("<I", 0)))
    except FileNotFoundError:  # how an empty slot answers
        return None
    if tag == 0:
        return None
    request = struct.pack("<IiI", tag, 0, 0)  # BATTERY_QUERY_INFORMATION, level BatteryInformation
    (capabilities,) = _unpack(
        "<I", device.control(QUERY_INFORMATION, _INFORMATION_BYTES, request)[:4]
    )
    if not capabilities & _SYSTEM_BATTERY or capabilities & _SHORT_TERM:
        return None  # of a mouse, or a power supply for short outages
    if capabilities & _RELATIVE_UNITS:
        raise ValueError("the battery tells its rate in units of its own, not in milliwatts")
    wait = struct.pack("<IIIII", tag, 0, 0, 0, 0)  # BATTERY_WAIT_STATUS: answer at once
    state, _capacity, _voltage, rate_mw = _unpack("<IIIi", device.control(QUERY_STATUS, 16, wait))
    if state & _ON_LINE:
        raise MeterError("The device runs on its charger.", SourceState.NOT_DISCHARGING)
    if rate_mw == _UNKNOWN_RATE:
        raise ValueError("the battery does not tell its rate")
    if abs(rate_mw) > _MAX_MW:
        raise ValueError(f"a rate of {rate_mw} mW is not credible")
    if not state & _DISCHARGING:
        return 0.0  # at rest beside another battery that delivers
    return abs(rate_mw) * _W_PER_MW


def _unpack(layout: str, data: bytes) -> tuple[int, ...]:
    if len(data) != struct.calcsize(layout):
        raise ValueError("its answer is cut short")
    return struct.unpack(layout, data)
