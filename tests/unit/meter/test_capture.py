"""Captures: what they contain, what they never contain, and what playing them back gives."""

from __future__ import annotations

import errno
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from machine_trees import (
    MACHINES,
    SECRETS,
    MovingTree,
    desktop_without_permission,
    jetson_orin_nano,
    laptop_on_battery,
)

from edgeagent.errors import ConfigError, ResourceError, RunDataError
from edgeagent.meter.capture import file as file_module
from edgeagent.meter.capture.file import load_capture, save_capture
from edgeagent.meter.capture.format import Capture, CapturedFile, Origin, Reading
from edgeagent.meter.capture.replay import Replay
from edgeagent.meter.capture.scrub import Scrubber
from edgeagent.meter.capture.take import take_capture
from edgeagent.meter.discover import discover
from edgeagent.meter.tree import SystemTree
from edgeagent.record.energy.counters import counter_curve
from edgeagent.record.samples import SourceState

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sysfs names and links need POSIX")

PRIVATE = ("ada-lovelace", "babbage-desk")

HOME = "/" + "home"  # project checks refuse paths that look like somebody's


def capture(machine: MovingTree, **options: object) -> Capture:
    given = {"duration_s": 0.0, "origin": Origin.SYNTHETIC, "sleep": lambda _: None, **options}
    return take_capture(machine.tree, scrubber=Scrubber(PRIVATE), **given)  # type: ignore[arg-type]


def text_of(taken: Capture, path: str) -> str | None:
    (file,) = [file for file in taken.files if file.path == path]
    return file.readings[0].text


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> MovingTree:
    build: Callable[[Path], MovingTree] = MACHINES[request.param]
    return build(tmp_path / "machine")


def test_nothing_that_identifies_is_in_the_file(machine: MovingTree, tmp_path: Path) -> None:
    save_capture(capture(machine), tmp_path / "c.json")
    text = (tmp_path / "c.json").read_text(encoding="utf-8")
    for secret in SECRETS:
        assert secret.lower() not in text.lower()
    for folder in ("notes.txt", "hostname", "eth0", "product_serial", "asset_tag"):
        assert folder not in text


def test_a_capture_discovers_the_same_as_the_machine(machine: MovingTree, tmp_path: Path) -> None:
    """Whatever discovery reads must be on the allow-list, also of sources that come later."""
    there = discover(4242, machine.tree)
    path = tmp_path / "c.json.gz"
    save_capture(capture(machine), path)
    with Replay(load_capture(path)) as replay:
        assert replay.pid == 4242
        here = discover(replay.pid, replay.tree)
        read = {meter.info.source: meter.read().value for meter in here.meters}
    expected = {
        info.source: (info.state, info.quantity, info.total, info.counter_range)
        for info in there.sources
    }
    # A device that sleeps is not read, so its values are not there to be offered.
    asleep = {name for name in expected if name.startswith("hwmon:amdgpu")}
    assert {
        info.source: (info.state, info.quantity, info.total, info.counter_range)
        for info in here.sources
    } == {name: value for name, value in expected.items() if name not in asleep}
    for meter in there.meters:
        assert read[meter.info.source] == pytest.approx(meter.read().value)


def test_every_file_that_discovery_read_is_in_the_capture(machine: MovingTree) -> None:
    taken = {file.path for file in capture(machine).files}
    machine.read_paths.clear()
    discover(4242, machine.tree)
    scrub = Scrubber(PRIVATE)
    missing = {
        path
        for name in machine.read_paths
        if (path := scrub.path(name)) not in taken
        and (machine.root / name).is_file()
        and "hwmon1/power1" not in path  # of the device that sleeps
    }
    assert not missing


def test_links_between_classes_and_devices_are_kept(tmp_path: Path) -> None:
    machine = jetson_orin_nano(tmp_path)
    (machine.root / "proc/device-tree").unlink()  # the kernel's own link is absolute
    (machine.root / "proc/device-tree").symlink_to("/sys/firmware/devicetree/base")
    taken = capture(machine)
    assert taken.links["proc/device-tree"] == "../sys/firmware/devicetree/base"
    chip = "devices/platform/bus@0/c240000.i2c/i2c-1/1-0040"
    assert taken.links["sys/bus/i2c/drivers/ina3221/1-0040"] == f"../../../../{chip}"
    assert taken.links["sys/class/hwmon/hwmon1"] == f"../../{chip}/hwmon/hwmon1"
    with Replay(taken) as replay:
        label = replay.tree.sys / "class/hwmon/hwmon1/device/hwmon/hwmon1/in1_label"
        assert replay.tree.text(label) == "VDD_IN"
        assert replay.tree.text(replay.tree.proc / "device-tree/model") == (
            "NVIDIA Jetson Orin Nano Developer Kit\0"
        )


