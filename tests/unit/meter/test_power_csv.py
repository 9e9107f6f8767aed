"""Tables of power meters in their makers' styles (synthetic values), and damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeagent.errors import ConfigError
from edgeagent.meter.external import power_csv
from edgeagent.meter.external.power_csv import read_power_csv

STYLES = {
    "generic": "t,watts\n0,1.5\n0.5,2.5\n1.0,3.5\n",
    "no header": "0,1.5\n0.5,2.5\n1.0,3.5\n",
    "monsoon": (
        "Time (s),Main Avg Power (mW),Main Peak Power (mW),USB Avg Power (mW),"
        "Main Avg Current (mA)\n"
        "10.0,1500,9,0,300\n10.5,2500,9,0,500\n11.0,3500,9,0,700\n"
    ),
    "yoctopuce, French decimals": (
        "Unix time;Local time;Power\n"
        "1717000000,0;2024-05-29 16:26:40;1,5\n"
        "1717000000,5;2024-05-29 16:26:40;2,5\n"
        "1717000001,0;2024-05-29 16:26:41;3,5\n"
    ),
    "usb tester with facts before the header and a comma behind each row": (
        "SUM,3\nTotalTime,0.00:00:01.000\nSampTime(ms),500\n\n"
        "Time(D.hh:mm:ss.ms),Voltage(V),Current(A),Power(W),\n"
        "0.00:00:59.500,5.0,0.3,1.5,\n0.00:01:00.000,5.0,0.5,2.5,\n0.00:01:00.500,5.0,0.7,3.5,\n"
    ),
    "usb tester, volts and milliamperes": (
        "timestamp_ms voltage_V current_mA dp_V energy_Ws\n"
        "100 5.0 300 0.6 0\n600 5.0 500 0.6 1\n1100 5.0 700 0.6 2\n"
    ),
    "iso dates": (
        "Timestamp\tPower [W]\n2026-03-01T10:00:00.000Z\t1.5\n"
        "2026-03-01T10:00:00.500Z\t2.5\n2026-03-01T10:00:01.000Z\t3.5\n"
    ),
    "date and time apart, across midnight": (
        "Date,Time,Voltage(V),Current(A),Power(W),Energy(kWh)\n"
        "2026/03/01,23:59:59.500,5,1,1.5,0\n2026/03/02,00:00:00.000,5,1,2.5,0\n"
        "2026/03/02,00:00:00.500,5,1,3.5,0\n"
    ),
    "time of day, across midnight": (
        "Time;Power (W)\n23:59:59,500;1,5\n00:00:00,000;2,5\n00:00:00,500;3,5\n"
    ),
    "milliseconds since 1970": (
        "timestamp,power_w,power_factor\n1772359200000,1.5,1\n1772359200500,2.5,1\n"
        "1772359201000,3.5,1\n"
    ),
    "comment before the names": "# time (s), power (W)\n0, 1.5\n0.5, 2.5\n1, 3.5\n",
    "quoted decimal commas": 't,watts\n"0,0","1,5"\n"0,5","2,5"\n"1,0","3,5"\n',
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_styles_of_tools_give_the_same_readings(tmp_path: Path, style: str, encoding: str) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(STYLES[style], encoding=encoding)
    series = read_power_csv(path)
    np.testing.assert_allclose(series.t_s, [0.0, 0.5, 1.0], atol=1e-6)
    np.testing.assert_allclose(series.power_w, [1.5, 2.5, 3.5])
    assert series.interval_s == pytest.approx(0.5, abs=1e-6)
    assert series.resolution_w == pytest.approx(1.0)


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "meter.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_missing_values_are_left_out_and_equal_times_become_their_mean(tmp_path: Path) -> None:
    series = read_power_csv(table(tmp_path, "t,w\n0,1\n1,\n2,NaN\n3,4\n3,6\n4,7\n"))
    np.testing.assert_allclose(series.t_s, [0.0, 3.0, 4.0])
    np.testing.assert_allclose(series.power_w, [1.0, 5.0, 7.0])
    assert series.missing == 2


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    series = read_power_csv(table(tmp_path, "t,voltage,current\n0,5,1\n1,5,2\n2,5"))
    np.testing.assert_allclose(series.power_w, [5.0, 10.0])


def test_a_column_can_be_chosen(tmp_path: Path) -> None:
    path = table(tmp_path, "t,power A (W),power B (mW)\n0,1,2000\n1,1,4000\n")
    with pytest.raises(ConfigError, match=r"meter\.csv:1: .*'power A \(W\)'.*--column"):
        read_power_csv(path)
    np.testing.assert_allclose(read_power_csv(path, "Power B (mW)").power_w, [2.0, 4.0])
    with pytest.raises(ConfigError, match="no column 'power C'; the table has 't'"):
        read_power_csv(path, "power C")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line that names a time and a power"),
        ("hello\nworld\n", "no line that names a time and a power"),
        ("time,energy (Wh)\n0,1\n1,2\n", "no line that names"),
        ("time (s),current (mA)\n0,1\n1,2\n", r"meter\.csv:1: .*neither power nor voltage"),
        ("t,watts\n0,1\n1,x\n", r"meter\.csv:3 does not make sense"),
        ("t,watts\n0,1\n1,inf\n", r"meter\.csv:3 does not make sense: not a finite"),
        ('t,watts\n0,1\n1,"1,234.5"\n', r"meter\.csv:3 .*thousands"),
        ("t,watts\n0,1\n1,2e9\n", r"meter\.csv:3 .*more than any device"),
        ("t,watts\n0,1\n1\n2,3\n", r"meter\.csv:3 has 1 cells"),
        ("t,watts\n0,1\n5,1\n4,1\n", r"meter\.csv:4 is earlier"),
        ("t,watts\nnoon,1\n", r"meter\.csv:2 .*'noon' is not a time"),
        ("t,watts\n0,1\n", "fewer than two readings"),
        ("t,watts\n0,1\n0,2\n", "fewer than two readings at different times"),
        ("t,watts\n0,1\n1,\n2,\n3,\n4,2\n", "no value in most"),
        ("t,watts\n0,1\0\n", r"meter\.csv:2 is not text"),
        ("t,watts\n" + "1" * 70_000 + ",1\n", r"meter\.csv:2 is too long"),
        ("Time,Power (W)\n10:00:00,1\n09:59:00,1\n", r"meter\.csv:3 is earlier"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_with_the_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        read_power_csv(table(tmp_path, text))
    assert "\n" not in str(error.value)


def test_files_that_are_too_large_or_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_power_csv(tmp_path / "nothing.csv")
    path = table(tmp_path, "t,watts\n0,1\n1,1\n2,1\n")
    monkeypatch.setattr(power_csv, "MAX_ROWS", 2)
    with pytest.raises(ConfigError, match="more than 2 lines"):
        read_power_csv(path)
    monkeypatch.setattr(power_csv, "MAX_BYTES", 3)
    with pytest.raises(ConfigError, match="larger than"):
        read_power_csv(path)
