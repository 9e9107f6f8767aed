"""Rails of Jetson boards: what is read, what adds up, and what is said about the rest."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from power_trees import Rail, board, hwmon_ina238, hwmon_ina3221, iio_ina3221
from sensor_trees import overlay, write

from edgeagent.meter.energy import jetson
from edgeagent.meter.energy.jetson import discover_jetson
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import Reader, SystemTree, read_text
from edgeagent.record.energy import open_totals
from edgeagent.record.samples import (
    ReadFailure,
    Sample,
    SampleKind,
    Scope,
    SourceInfo,
    SourceState,
)

ORIN_NX = ("nvidia,p3768-0000+p3767-0000", "NVIDIA Jetson Orin NX Engineering Reference")
AGX_ORIN = ("nvidia,p3737-0000+p3701-0005", "NVIDIA Jetson AGX Orin Developer Kit")
XAVIER_NX = ("nvidia,p3509-0000+p3668-0000", "NVIDIA Jetson Xavier NX Developer Kit")
AGX_XAVIER = ("nvidia,p2972-0000", "Jetson-AGX")
THOR = ("nvidia,p4071-0000+p3834-0008", "NVIDIA Jetson AGX Thor Developer Kit")


def orin_nx(tmp_path: Path, read: Reader = read_text) -> SystemTree:
    board(tmp_path, *ORIN_NX)
    hwmon_ina3221(
        tmp_path,
        "1-0040",
        4,
        {1: ("VDD_IN", 19008, 840), 2: ("VDD_CPU_GPU_CV", 19008, 264), 3: ("VDD_SOC", 19008, 128)},
    )
    return SystemTree(tmp_path, read)


def agx_orin(tmp_path: Path) -> SystemTree:
    board(tmp_path, *AGX_ORIN)
    hwmon_ina3221(
        tmp_path,
        "1-0040",
        3,
        {
            1: ("VDD_GPU_SOC", 19104, 480),
            2: ("VDD_CPU_CV", 19104, 120),
            3: ("VIN_SYS_5V0", 5000, 760),
        },
        shunt_uohm=2000,
    )
    hwmon_ina3221(tmp_path, "1-0041", 4, {2: ("VDDQ_VDD2_1V8AO", 5000, 136)}, shunt_uohm=2000)
    return SystemTree(tmp_path)


def addends(found: Discovery, total: str) -> dict[str, float]:
    return {
        meter.info.source: meter.read().value for meter in found.meters if meter.info.total == total
    }


def by_name(found: Discovery) -> dict[str, SourceInfo]:
    return {source.source: source for source in found.sources}


def test_the_input_of_an_orin_nx_is_its_module(tmp_path: Path) -> None:
    found = discover_jetson(orin_nx(tmp_path))
    assert addends(found, "module") == {"ina3221:VDD_IN": pytest.approx(15.96672)}
    sources = by_name(found)
    assert set(sources) == {"ina3221:VDD_IN", "ina3221:VDD_CPU_GPU_CV", "ina3221:VDD_SOC"}
    module, part = sources["ina3221:VDD_IN"], sources["ina3221:VDD_SOC"]
    assert (module.scope, part.scope, part.total) == (Scope.MODULE, Scope.RAIL, None)
    assert (module.quantity, module.kind) == ("power_w", SampleKind.SAMPLED)
    # 40 uV over 5 mOhm are 8 mA, at 19 V.
    assert module.resolution == pytest.approx(0.152064)
    assert module.interval_s
    assert {meter.info.source: meter.min_interval_s for meter in found.meters} == {
        "ina3221:VDD_IN": 0.05,
        "ina3221:VDD_CPU_GPU_CV": 0.2,
        "ina3221:VDD_SOC": 0.2,
    }


def test_an_agx_orin_is_three_rails_of_which_one_contains_the_fourth(tmp_path: Path) -> None:
    found = discover_jetson(agx_orin(tmp_path))
    watts = addends(found, "module")
    assert set(watts) == {"ina3221:VDD_GPU_SOC", "ina3221:VDD_CPU_CV", "ina3221:VIN_SYS_5V0"}
    assert sum(watts.values()) == pytest.approx(9.16992 + 2.29248 + 3.8)
    inside = by_name(found)["ina3221:VDDQ_VDD2_1V8AO"]
    assert (inside.scope, inside.total, inside.state) == (Scope.RAIL, None, SourceState.OK)
    assert not any("NC" in source.source for source in found.sources)


def test_jetpack_4_shows_the_same_rails_elsewhere(tmp_path: Path) -> None:
    board(tmp_path, *XAVIER_NX)
    iio_ina3221(
        tmp_path,
        "7-0040",
        0,
        (("VDD_IN", 5064, 1208), ("VDD_CPU_GPU_CV", 5064, 312), ("VDD_SOC", 5064, 232)),
    )
    found = discover_jetson(SystemTree(tmp_path))
    assert addends(found, "module") == {"ina3221:VDD_IN": pytest.approx(5.064 * 1.208)}
    assert len(found.meters) == 3
    assert found.meters[0].info.resolution is None  # the driver does not tell the shunt


def test_an_agx_xavier_adds_up_both_of_its_chips(tmp_path: Path) -> None:
    board(tmp_path, *AGX_XAVIER)
    iio_ina3221(tmp_path, "1-0040", 0, (("GPU", 19000, 10), ("CPU", 19000, 20), ("SOC", 19000, 30)))
    iio_ina3221(
        tmp_path, "1-0041", 1, (("CV", 19000, 0), ("VDDRQ", 19000, 40), ("SYS5V", 5000, 99))
    )
    watts = addends(discover_jetson(SystemTree(tmp_path)), "module")
    assert len(watts) == 6
    assert sum(watts.values()) == pytest.approx(19.0 * 0.1 + 5.0 * 0.099)
    assert watts["ina3221:CV"] == 0.0  # a measured zero


def test_thor_is_measured_at_its_input_by_the_chip_without_a_label(tmp_path: Path) -> None:
    board(tmp_path, *THOR)
    hwmon_ina238(tmp_path, "2-0044", 1, 38_750_000)
    hwmon_ina3221(tmp_path, "2-0040", 2, {1: ("VDD_GPU", 12000, 500), 3: ("VIN_SYS_5V0", 5000, 80)})
    found = discover_jetson(SystemTree(tmp_path))
    assert addends(found, "system") == {"ina238:VIN": pytest.approx(38.75)}
    assert by_name(found)["ina238:VIN"].scope is Scope.SYSTEM
    assert addends(found, "module") == {}


def test_rails_of_an_unknown_board_are_read_and_not_added(tmp_path: Path) -> None:
    board(tmp_path, "vendor,carrier-9000", "Vendor Carrier 9000")
    hwmon_ina3221(tmp_path, "0-0040", 0, {1: ("VDD_IN", 5000, 1000), 2: ("VDD_IN", 5000, 10)})
    found = discover_jetson(SystemTree(tmp_path))
    assert {meter.info.source: meter.info.scope for meter in found.meters} == {
        "ina3221:VDD_IN@0-0040:1": Scope.RAIL,
        "ina3221:VDD_IN@0-0040:2": Scope.RAIL,
    }
    assert all(meter.info.total is None for meter in found.meters)
    total = by_name(found)["ina3221:total"]
    assert (total.state, total.total) == (SourceState.UNSUPPORTED, "module")
    assert "Vendor Carrier 9000" in total.reason
    assert total.remedy


NANO_RAILS = {
    1: ("VDD_IN", 4984, 1856),
    2: ("VDD_CPU_GPU_CV", 4984, 520),
    3: ("VDD_SOC", 4984, 376),
}


def test_in_a_container_a_board_is_known_by_all_of_its_rails(tmp_path: Path) -> None:
    """Three profiles have these rails, and all of them take the first for the module."""
    write(tmp_path / "proc/cpuinfo", "Features\t: fp asimd")
    hwmon_ina3221(tmp_path, "1-0040", 1, NANO_RAILS)
    found = discover_jetson(SystemTree(tmp_path))
    assert addends(found, "module") == {"ina3221:VDD_IN": pytest.approx(9.250304)}
    thor = tmp_path / "thor"
    hwmon_ina238(thor, "2-0044", 1, 38_750_000)
    rails = {1: ("VDD_GPU", 1, 1), 2: ("VDD_CPU_SOC_MSS", 1, 1), 3: ("VIN_SYS_5V0", 1, 1)}
    hwmon_ina3221(thor, "2-0040", 2, rails)
    assert set(addends(discover_jetson(SystemTree(thor)), "system")) == {"ina238:VIN"}


@pytest.mark.parametrize(
    "rails",
    [
        {1: NANO_RAILS[1], 2: NANO_RAILS[2]},
        {**NANO_RAILS, 3: ("VDD_SOMETHING", 4984, 1)},
        {**NANO_RAILS, 3: ("vdd_soc", 4984, 1)},
    ],
)
def test_almost_the_rails_of_a_board_are_not_that_board(
    tmp_path: Path, rails: dict[int, Rail]
) -> None:
    write(tmp_path / "proc/cpuinfo", "Features\t: fp asimd")
    hwmon_ina3221(tmp_path, "1-0040", 1, rails)
    found = discover_jetson(SystemTree(tmp_path))
    assert found.meters
    assert addends(found, "module") == {}
    assert by_name(found)["ina3221:total"].state is SourceState.UNSUPPORTED


def test_a_total_that_lacks_a_rail_stays_unknown(tmp_path: Path) -> None:
    board(tmp_path, *AGX_ORIN)
    hwmon_ina3221(tmp_path, "1-0040", 3, {1: ("VDD_GPU_SOC", 19104, 480)})
    sources = by_name(discover_jetson(SystemTree(tmp_path)))
    module = {name: source.state for name, source in sources.items() if source.total == "module"}
    assert module == {
        "ina3221:VDD_GPU_SOC": SourceState.OK,
        "ina3221:VDD_CPU_CV": SourceState.ABSENT,
        "ina3221:VIN_SYS_5V0": SourceState.ABSENT,
    }
    assert "VIN_SYS_5V0" in sources["ina3221:VIN_SYS_5V0"].reason


def test_labels_are_compared_exactly(tmp_path: Path) -> None:
    board(tmp_path, *ORIN_NX)
    hwmon_ina3221(tmp_path, "1-0040", 0, {1: ("VDD_IN_5V", 5000, 1000)})
    sources = by_name(discover_jetson(SystemTree(tmp_path)))
    assert sources["ina3221:VDD_IN_5V"].total is None
    assert sources["ina3221:VDD_IN"].state is SourceState.ABSENT


def test_a_channel_that_is_switched_off_is_explained(tmp_path: Path) -> None:
    tree = orin_nx(tmp_path, overlay({"in1_input": errno.ENODATA, "curr1_input": errno.ENODATA}))
    folder = tmp_path / "sys/class/hwmon/hwmon4"
    write(folder / "in1_enable", "0")
    module = by_name(discover_jetson(tree))["ina3221:VDD_IN"]
    assert (module.state, module.total) == (SourceState.UNSUPPORTED, "module")
    assert "switched off" in module.reason
    assert "in1_enable" in module.remedy


@pytest.mark.parametrize(
    ("number", "state", "has_remedy"),
    [
        (errno.ENODATA, SourceState.STALE, False),
        (errno.EACCES, SourceState.PERMISSION, True),
        (errno.ENODEV, SourceState.ABSENT, False),
    ],
)
def test_errors_while_probing(
    tmp_path: Path, number: int, state: SourceState, has_remedy: bool
) -> None:
    found = discover_jetson(orin_nx(tmp_path, overlay({"curr1_input": number})))
    module = by_name(found)["ina3221:VDD_IN"]
    assert module.state is state
    assert os.strerror(number) in module.reason
    assert bool(module.remedy) is has_remedy
    assert addends(found, "module") == {}


def test_negative_readings_are_what_they_are(tmp_path: Path) -> None:
    tree = orin_nx(tmp_path)
    write(tmp_path / "sys/class/hwmon/hwmon4/curr3_input", "-8")
    readings = {meter.info.source: meter.read().value for meter in discover_jetson(tree).meters}
    assert readings["ina3221:VDD_SOC"] == pytest.approx(-0.152064)


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (errno.ENODATA, SourceState.STALE),
        (errno.EAGAIN, SourceState.STALE),
        (errno.ENODEV, SourceState.ABSENT),
    ],
)
def test_a_failure_of_either_factor_while_measuring(
    tmp_path: Path, number: int, state: SourceState
) -> None:
    failures: dict[str, int] = {}

    def read(path: Path) -> str:
        return overlay(failures)(path)

    meter = discover_jetson(orin_nx(tmp_path, read)).meters[0]
    for name in ("in1_input", "curr1_input"):
        failures.clear()
        assert meter.read().value > 0
        failures[name] = number
        with pytest.raises(MeterError, match=name) as caught:
            meter.read()
        assert caught.value.state is state


def test_text_instead_of_a_number_is_no_reading(tmp_path: Path) -> None:
    meter = discover_jetson(orin_nx(tmp_path)).meters[0]
    write(tmp_path / "sys/class/hwmon/hwmon4/in1_input", "<not available>")
    with pytest.raises(MeterError, match="in1_input"):
        meter.read()


def test_slow_conversion_sets_the_pace(tmp_path: Path) -> None:
    tree = orin_nx(tmp_path)
    write(tmp_path / "sys/class/hwmon/hwmon4/update_interval", "440")
    for meter in discover_jetson(tree).meters:
        assert meter.info.interval_s == meter.min_interval_s == 0.44


def test_both_files_are_read_and_the_stamp_is_in_their_middle(tmp_path: Path) -> None:
    paths: list[str] = []

    def read(path: Path) -> str:
        paths.append(path.name)
        return read_text(path)

    meter = discover_jetson(orin_nx(tmp_path, read)).meters[0]
    paths.clear()
    first, second = meter.read(), meter.read()
    assert paths == ["in1_input", "curr1_input"] * 2
    assert second.t_ns - first.t_ns >= (first.width_ns + second.width_ns) // 2 - 1


def test_folders_that_are_copies_instead_of_links_are_one_device(tmp_path: Path) -> None:
    board(tmp_path, *ORIN_NX)
    for folder in ("sys/class/hwmon/hwmon1", "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"):
        write(tmp_path / folder / "name", "ina3221")
        write(tmp_path / folder / "in1_label", "VDD_IN")
        write(tmp_path / folder / "in1_input", "5000")
        write(tmp_path / folder / "curr1_input", "2000")
    assert addends(discover_jetson(SystemTree(tmp_path)), "module") == {
        "ina3221:VDD_IN": pytest.approx(10.0)
    }


def test_a_monitor_that_shows_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "sys/bus/i2c/drivers/ina3221x/1-0040").mkdir(parents=True)
    (source,) = discover_jetson(SystemTree(tmp_path)).sources
    assert (source.source, source.state) == ("ina3221:total", SourceState.UNSUPPORTED)


def test_other_machines_have_no_rails(tmp_path: Path) -> None:
    board(tmp_path, "raspberrypi,5-model-b", "Raspberry Pi 5 Model B")
    (tmp_path / "sys/bus/i2c/drivers/ina3221").mkdir(parents=True)
    assert discover_jetson(SystemTree(tmp_path)) == Discovery((), ())


def test_damaged_profiles_cost_the_total_and_not_the_rails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeagent.errors import ConfigError

    def damaged(*_: object) -> None:
        raise ConfigError("jetson.toml: id is missing.")

    monkeypatch.setattr(jetson, "rails_for", damaged)
    found = discover_jetson(orin_nx(tmp_path))
    assert len(found.meters) == 3
    assert "jetson.toml" in by_name(found)["ina3221:total"].reason


def test_the_energy_of_a_board_is_that_of_its_addends_and_unknown_where_one_failed(
    tmp_path: Path,
) -> None:
    """The first rail draws 1 W more in each tenth of a second; the second fails for one reading."""
    agx_orin(tmp_path)
    failures: dict[str, int] = {}
    found = discover_jetson(SystemTree(tmp_path, overlay(failures)))
    first = tmp_path / "sys/class/hwmon/hwmon3"
    write(first / "in1_input", "20000")
    readings: dict[str, list[Sample]] = defaultdict(list)
    failed: dict[str, list[ReadFailure]] = defaultdict(list)
    for step in range(41):
        write(first / "curr1_input", str(50 * step))
        failures.clear()
        if step == 30:
            failures["hwmon3/curr2_input"] = errno.ENODATA
        for meter in found.meters:
            source, t_ns = meter.info.source, step * 10**8
            try:
                sample = meter.read().model_copy(update={"t_ns": t_ns, "width_ns": 0})
            except MeterError as error:
                failed[source].append(
                    ReadFailure(source=source, t_ns=t_ns, state=error.state, reason=error.reason)
                )
            else:
                readings[source].append(sample)
    (total,) = open_totals(found.sources, readings, failed)
    assert (total.key.name, total.key.scope) == ("module", Scope.MODULE)
    t0_ns = np.array([0, 25, 32]) * 10**8
    windows = total.windows(t0_ns, np.array([20, 32, 40]) * 10**8)
    assert (windows.code == 0).tolist() == [True, False, True]
    rest_w = 19.104 * 0.12 + 5.0 * 0.76
    assert windows.energy_nj[[0, 2]] / 1e9 == pytest.approx(
        [2.0 * (10.0 + rest_w), 0.8 * (36.0 + rest_w)], rel=1e-6
    )
