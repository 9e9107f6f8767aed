"""The supplies of a Raspberry Pi 5. The answer's form is that of public captures, shortened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from power_trees import board

from edgeagent.meter.energy import rpi_pmic
from edgeagent.meter.energy.rpi_pmic import discover_rpi_pmic
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import Scope, SourceState

ANSWER = """\
   3V3_SYS_A current(1)=0.10000000A
  DDR_VDD2_A current(3)=0.20000000A
  VDD_CORE_A current(7)=1.50000000A
   3V3_SYS_V volt(9)=3.30000000V
  DDR_VDD2_V volt(11)=1.10000000V
  VDD_CORE_V volt(15)=0.80000000V
   EXT5V_V volt(24)=5.12000000V
    BATT_V volt(25)=0.00000000V
"""


def pi(tmp_path: Path) -> SystemTree:
    return SystemTree(board(tmp_path, "raspberrypi,5-model-b\x00brcm,bcm2712", "Raspberry Pi 5"))


def answers(*texts: str) -> rpi_pmic.Run:
    waiting = list(texts)
    return lambda: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def test_supplies_with_current_and_voltage_are_added_up(tmp_path: Path) -> None:
    (meter,) = discover_rpi_pmic(pi(tmp_path), answers(ANSWER)).meters
    assert meter.read().value == pytest.approx(0.33 + 0.22 + 1.2)
    assert (meter.info.source, meter.info.scope, meter.info.total) == (
        "pmic:supplies",
        Scope.RAIL,
        "pmic",  # never the module's: what is fed from 5 V is not in it
    )
    assert meter.min_interval_s == meter.info.interval_s == 1.0


@pytest.mark.parametrize("lost", ["VDD_CORE_A", "VDD_CORE_V"])
def test_a_supply_that_is_lost_makes_no_smaller_sum(tmp_path: Path, lost: str) -> None:
    rest = "".join(line for line in ANSWER.splitlines(keepends=True) if lost not in line)
    (meter,) = discover_rpi_pmic(pi(tmp_path), answers(ANSWER, rest)).meters
    with pytest.raises(MeterError, match="VDD_CORE"):
        meter.read()


@pytest.mark.parametrize("text", ["", 'error=1 error_msg="Command not registered"', ANSWER[-45:]])
def test_an_answer_without_supplies_is_no_reading(tmp_path: Path, text: str) -> None:
    (source,) = discover_rpi_pmic(pi(tmp_path), answers(text)).sources
    assert source.state is SourceState.UNSUPPORTED


def test_other_boards_are_not_asked(tmp_path: Path) -> None:
    def asked() -> str:
        raise AssertionError

    tree = SystemTree(board(tmp_path, "raspberrypi,4-model-b\x00brcm,bcm2711", "Raspberry Pi 4"))
    assert discover_rpi_pmic(tree, asked) == Discovery((), ())


def test_the_tree_of_another_machine_is_not_asked_on_this_one(tmp_path: Path) -> None:
    (source,) = discover_rpi_pmic(pi(tmp_path)).sources
    assert source.state is SourceState.UNSUPPORTED
    assert "another machine" in source.reason


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program `vcgencmd` on the path."""
    path = tmp_path / "bin" / "vcgencmd"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(sys.platform == "win32", reason="the program of the test is a shell script")
@pytest.mark.parametrize(
    ("script", "state"),
    [
        ('echo "Can\'t open device file: /dev/vcio" >&2; exit 255', SourceState.PERMISSION),
        ("echo busy; exit 1", SourceState.STALE),
    ],
)
def test_a_program_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, state: SourceState
) -> None:
    program(tmp_path, monkeypatch, script)
    (source,) = discover_rpi_pmic(pi(tmp_path), rpi_pmic.run_vcgencmd).sources
    assert source.state is state
    assert bool(source.remedy) is (state is SourceState.PERMISSION)


@pytest.mark.skipif(sys.platform == "win32", reason="the program of the test is a shell script")
def test_a_program_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answer").write_text(ANSWER, encoding="ascii")
    program(tmp_path, monkeypatch, f'[ "$1" = pmic_read_adc ] && cat {tmp_path}/answer')
    (meter,) = discover_rpi_pmic(pi(tmp_path), rpi_pmic.run_vcgencmd).meters
    assert meter.read().value == pytest.approx(1.75)


def test_a_program_that_hangs_or_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    (source,) = discover_rpi_pmic(pi(tmp_path), rpi_pmic.run_vcgencmd).sources
    assert source.state is SourceState.ABSENT
    assert "raspi-utils" in source.remedy

    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("vcgencmd", 2.0)

    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("subprocess.run", hang)
    (source,) = discover_rpi_pmic(pi(tmp_path), rpi_pmic.run_vcgencmd).sources
    assert source.state is SourceState.STALE