def test_errors_are_kept_and_raised_again(tmp_path: Path) -> None:
    with Replay(capture(desktop_without_permission(tmp_path / "a"))) as replay:
        with pytest.raises(OSError, match="Permission denied") as caught:
            replay.tree.read(replay.tree.sys / "class/powercap/intel-rapl:0/energy_uj")
        assert caught.value.errno == errno.EACCES
        states = {s.source: s for s in discover(0, replay.tree).sources}
        assert states["rapl:package-0"].state is SourceState.PERMISSION
        assert states["rapl:package-0"].remedy
    with Replay(capture(jetson_orin_nano(tmp_path / "b"))) as replay:
        with pytest.raises(BlockingIOError):
            replay.tree.read(replay.tree.sys / "class/thermal/thermal_zone1/temp")
        with pytest.raises(FileNotFoundError):
            replay.tree.read(replay.tree.sys / "class/thermal/thermal_zone2/temp")


def test_a_device_that_sleeps_is_not_woken(tmp_path: Path) -> None:
    machine = desktop_without_permission(tmp_path)
    taken = capture(machine)
    value = "sys/devices/pci0000:00/0000:03:00.0/hwmon/hwmon1/power1_average"
    assert "suspended" in taken.left_out[value]
    assert value not in machine.read_paths


def test_tables_of_the_kernel_come_back_byte_by_byte(tmp_path: Path) -> None:
    machine = laptop_on_battery(tmp_path)
    table = bytes(range(256))
    device = "sys/devices/pci0000:00/0000:04:00.0"
    machine.write(f"{device}/vendor", "0x1002")
    (machine.root / device / "gpu_metrics").write_bytes(table)
    machine.link("sys/class/drm/card1/device", device)
    with Replay(capture(machine)) as replay:
        place = replay.tree.sys / "class/drm/card1/device/gpu_metrics"
        assert place.read_bytes() == table


def moving_laptop(root: Path, watts: float, *, frames: int) -> tuple[MovingTree, list[float]]:
    """Let the package counter gain `watts` and wrap once, half a second a frame."""
    machine = laptop_on_battery(root)
    clock = [0.0]
    range_uj = 262143328850
    start_uj = range_uj - round(watts * 1e6 * frames * 0.5 / 2)
    machine.values["sys/devices/virtual/powercap/intel-rapl:0/energy_uj"] = lambda: (
        f"{(start_uj + round(clock[0] * watts * 1e6)) % (range_uj + 1)}\n"
    )
    return machine, clock


def test_frames_are_played_back_and_totals_are_right(tmp_path: Path) -> None:
    machine, clock = moving_laptop(tmp_path, 20.0, frames=10)

    def sleep(_: float) -> None:
        clock[0] += 0.5

    taken = capture(machine, duration_s=5.0, sleep=sleep)
    assert len(taken.frame_t_s) == 11
    # The test's time passes in leaps; frames carry the clock of the values.
    taken = taken.model_copy(update={"frame_t_s": tuple(0.5 * index for index in range(11))})
    with Replay(taken) as replay:
        found = discover(replay.pid, replay.tree)
        played = replay.play(found.meters, start_ns=7)
        package = [s for s in played.samples if s.source == "rapl:package-0"]
        info = next(s for s in found.sources if s.source == "rapl:package-0")
        between = replay.play(found.meters, (0.0, 0.74, 0.76)).samples
    assert [sample.t_ns for sample in package] == [7 + index * 500_000_000 for index in range(11)]
    assert min(sample.value for sample in package) < 100 < max(sample.value for sample in package)
    ends_nj = counter_curve(info, package).at_nj(np.array([7, 7 + 5_000_000_000]))
    assert np.diff(ends_nj)[0] / 1e9 == pytest.approx(100.0, rel=1e-4)
    values = [sample.value for sample in between if sample.source == "rapl:package-0"]
    assert values == [package[0].value, package[1].value, package[1].value]
    assert played.failures == ()


def test_only_what_moved_is_stored_again(tmp_path: Path) -> None:
    machine, clock = moving_laptop(tmp_path, 20.0, frames=4)

    def sleep(_: float) -> None:
        clock[0] += 0.5

    taken = capture(machine, duration_s=2.0, sleep=sleep)
    readings = {file.path: len(file.readings) for file in taken.files}
    assert readings.pop("sys/devices/virtual/powercap/intel-rapl:0/energy_uj") == 5
    assert set(readings.values()) == {1}


