"""Energy counters of Windows 11: the Energy Meter Interface (EMI), readable by every user.

Devices with the interface GUID_DEVICE_ENERGY_METER answer control codes (Windows SDK `emi.h`):
their version, their channels' names, and for each channel the energy in picowatt-hours. What a
channel measures is told by its name only:

- `RAPL_Package0_PKG`: the processor package; all of them together are the processor's energy.
- `RAPL_Package0_DRAM`, `_PP0` (cores), `_PP1` (graphics), `_PSYS` (platform).
- `Current Socket Power`: the package on AMD systems that have no RAPL channels.

Channels whose names say something else, such as those of makers' own sensors, stand alone.
"""

from __future__ import annotations

import re
import struct
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgeagent.meter.energy.reading import failed
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import Pace, Snapshot, Take, probe
from edgeagent.meter.tree import state_of
from edgeagent.meter.windows import Device, OpenDevices, open_devices
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

ENERGY_METER = uuid.UUID("45bd8344-7ed6-49cf-a440-c276c933b053")
GET_VERSION, GET_METADATA_SIZE, GET_METADATA, GET_MEASUREMENT = (
    0x226000,
    0x226004,
    0x226008,
    0x22600C,
)
"""CTL_CODE(FILE_DEVICE_UNKNOWN, 0 to 3, METHOD_BUFFERED, FILE_READ_ACCESS)."""

J_PER_PWH = 3.6e-9
MAX_PACKAGE_POWER_W = 1000.0
INTERVAL_S = 0.1
"""Drivers may serve a value for a while; the interface does not say how long."""

_PACE = Pace(interval_s=0.02, duty=0.003)
_STILL_S = 0.1
_PICOWATT_HOURS = 0
_NAME_BYTES = 32
_MAX_METADATA = 1 << 16
_RAPL = re.compile(r"RAPL_Package(?P<package>\d+)_(?P<part>[A-Z0-9]+)")
_PARTS = {
    "PKG": ("package", Scope.PACKAGE, "cpu"),
    "PSYS": ("psys", Scope.SYSTEM, "system"),
    "DRAM": ("dram", Scope.RAIL, None),
    "PP0": ("pp0", Scope.RAIL, None),
    "PP1": ("pp1", Scope.RAIL, None),
}
_SOCKET = "Current Socket Power"


@dataclass(frozen=True, slots=True)
class Channel:
    """One counter of a device.

    Attributes:
        name: As the device gives it.
        index: Its place in a measurement.
    """

    name: str
    index: int


def discover_emi(opener: OpenDevices = open_devices) -> Discovery:
    """Find the energy meters of Windows and probe each channel by reading a value."""
    try:
        devices = opener(ENERGY_METER)
    except OSError as error:
        return _nothing(state_of(error), f"The energy meters cannot be opened: {error}.")
    parts: list[Discovery] = []
    problems: list[tuple[SourceState, str]] = []
    taken: set[str] = set()
    channels_of = [(device, _channels_or_problem(device, problems)) for device in devices]
    names = {channel.name for _, channels in channels_of for channel in channels}
    for device, channels in channels_of:
        wanted = []
        for channel in channels:
            info = _describe(channel.name, names)
            if info.source not in taken:  # the same counter can be shown by several devices
                taken.add(info.source)
                wanted.append((info, (str(channel.index),)))
        if wanted:
            parts.append(_probe(device, wanted, len(channels)))
    found = Discovery.union(parts)
    if any(source.scope is Scope.PACKAGE for source in found.sources):
        return found
    state, reason = problems[0] if problems else (SourceState.ABSENT, _NO_PACKAGE)
    return Discovery.union((_nothing(state, reason), found))


_NO_PACKAGE = (
    "Windows shows no energy counter of the processor; Windows 11 does on many laptops, and not in "
    "virtual machines."
)


def parse_metadata(version: int, data: bytes) -> tuple[Channel, ...]:
    """Return the channels that a device's metadata names.

    Args:
        version: 1 or 2, of the interface.
        data: EMI_METADATA_V1 or EMI_METADATA_V2.

    Raises:
        ValueError: It is cut short, of another version or in another unit.
    """
    try:
        if version == 1:
            return (_channel_v1(data),)
        if version == 2:
            return tuple(_channels_v2(data))
    except struct.error as error:
        raise ValueError("the description of its channels is cut short") from error
    raise ValueError(f"version {version} of the interface is not known")


def _channel_v1(data: bytes) -> Channel:
    """Read the unit, two names, a revision, and the name of what is metered."""
    (unit,) = struct.unpack_from("<I", data)
    _check_unit(unit)
    (size,) = struct.unpack_from("<H", data, 4 + 2 * _NAME_BYTES + 2)
    return Channel(_name(data, 4 + 2 * _NAME_BYTES + 4, size), 0)


