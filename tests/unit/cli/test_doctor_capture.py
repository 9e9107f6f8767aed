"""`edgeagent doctor --capture` and `--replay`, and sources in groups with what they show."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeagent.cli import main
from edgeagent.cli.doctor import command
from edgeagent.cli.sensors import SourceReading, human_reading, in_groups, readings, source_row
from edgeagent.meter.capture.file import save_capture
from edgeagent.meter.capture.format import Capture, CapturedFile, Origin, Reading
from edgeagent.meter.protocol import MeterError
from edgeagent.record.samples import Sample, SampleKind, Scope, SourceInfo, SourceState

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
posix_only = pytest.mark.skipif(os.name != "posix", reason="sysfs names and links need POSIX")


def file(path: str, *texts: str) -> CapturedFile:
    values = tuple(Reading(frame=frame, text=f"{text}\n") for frame, text in enumerate(texts))
    return CapturedFile(path=path, readings=values)


ZONE = "sys/devices/virtual/powercap/intel-rapl:0"
SYNTHETIC = Capture(
    origin=Origin.SYNTHETIC,
    note="made up for a test",
    edgeagent_version="0",
    system="Linux 6.8",
    machine="x86_64",
    frame_t_s=(0.0, 0.5, 1.0),
    links={
        "sys/class/powercap/intel-rapl:0": "../../devices/virtual/powercap/intel-rapl:0",
        "sys/class/powercap/intel-rapl:1": "../../devices/virtual/powercap/intel-rapl:1",
    },
    files=(
        file("proc/cpuinfo", "model name : An Intel GenuineIntel"),
        file("proc/meminfo", "MemAvailable: 640 kB"),
        file(f"{ZONE}/name", "package-0"),
        file(f"{ZONE}/max_energy_range_uj", "262143328850"),
        # 10 W, with a wrap between the last two frames
        file(f"{ZONE}/energy_uj", "262138000000", "262143000000", "4671150"),
        file("sys/devices/virtual/powercap/intel-rapl:1/name", "psys"),
        CapturedFile(
            path="sys/devices/virtual/powercap/intel-rapl:1/energy_uj",
            readings=(Reading(frame=0, error="EACCES"),),
        ),
    ),
    left_out={},
    removed={},
)


@posix_only
def test_a_replay_shows_that_machine_and_not_this_one(tmp_path: Path) -> None:
    save_capture(SYNTHETIC, tmp_path / "c.json.gz")
    result = CliRunner().invoke(command, ["--replay", str(tmp_path / "c.json.gz")])
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert "synthetic" in lines["origin"]
    assert "An Intel GenuineIntel" in lines["processor"]
    assert "ok" in lines["rapl:package-0"]
    assert "10.00 W on average over 1.0 s" in lines["rapl:package-0"]
    assert "permission" in lines["rapl:psys"]
    assert "(/sys/" in lines["rapl:psys"]
    assert "edgeagent-replay" not in result.output
    assert "onnxruntime" not in result.output


@posix_only
def test_a_replay_as_json(tmp_path: Path) -> None:
    save_capture(SYNTHETIC, tmp_path / "c.json")
    result = CliRunner().invoke(command, ["--replay", str(tmp_path / "c.json"), "--json"])
    data = json.loads(result.output)
    (package,) = [item for item in data["readings"] if item["source"] == "rapl:package-0"]
    assert package["quantity"] == "power_w"
    assert package["value"] == pytest.approx(10.0, rel=1e-3)
    assert {item["source"]: item["state"] for item in data["sources"]}["rapl:psys"] == "permission"
    assert data["capture"]["origin"] == "synthetic"
    assert data["state"]["cores_online"] is None


@linux_only
def test_a_capture_of_this_machine_can_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "here.json.gz"
    taken = CliRunner().invoke(command, ["--capture", str(path), "--capture-seconds", "0"])
    assert taken.exit_code == 0, taken.output
    assert "Nothing was sent. Read the file before you send it: gzip -dc" in taken.output
    shown = CliRunner().invoke(command, ["--replay", str(path)])
    assert shown.exit_code == 0, shown.output
    assert any(line.split()[:2] == ["process:rss", "ok"] for line in shown.output.splitlines())
    again = CliRunner().invoke(
        command, ["--capture", str(path), "--capture-seconds", "0", "--json"]
    )
    assert json.loads(again.stdout)["frames"] == 1


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    missing = str(tmp_path / "no" / "c.json")
    for arguments, status, message in (
        (["--capture", "a", "--replay", "b"], 2, "exclude each other"),
        (["--replay", str(bad)], 8, "is not a capture"),
        (["--replay", str(tmp_path / "none")], 8, "cannot be read"),
        (["--capture", missing, "--capture-seconds", "0"], 2, "is no folder"),
    ):
        result = CliRunner().invoke(main, ["doctor", *arguments])
        assert result.exit_code == status, result.output
        assert message in " ".join(result.output.split())
        assert "Traceback" not in result.output


def info(source: str, quantity: str, **more: object) -> SourceInfo:
    given = {"kind": SampleKind.SAMPLED, "scope": Scope.SYSTEM, **more}
    return SourceInfo(source=source, quantity=quantity, **given)  # type: ignore[arg-type]


def test_sources_are_in_groups_with_energy_first() -> None:
    groups = in_groups(
        [
            info("process:rss", "rss_bytes"),
            info("cpu:time", "cpu_s"),
            info("rapl:psys", "energy_j"),
            info("throttle:rpi", "throttle_state"),
            info("cpu:temperature", "temperature_c"),
            info("cpu:frequency", "frequency_hz"),
            info("battery:discharge", "power_w"),
        ]
    )
    assert {name: [i.source for i in found] for name, found in groups.items()} == {
        "Energy and power": ["rapl:psys", "battery:discharge"],
        "Heat and clocks": ["throttle:rpi", "cpu:temperature", "cpu:frequency"],
        "Memory": ["process:rss"],
        "Load": ["cpu:time"],
    }
    assert list(groups) == ["Energy and power", "Heat and clocks", "Memory", "Load"]


class Fixed:
    min_interval_s = 0.0

    def __init__(self, described: SourceInfo) -> None:
        self.info = described

    def read(self) -> Sample:
        raise MeterError("not needed")


def test_a_counter_of_energy_shows_its_mean_power() -> None:
    counter = Fixed(info("c", "energy_j", kind=SampleKind.COUNTER, counter_range=100.0))
    reset = Fixed(info("r", "energy_j", kind=SampleKind.COUNTER))
    once = Fixed(info("o", "energy_j", kind=SampleKind.COUNTER))
    samples = [
        Sample(source=source, t_ns=t_s * 10**9, width_ns=0, value=value)
        for source, t_s, value in (
            *(("c", 0, 90.0), ("c", 1, 98.0), ("c", 2, 6.0)),
            *(("r", 0, 9.0), ("r", 1, 8.0), ("o", 0, 1.0)),
        )
    ]
    (found,) = readings([counter, reset, once], samples)
    assert found == SourceReading("c", "power_w", 8.0, 2.0)
    assert human_reading(found) == "8.00 W on average over 2.0 s"


def test_what_cannot_be_read_says_why_and_what_to_do() -> None:
    row = source_row(
        info("s", "power_w", state=SourceState.PERMISSION, reason="No.", remedy="Ask."), {}
    )
    assert row == ("s", "permission", "No. Ask.")
    ok = source_row(info("s", "power_w", total="module", scope=Scope.MODULE), {})
    assert ok == ("s", "ok", "module, sampled; adds up to module")
    assert human_reading(SourceReading("s", "frequency_hz", 2.4e9)) == "2.40 GHz"
    assert human_reading(SourceReading("s", "temperature_c", 45.12)) == "45.1 °C"
    assert human_reading(SourceReading("s", "throttle_events", 3.0)) == "3"
