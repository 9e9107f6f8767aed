"""Windows' energy meters: structures byte by byte (synthetic), libraries replaced by fakes."""

from __future__ import annotations

import ctypes
import errno
import struct
import sys
import uuid
from typing import Any

import pytest

from edgeagent.meter import windows
from edgeagent.meter.energy import emi
from edgeagent.meter.energy.emi import ENERGY_METER, J_PER_PWH, discover_emi, parse_metadata
from edgeagent.meter.protocol import MeterError
from edgeagent.meter.windows import Libraries, open_devices
from edgeagent.record.samples import SampleKind, Scope, SourceState

RAPL = ("RAPL_Package0_PKG", "RAPL_Package0_PP0", "RAPL_Package0_PP1", "RAPL_Package0_DRAM")
PWH_PER_J = 1 / J_PER_PWH


def wide(text: str, size: int | None = None) -> bytes:
    raw = f"{text}\0".encode("utf-16-le")
    return raw if size is None else raw[:size].ljust(size, b"\0")


def metadata_v2(names: tuple[str, ...], unit: int = 0) -> bytes:
    head = wide("Microsoft", 32) + wide("EMI", 32) + struct.pack("<HH", 1, len(names))
    channels = b"".join(struct.pack("<IH", unit, len(wide(n))) + wide(n) for n in names)
    return head + channels


def metadata_v1(name: str) -> bytes:
    head = struct.pack("<I", 0) + wide("Maxim", 32) + wide("MAX34407", 32)
    return head + struct.pack("<HH", 1, len(wide(name))) + wide(name)


class FakeDevice:
    """Answers control codes with bytes; a number raises that error."""

    def __init__(
        self, names: tuple[str, ...] = RAPL, *, version: int = 2, metadata: bytes | None = None
    ) -> None:
        if metadata is None:
            metadata = metadata_v1(names[0]) if version == 1 else metadata_v2(names)
        self.energies_j = [100.0 * (index + 1) for index in range(len(names))]
        self.answers: dict[int, bytes | int] = {
            0x226000: struct.pack("<H", version),
            0x226004: struct.pack("<I", len(metadata)),
            0x226008: metadata,
        }

    def control(self, code: int, size: int, given: bytes = b"") -> bytes:
        assert given == b""
        answer = self.answers.get(code)
        if isinstance(answer, int):
            raise OSError(answer, "broken")
        if answer is None:
            assert code == 0x22600C
            answer = b"".join(
                struct.pack("<QQ", round(energy * PWH_PER_J), 7) for energy in self.energies_j
            )
        return answer[:size]


def test_a_laptop_with_rapl_channels() -> None:
    found = discover_emi(lambda _guid: [FakeDevice()])
    assert [(s.source, s.scope, s.total) for s in found.sources] == [
        ("emi:package-0", Scope.PACKAGE, "cpu"),
        ("emi:pp0-0", Scope.RAIL, None),
        ("emi:pp1-0", Scope.RAIL, None),
        ("emi:dram-0", Scope.RAIL, None),
    ]
    assert all(source.kind is SampleKind.COUNTER for source in found.sources)
    values = [meter.read().value for meter in found.meters]
    assert values == pytest.approx([100.0, 200.0, 300.0, 400.0])


def test_one_picowatt_hour_is_3_6_nanojoules() -> None:
    data = struct.pack("<QQ", 10**12, 0)  # one watt-hour
    assert emi.parse_measurement(data, 1) == (pytest.approx(3600.0),)


def test_packages_are_selected_over_all_devices_and_shown_once() -> None:
    second = FakeDevice(("RAPL_Package1_PKG", "RAPL_Package1_DRAM"))
    found = discover_emi(lambda _guid: [FakeDevice(), second, FakeDevice()])
    names = [source.source for source in found.sources]
    assert len(names) == len(set(names))
    assert [s.source for s in found.sources if s.total == "cpu"] == [
        "emi:package-0",
        "emi:package-1",
    ]