def _channels_v2(data: bytes) -> Iterator[Channel]:
    """Read two names, a revision, the number of channels, and unit and name of each."""
    (count,) = struct.unpack_from("<H", data, 2 * _NAME_BYTES + 2)
    offset = 2 * _NAME_BYTES + 4
    for index in range(count):
        unit, size = struct.unpack_from("<IH", data, offset)
        _check_unit(unit)
        yield Channel(_name(data, offset + 6, size), index)
        offset += 6 + size


def _check_unit(unit: int) -> None:
    if unit != _PICOWATT_HOURS:
        raise ValueError(f"unit {unit} is not known")


def _name(data: bytes, offset: int, size: int) -> str:
    if offset + size > len(data):
        raise ValueError("the name of a channel is cut short")
    text = data[offset : offset + size].decode("utf-16-le", errors="replace")
    return text.partition("\0")[0].strip()


def parse_measurement(data: bytes, count: int) -> tuple[float, ...]:
    """Return the energy of each channel in joules from EMI_CHANNEL_MEASUREMENT_DATA structures.

    Raises:
        ValueError: There are fewer than `count`.
    """
    try:
        pairs = [struct.unpack_from("<QQ", data, 16 * index) for index in range(count)]
    except struct.error as error:
        raise ValueError("the measurement is cut short") from error
    return tuple(energy_pwh * J_PER_PWH for energy_pwh, _time in pairs)


def _channels_or_problem(
    device: Device, problems: list[tuple[SourceState, str]]
) -> tuple[Channel, ...]:
    try:
        (version,) = struct.unpack("<H", device.control(GET_VERSION, 2))
        (size,) = struct.unpack("<I", device.control(GET_METADATA_SIZE, 4))
        if size > _MAX_METADATA:
            raise ValueError(f"a description of {size} bytes is not credible")
        return parse_metadata(version, device.control(GET_METADATA, size))
    except OSError as error:
        reason = f"An energy meter of Windows does not answer: {error.strerror or error}."
        problems.append((state_of(error), reason))
    except (ValueError, struct.error) as error:
        reason = f"An energy meter of Windows is not understood: {error}."
        problems.append((SourceState.UNSUPPORTED, reason))
    return ()


def _describe(name: str, names: set[str]) -> SourceInfo:
    """Return the source that a channel is."""
    found = _RAPL.fullmatch(name)
    if found is not None and found["part"] in _PARTS:
        part, scope, total = _PARTS[found["part"]]
        return _info(f"emi:{part}-{found['package']}", scope, total)
    if name == _SOCKET and not any(other.endswith("_PKG") for other in names):
        return _info("emi:package-0", Scope.PACKAGE, "cpu")
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"
    return _info(f"emi:{slug}", Scope.RAIL, None)


def _info(source: str, scope: Scope, total: str | None) -> SourceInfo:
    return SourceInfo(
        source=source,
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        scope=scope,
        total=total,
        interval_s=INTERVAL_S,
        max_power_w=MAX_PACKAGE_POWER_W,
    )


def _probe(
    device: Device, wanted: Sequence[tuple[SourceInfo, tuple[str, ...]]], count: int
) -> Discovery:
    """Make a meter of every channel that moves; one look reads all of them."""

    def look() -> Mapping[str, float]:
        values = parse_measurement(device.control(GET_MEASUREMENT, 16 * count), count)
        return {str(index): value for index, value in enumerate(values)}

    found = probe(wanted, Snapshot(look), _PACE, "The energy meter of Windows")
    if not found.meters:
        return found
    dead = _dead(look)
    keys = {info.source: keys[0] for info, keys in wanted}
    return Discovery(
        tuple(meter for meter in found.meters if keys[meter.info.source] not in dead),
        tuple(
            failed(source, SourceState.STALE, "The counter stands still at zero.")
            if source.state is SourceState.OK and keys[source.source] in dead
            else source
            for source in found.sources
        ),
    )


def _dead(look: Take) -> frozenset[str]:
    """Return the channels that stand at zero: parts that the processor has not wired."""
    try:
        first = look()
        if all(first.values()):
            return frozenset()
        time.sleep(_STILL_S)
        second = look()
    except (OSError, ValueError):
        return frozenset()
    return frozenset(key for key in first if first[key] == second.get(key) == 0.0)


def _nothing(state: SourceState, reason: str) -> Discovery:
    info = _info("emi:package", Scope.PACKAGE, None)
    remedy = "Run on battery where there is one, or use an external power meter."
    return Discovery((), (failed(info, state, reason, remedy),))