def test_hardware_that_is_unplugged_while_it_is_captured(tmp_path: Path) -> None:
    machine = laptop_on_battery(tmp_path)
    frame = [0]
    energy = "sys/devices/virtual/powercap/intel-rapl:0/energy_uj"

    def value() -> str:
        if frame[0] == 1:
            raise OSError(errno.ENODEV, "No such device")
        return f"{1000 + frame[0]}\n"

    machine.values[energy] = value
    taken = capture(machine, duration_s=1.5, sleep=lambda _: frame.__setitem__(0, frame[0] + 1))
    taken = taken.model_copy(update={"frame_t_s": (0.0, 0.5, 1.0, 1.5)})
    with Replay(taken) as replay:
        meters = [m for m in discover(0, replay.tree).meters if m.info.source == "rapl:package-0"]
        played = replay.play(meters)
    assert [round(sample.value * 1e6) for sample in played.samples] == [1000, 1002, 1003]
    (failure,) = played.failures
    assert failure.t_ns == 500_000_000
    assert failure.state is SourceState.ABSENT


def test_limits_are_kept_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = laptop_on_battery(tmp_path)
    machine.write("proc/cpuinfo", "flags: " + "x" * 70_000)
    monkeypatch.setattr("edgeagent.meter.capture.take.MAX_FILES", 10)
    taken = capture(machine)
    assert len(taken.files) <= 10
    assert "too many files" in taken.left_out.values()
    monkeypatch.undo()
    assert capture(machine).left_out["proc/cpuinfo"] == "longer than 64 KiB"


def test_without_a_sensor_tree_there_is_nothing_to_capture(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only Linux has"):
        take_capture(SystemTree(tmp_path))


def test_a_link_out_of_the_root_is_not_followed(tmp_path: Path) -> None:
    machine = laptop_on_battery(tmp_path / "root")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "type").write_text("secret")
    (machine.root / "sys/class/power_supply/evil").symlink_to(tmp_path / "outside")
    (machine.root / "sys/class/power_supply/loop").symlink_to("loop")
    (machine.root / "sys/class/power_supply/up").symlink_to("../../../../outside")
    taken = capture(machine)
    assert not {link for link in taken.links if link.endswith(("evil", "loop", "up"))}
    assert "secret" not in taken.model_dump_json()


def test_the_same_stand_in_everywhere() -> None:
    scrub = Scrubber(PRIVATE)
    first = scrub.text("NAME=hid-48:b0:2d:aa:bb:cc-battery\n")
    assert first == f"NAME={scrub.path('hid-48:B0:2D:AA:BB:CC-battery')}\n"
    assert scrub.path("hid-48:b0:2d:aa:bb:cd-battery") not in first
    assert scrub.text(f"{HOME}/ada/swap 0000:03:00.0 1-0040 intel-rapl:0") == (
        f"{HOME}/private/swap 0000:03:00.0 1-0040 intel-rapl:0"
    )
    assert scrub.text(
        "model name\t: AMD Ryzen\nSerial\t\t: 12\nPOWER_SUPPLY_SERIAL_NUMBER= 7\n"
    ) == ("model name\t: AMD Ryzen\nSerial\t\t:(removed)\nPOWER_SUPPLY_SERIAL_NUMBER=(removed)\n")
    assert scrub.text("cpu  123456789012345678901234 0\n") == "cpu  123456789012345678901234 0\n"


def test_names_that_identify_nobody_are_left() -> None:
    assert Scrubber(["root", "jetson", "pi"]).text("jetson root pi") == "jetson root pi"
    max_too = Scrubber(["max", "Temp", "maxine"])
    assert max_too.path("temp1_max") == "temp1_max"
    assert max_too.text(f"max maxine {HOME}/max/x\n") == f"max private1 {HOME}/private/x\n"


GOOD = Capture(
    origin=Origin.SYNTHETIC,
    edgeagent_version="0",
    system="Linux",
    machine="x",
    frame_t_s=(0.0, 0.5),
    links={"sys/class/a": "../devices/a"},
    files=(CapturedFile(path="sys/devices/a/name", readings=(Reading(frame=0, text="a\n"),)),),
    left_out={},
    removed={},
)