def test_version_1_has_one_channel_that_stands_alone() -> None:
    found = discover_emi(lambda _guid: [FakeDevice(("CPU Cores",), version=1)])
    package, rail = found.sources
    assert (package.source, package.state) == ("emi:package", SourceState.ABSENT)
    assert (rail.source, rail.scope, rail.total) == ("emi:cpu-cores", Scope.RAIL, None)
    assert [meter.read().value for meter in found.meters] == pytest.approx([100.0])


def test_the_socket_of_amd_is_the_package_only_without_rapl_channels() -> None:
    amd = ("VDDCR_VDD Power", "VDDCR_SOC Power", "Current Socket Power", "Apu Power")
    found = discover_emi(lambda _guid: [FakeDevice(amd)])
    assert [s.source for s in found.sources if s.total == "cpu"] == ["emi:package-0"]
    (package,) = (m for m in found.meters if m.info.source == "emi:package-0")
    assert package.read().value == pytest.approx(300.0)
    both = discover_emi(lambda _guid: [FakeDevice(amd), FakeDevice()])
    assert [s.source for s in both.sources if s.total == "cpu"] == ["emi:package-0"]
    (socket,) = (s for s in both.sources if s.source == "emi:current-socket-power")
    assert socket.total is None


def test_channels_that_stand_at_zero_are_no_measured_zero() -> None:
    device = FakeDevice()
    device.energies_j[2] = 0.0
    found = discover_emi(lambda _guid: [device])
    states = {source.source: source.state for source in found.sources}
    assert states["emi:pp1-0"] is SourceState.STALE
    assert states["emi:package-0"] is SourceState.OK
    assert "emi:pp1-0" not in {meter.info.source for meter in found.meters}


@pytest.mark.parametrize(
    ("broken", "state"),
    [
        ({0x226000: errno.EOPNOTSUPP}, SourceState.UNSUPPORTED),
        ({0x226000: errno.EACCES}, SourceState.PERMISSION),
        ({0x226000: struct.pack("<H", 3)}, SourceState.UNSUPPORTED),
        ({0x226000: b""}, SourceState.UNSUPPORTED),
        ({0x226004: struct.pack("<I", 1 << 30)}, SourceState.UNSUPPORTED),
        ({0x226008: metadata_v2(RAPL)[:-9]}, SourceState.UNSUPPORTED),
        ({0x226008: metadata_v2(RAPL)[:70]}, SourceState.UNSUPPORTED),
        ({0x226008: metadata_v2(RAPL, unit=7)}, SourceState.UNSUPPORTED),
    ],
)
def test_devices_that_do_not_answer_are_explained(
    broken: dict[int, bytes | int], state: SourceState
) -> None:
    device = FakeDevice()
    device.answers.update(broken)
    found = discover_emi(lambda _guid: [device])
    (package,) = found.sources
    assert (package.source, package.state) == ("emi:package", state)
    assert package.reason
    assert package.remedy


def test_no_devices_and_no_list_of_devices() -> None:
    (package,) = discover_emi(lambda _guid: []).sources
    assert package.state is SourceState.ABSENT
    assert "virtual machines" in package.reason

    def refuse(_guid: uuid.UUID) -> list[Any]:
        raise OSError(errno.EACCES, "refused")

    (package,) = discover_emi(refuse).sources
    assert package.state is SourceState.PERMISSION


def test_errors_and_short_answers_later_are_failed_readings() -> None:
    device = FakeDevice()
    (meter, *_) = discover_emi(lambda _guid: [device]).meters
    for answer in (errno.ENODEV, b"\0" * 8):
        device.answers[0x22600C] = answer
        with pytest.raises(MeterError):
            meter.read()


def test_a_name_longer_than_the_metadata_is_refused() -> None:
    with pytest.raises(ValueError, match="cut short"):
        parse_metadata(1, metadata_v1("CPU")[:-2])


# The system libraries, replaced: what is passed to them and how their structures are laid out.

DEVICE_PATH = r"\\?\ACPI#GenuineIntel#0#{45bd8344-7ed6-49cf-a440-c276c933b053}"


class FakeWindows:
    """`setupapi` and `kernel32` with one energy meter behind them."""

    def __init__(self, *, openable: bool = True) -> None:
        self.device = FakeDevice()
        self.openable = openable
        self.error = 0
        self.closed: list[int] = []

    def SetupDiGetClassDevsW(self, guid: Any, _e: None, _h: None, flags: Any) -> int:  # noqa: N802
        assert bytes(guid._obj) == ENERGY_METER.bytes_le
        assert flags.value == 0x12
        return 77

    def SetupDiEnumDeviceInterfaces(  # noqa: N802
        self, devices: Any, _info: None, _guid: Any, index: Any, data: Any
    ) -> int:
        pointer = ctypes.sizeof(ctypes.c_void_p)
        assert devices.value == 77
        assert data._obj.cbSize == ctypes.sizeof(data._obj) == 24 + pointer
        self.error = 259
        return int(index.value == 0)

    def SetupDiGetDeviceInterfaceDetailW(  # noqa: N802
        self, _devices: Any, _data: Any, buffer: Any, size: Any, needed: Any, _info: None
    ) -> int:
        path = wide(DEVICE_PATH)
        if buffer is None:
            assert size.value == 0
            needed._obj.value = 4 + len(path)
            self.error = 122
            return 0
        assert size.value == 4 + len(path)
        fixed = 8 if ctypes.sizeof(ctypes.c_void_p) == 8 else 6
        assert buffer.raw[:4] == struct.pack("<I", fixed)
        ctypes.memmove(ctypes.addressof(buffer) + 4, path, len(path))
        return 1

    def SetupDiDestroyDeviceInfoList(self, devices: Any) -> int:  # noqa: N802
        self.closed.append(devices.value)
        return 1

    def CreateFileW(self, path: Any, access: Any, share: Any, *rest: Any) -> int | None:  # noqa: N802
        assert path.value == DEVICE_PATH
        assert (access.value, share.value) == (0x80000000, 3)
        self.error = 5
        return 99 if self.openable else ctypes.c_void_p(-1).value

    def DeviceIoControl(  # noqa: N802
        self, handle: Any, code: Any, given: Any, given_size: Any, buffer: Any, *rest: Any
    ) -> int:
        size, returned, overlapped = rest
        assert (handle.value, given, given_size.value, overlapped) == (99, None, 0, None)
        try:
            answer = self.device.control(code.value, size.value)
        except OSError:
            self.error = 50
            return 0
        ctypes.memmove(buffer, answer, len(answer))
        returned._obj.value = len(answer)
        return 1

    def CloseHandle(self, handle: Any) -> int:  # noqa: N802
        self.closed.append(handle.value)
        return 1


def libraries(fake: FakeWindows) -> Libraries:
    return Libraries(fake, fake, lambda: fake.error)


def test_devices_are_listed_opened_asked_and_closed() -> None:
    fake = FakeWindows()
    found = discover_emi(lambda guid: open_devices(guid, libraries(fake)))
    assert found.meters[0].read().value == pytest.approx(100.0)
    assert fake.closed == [77]
    del found
    import gc

    gc.collect()
    assert fake.closed == [77, 99]


def test_a_device_that_may_not_be_opened_is_a_matter_of_permission() -> None:
    fake = FakeWindows(openable=False)
    with pytest.raises(PermissionError, match="error 5"):
        open_devices(ENERGY_METER, libraries(fake))


def test_a_control_code_that_is_not_supported() -> None:
    fake = FakeWindows()
    fake.device.answers[0x226000] = errno.EINVAL
    (package,) = discover_emi(lambda guid: open_devices(guid, libraries(fake))).sources
    assert package.state is SourceState.UNSUPPORTED
    assert "error 50" in package.reason


@pytest.mark.skipif(sys.platform == "win32", reason="the libraries are there")
def test_elsewhere_there_is_nothing_to_load() -> None:
    with pytest.raises(OSError, match="not Windows"):
        windows.system_libraries()
    assert discover_emi().meters == ()