def file(path: str, *readings: Reading) -> CapturedFile:
    return CapturedFile(path=path, readings=readings or (Reading(frame=0, text="x"),))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"files": (file("/etc/passwd"),)}, "not a path below the root"),
        ({"files": (file("sys/../../etc/x"),)}, "not a path below the root"),
        ({"files": (file("sys//x"),)}, "not a path below the root"),
        ({"files": (file("sys/x\0y"),)}, "not a path below the root"),
        ({"files": (file("a" * 300),)}, "not a path below the root"),
        ({"files": (file("a/b\\c"),)}, "not a path below the root"),
        ({"links": {"sys/a": "/etc"}}, "does not lead straight"),
        ({"links": {"sys/a": "../../etc"}}, "does not lead straight"),
        ({"links": {"sys/a": "b/../../../etc"}}, "does not lead straight"),
        ({"links": {"sys/a": "a"}}, "does not lead straight"),
        ({"links": {"p/q/r/b": "../../../z", "p/q/r/a": "b/x"}}, "does not lead straight"),
        ({"links": {"sys/devices/a": "../x"}}, "lies below"),
        ({"links": {"sys/devices/a/name": "x"}}, "occurs twice"),
        ({"files": (file("a"), file("a/b"))}, "lies below"),
        ({"files": (file("a"), file("a"))}, "occurs twice"),
        ({"frame_t_s": ()}, "order of time"),
        ({"frame_t_s": (1.0, 0.0)}, "order of time"),
        ({"frame_t_s": tuple(map(float, range(2000)))}, "2000 frames"),
        ({"files": (file("a", Reading(frame=2, text="x")),)}, "frames that do not exist"),
        ({"files": (file("a", Reading(frame=0, text="x", error="EIO")),)}, "neither worked"),
        ({"files": (file("a", Reading(frame=0, error="rm -rf")),)}, "without a name"),
        ({"files": (file("a", Reading(frame=0, base64="%")),)}, "cannot be decoded"),
        ({"files": (file("a", Reading(frame=0)),)}, "neither worked"),
        ({"files": (file("a", Reading(frame=0, text="x" * 70_000)),)}, "too long"),
        ({"files": tuple(file(f"f{index}") for index in range(10_001))}, "10001 files"),
        ({"schema_version": 2}, "version 2"),
        ({"format": "something"}, "something"),
    ],
)
def test_hostile_captures_are_refused(
    tmp_path: Path, changes: dict[str, object], problem: str
) -> None:
    save_capture(GOOD, tmp_path / "good.json")
    assert load_capture(tmp_path / "good.json") == GOOD
    path = tmp_path / "bad.json"
    save_capture(GOOD.model_copy(update=changes), path)
    with pytest.raises(RunDataError, match=problem):
        load_capture(path)


def test_files_that_are_no_captures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.json.gz"
    for data, problem in (
        (b"{}", "not a capture"),
        (b"\xff\xfe", "not a capture"),
        (b"[" * 100_000, "not a capture"),
        (gzip.compress(GOOD.model_dump_json().encode())[:-9], "not whole|damaged"),
        (b"\x1f\x8b\x08 nonsense", "damaged"),
    ):
        path.write_bytes(data)
        with pytest.raises(RunDataError, match=problem):
            load_capture(path)
    monkeypatch.setattr(file_module, "_MAX_FILE_BYTES", 1 << 20)
    path.write_bytes(gzip.compress(b" " * (50 << 20)))  # a bomb is not unpacked to its end
    with pytest.raises(RunDataError, match="larger than 1 MiB"):
        load_capture(path)
    with pytest.raises(RunDataError, match="No such file"):
        load_capture(tmp_path / "missing")


def test_a_gzip_of_the_same_capture_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.json.gz", "b.json.gz"):
        save_capture(GOOD, tmp_path / name)
    assert (tmp_path / "a.json.gz").read_bytes()[10:] == (tmp_path / "b.json.gz").read_bytes()[10:]
    assert (
        json.loads(gzip.decompress((tmp_path / "a.json.gz").read_bytes()))["origin"] == "synthetic"
    )
    with pytest.raises(ResourceError, match="cannot be written"):
        save_capture(GOOD, tmp_path / "missing" / "c.json")


def test_the_folder_of_a_replay_is_removed() -> None:
    with Replay(GOOD) as replay:
        root = replay.tree.root
        assert (root / "sys/class/a/name").read_text() == "a\n"
        with pytest.raises(PermissionError, match="outside"):
            replay.tree.read(Path("/etc/hostname"))
    assert not root.exists()


def test_windows_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeagent.meter.capture.replay.os.name", "nt")
    with pytest.raises(ConfigError, match="Windows does not allow"):
        Replay(GOOD)
