"""Device profiles: the shipped ones, how machines are recognised, and what is refused."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
from pydantic import BaseModel

from edgeagent.config.device import DeviceProfile, Sourced
from edgeagent.config.devices import (
    DeviceFacts,
    DeviceMatch,
    list_devices,
    load_device,
    match_device,
    matching_devices,
    rails_for,
)
from edgeagent.config.paths import data_dir
from edgeagent.config.spec import parse_spec
from edgeagent.errors import ConfigError

PROFILES = list_devices()
BY_ID = {profile.id: profile for profile in PROFILES}

OWN = """
id = "own-board"
name = "Own board"
vendor = "Me"

[match]
architecture = ["aarch64"]
compatible = ["me,own-board"]

[memory]
bandwidth_bytes_per_s = { value = 17e9, source = "Own data sheet, table 3" }

[[rail]]
sensor = "ina3221"
label = "ALL"
covers = "the board"
total = "module"
source = "Own schematic"

[[rail]]
sensor = "ina3221"
label = "CHIP"
covers = "the chip"
inside = "ALL"
source = "Own schematic"
"""


def parsed(text: str) -> DeviceProfile:
    return parse_spec(tomli.loads(text), DeviceProfile, "own.toml")


def statements(model: BaseModel, path: str = "") -> Iterator[tuple[str, Sourced]]:
    """Every statement of a profile with its place."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        for number, part in enumerate(value if isinstance(value, tuple) else (value,)):
            place = f"{path}.{name}[{number}]"
            if isinstance(part, Sourced):
                yield place, part
            if isinstance(part, BaseModel):
                yield from statements(part, place)


def facts(cpu: str = "", architecture: str = "x86_64", **more: object) -> DeviceFacts:
    return DeviceFacts(cpu=cpu, architecture=architecture, **more)  # type: ignore[arg-type]


# The shipped profiles


def test_the_promised_devices_are_there() -> None:
    assert set(BY_ID) >= {
        "jetson-orin-nano",
        "jetson-orin-nx",
        "jetson-agx-orin",
        "jetson-thor",
        "raspberry-pi-5",
        "intel-core-ultra-laptop",
        "amd-ryzen-ai-laptop",
        "snapdragon-x-laptop",
        "apple-laptop",
        "generic-x86-64",
    }
    files = (data_dir("profiles") / "devices").glob("*.toml")
    assert {file.stem for file in files} == set(BY_ID)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_every_statement_names_a_source_that_can_be_looked_up(profile: DeviceProfile) -> None:
    found = list(statements(profile))
    assert found
    for place, statement in found:
        # A citation has a title and a place in it: never one word, and no bare address.
        assert len(statement.source.split()) >= 2, place
        assert "://" not in statement.source, place


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_figures_have_the_right_magnitude(profile: DeviceProfile) -> None:
    """A prefix that was forgotten (GB for bytes, TOPS for operations) is off by 1e9."""
    versions = [DeviceMatch(profile), *(DeviceMatch(profile, v) for v in profile.variant)]
    for version in versions:
        modes = {mode.name for mode in version.power_modes}
        if rate := version.bandwidth_bytes_per_s():
            assert 10e9 <= rate <= 1e12
        if size := version.memory.size_bytes:
            assert size.value % (1 << 30) == 0
        for compute in version.compute:
            assert 1e12 <= compute.value <= 1e16
            assert compute.power_mode is None or compute.power_mode in modes
        for mode in version.power_modes:
            assert mode.power_w is None or 1 <= mode.power_w <= 200
            # The budget is in the name of the mode.
            if watts := re.search(r"(\d+)W", mode.name):
                assert mode.power_w == float(watts[1])
            slower = version.bandwidth_bytes_per_s(mode.name)
            assert slower is None or slower <= (version.bandwidth_bytes_per_s() or slower)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_every_device_runs_on_its_processor(profile: DeviceProfile) -> None:
    assert profile.provider[0].ep == "cpu"
    assert profile.provider[0].package == "onnxruntime-genai"


def test_the_orin_nano() -> None:
    found = match_device(facts("", "aarch64", compatible=("nvidia,p3767-0005",)))
    assert found is not None
    assert found.variant is not None
    assert found.name == "NVIDIA Jetson Orin Nano 8GB"
    assert found.memory.size_bytes is not None
    assert found.memory.size_bytes.value == 8 << 30
    assert found.memory.unified is not None, "stated by the profile, kept by the version"
    assert found.bandwidth_bytes_per_s() == 102e9
    assert found.bandwidth_bytes_per_s("MAXN_SUPER") == 102e9
    assert found.bandwidth_bytes_per_s("15W") == 68e9
    dense = [c.value for c in found.compute if c.sparsity == "dense"]
    assert dense == [33e12, 20e12]


def test_a_wildcard_of_a_device_tree_does_not_swallow_its_neighbours() -> None:
    for number, name in (
        ("0000", "NVIDIA Jetson Orin NX 16GB"),
        ("0001", "NVIDIA Jetson Orin NX 8GB"),
        ("0003", "NVIDIA Jetson Orin Nano 8GB"),
        ("0004", "NVIDIA Jetson Orin Nano 4GB"),
        ("0005", "NVIDIA Jetson Orin Nano 8GB"),
    ):
        for board in ("nvidia,p3768-0000+", "nvidia,p3509-0000+"):
            for suffix in ("", "-super"):
                entries = (f"{board}p3767-{number}{suffix}", "nvidia,tegra234")
                found = match_device(facts("", "aarch64", compatible=entries))
                assert found is not None
                assert found.name == name, entries


# Recognition


@pytest.mark.parametrize(
    ("cpu", "architecture", "names"),
    [
        ("Intel(R) Core(TM) Ultra 7 155H", "AMD64", ["Intel Core Ultra 7 155H", "x86-64 machine"]),
        ("Intel(R) Core(TM) Ultra 7 258V", "AMD64", ["Intel Core Ultra 7 258V", "x86-64 machine"]),
        ("Intel(R) Core(TM) Ultra 5 226V", "AMD64", ["Intel Core Ultra 200V", "x86-64 machine"]),
        ("Intel(R) Core(TM) Ultra 9 285H", "x86_64", ["Intel Core Ultra 9 285H", "x86-64 machine"]),
        (
            "Intel(R) Core(TM) Ultra 9 285HX",
            "x86_64",
            ["Intel Core Ultra laptop", "x86-64 machine"],
        ),
        ("Intel(R) Core(TM) Ultra 9 285K", "x86_64", ["x86-64 machine"]),  # a desktop
        ("Intel(R) Core(TM) Ultra 7 265", "x86_64", ["x86-64 machine"]),
        ("Intel(R) Core(TM) i7-12700H", "x86_64", ["x86-64 machine"]),
        (
            "AMD Ryzen AI 9 HX 370 w/ Radeon 890M",
            "x86_64",
            ["AMD Ryzen AI 9 HX 370", "x86-64 machine"],
        ),
        (
            "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S",
            "x86_64",
            ["AMD Ryzen AI Max+ 395", "x86-64 machine"],
        ),
        ("AMD Ryzen 7 7840U w/ Radeon 780M", "x86_64", ["x86-64 machine"]),
        ("AMD EPYC", "x86_64", ["x86-64 machine"]),
        (
            "Snapdragon(R) X Elite - X1E78100 - Qualcomm(R) Oryon(TM) CPU",
            "ARM64",
            ["Qualcomm Snapdragon X Elite"],
        ),
        (
            "Snapdragon(R) X Plus - X1P64100 - Qualcomm(R) Oryon(TM) CPU",
            "ARM64",
            ["Qualcomm Snapdragon X laptop"],
        ),
        ("Snapdragon(R) X2 Elite - X2E88100", "ARM64", []),
        ("Apple M4", "arm64", ["Apple M4"]),
        ("Apple M4 Pro", "arm64", ["Apple M4 Pro"]),
        ("Apple M4 Max", "arm64", ["Apple silicon laptop"]),
        ("Neoverse-N1", "aarch64", []),
        ("", "riscv64", []),
    ],
)
def test_names_of_processors(cpu: str, architecture: str, names: list[str]) -> None:
    found = matching_devices(facts(cpu, architecture), PROFILES)
    assert [re.sub(r" \(.*", "", match.name) for match in found] == names


@pytest.mark.parametrize(
    ("compatible", "board", "profile"),
    [
        (
            ("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            "jetson-orin-nano",
        ),
        (
            ("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"),
            "NVIDIA Jetson AGX Orin Developer Kit",
            "jetson-agx-orin",
        ),
        # An AGX Orin that was flashed to behave like a smaller module keeps its own rails.
        (
            ("nvidia,p3737-0000+p3701-0000-as-p3767-0004", "nvidia,tegra234"),
            "",
            "jetson-agx-orin",
        ),
        (
            ("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
            "NVIDIA Jetson AGX Thor Developer Kit",
            "jetson-thor",
        ),
        (("nvidia,p3449-0000+p3668-0001", "nvidia,tegra194"), "", "jetson-xavier-nx"),
        (("lenovo,thinkedge-se70", "nvidia,p3668-0001", "nvidia,tegra194"), "", "jetson-xavier-nx"),
        (("nvidia,p2972-0000", "nvidia,tegra194"), "Jetson-AGX", "jetson-agx-xavier"),
        (
            ("nvidia,p3449-0000-b00+p3448-0002-b00", "nvidia,jetson-nano", "nvidia,tegra210"),
            "NVIDIA Jetson Nano Developer Kit",
            "jetson-nano",
        ),
        (("nvidia,quill", "nvidia,tegra186"), "", "jetson-tx2"),
        (("nvidia,p3509-0000+p3636-0001", "nvidia,tegra186"), "", None),  # TX2 NX: other rails
        (("nvidia,tegra234",), "", None),  # the chip alone does not tell the board
        (("raspberrypi,5-model-b", "brcm,bcm2712"), "Raspberry Pi 5 Model B", "raspberry-pi-5"),
        ((), "NVIDIA Jetson Orin NX on a board of mine", "jetson-orin-nx"),
        (("lenovo,thinkpad-t14s", "qcom,x1e78100", "qcom,x1e80100"), "", "snapdragon-x-laptop"),
    ],
)
def test_boards(compatible: tuple[str, ...], board: str, profile: str | None) -> None:
    found = match_device(facts("", "aarch64", compatible=compatible, board=board), PROFILES)
    assert (found.profile.id if found else None) == profile


def test_stronger_evidence_comes_first() -> None:
    texts = {
        "by-tree": 'compatible = ["me,own"]',
        "by-board": 'board = ["own*"]',
        "by-product": 'product = ["me own*"]',
        "by-cpu": 'cpu = ["*own chip*"]',
        "by-nothing": 'architecture = ["aarch64"]',
        "other-machine": 'architecture = ["x86_64"]\ncpu = ["*"]',
        "matches-nothing": "",
    }
    profiles = [
        parsed(f'id = "{name}"\nname = "n"\nvendor = "v"\n[match]\n{match}')
        for name, match in texts.items()
    ]
    machine = DeviceFacts(("me,own", "me,chip"), "Own Board", "Me Own 7", "An OWN chip", "arm64")
    found = matching_devices(machine, reversed(profiles))
    ids = [match.profile.id for match in found]
    assert ids == ["by-tree", "by-board", "by-product", "by-cpu", "by-nothing"]
    first = parsed('id = "z"\nname = "n"\nvendor = "v"\nmatch = { compatible = ["me,own"] }')
    second = parsed('id = "a"\nname = "n"\nvendor = "v"\nmatch = { compatible = ["me,chip"] }')
    found = matching_devices(machine, [second, first])
    assert [match.profile.id for match in found] == ["z", "a"]


def test_this_machine_is_none_or_one_of_them() -> None:
    found = match_device(DeviceFacts(architecture=platform.machine()))
    assert found is None or found.profile.id in BY_ID


# Rails


@pytest.mark.parametrize(
    ("compatible", "module", "system"),
    [
        ("nvidia,p3767-0005", {"VDD_IN"}, set()),
        ("nvidia,p3767-0000", {"VDD_IN"}, set()),
        ("nvidia,p3701-0005", {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"}, set()),
        ("nvidia,p3834-0008", set(), {"VIN"}),
        ("nvidia,p3668-0001", {"VDD_IN"}, set()),
        ("nvidia,p2888-0004", {"GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"}, set()),
        ("nvidia,jetson-nano", {"POM_5V_IN"}, set()),
        ("nvidia,p2771-0000", {"VDD_IN"}, set()),
    ],
)
def test_what_adds_up_to_the_total(compatible: str, module: set[str], system: set[str]) -> None:
    rails = rails_for([compatible])
    assert rails is not None
    assert {rail.label for rail in rails.total("module")} == module
    assert {rail.label for rail in rails.total("system")} == system


def test_rails_are_found_by_their_exact_labels() -> None:
    rails = rails_for(["nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"])
    assert rails is not None
    assert rails.profile_id == "jetson-agx-orin"
    memory = rails.find("ina3221", "VDDQ_VDD2_1V8AO")
    assert memory is not None
    assert (memory.total, memory.inside) == (None, "VIN_SYS_5V0")
    for label in ("vdd_gpu_soc", "VDD_GPU", "NC", "sum of shunt voltages", ""):
        assert rails.find("ina3221", label) is None
    assert rails.find("ina238", "VDD_GPU_SOC") is None
    tx2 = rails_for(["nvidia,quill"])
    assert tx2 is not None
    assert tx2.find("ina3221", "VDD_SYS_DDR") is tx2.find("ina3221", "VDD_5V0_DDR")


def test_boards_without_known_rails_have_none() -> None:
    assert rails_for([]) is None
    assert rails_for(["nvidia,tegra234"], "A board that nobody knows") is None
    assert rails_for(["raspberrypi,5-model-b"]) is None
    by_name = rails_for([], "NVIDIA Jetson Orin Nano Developer Kit")
    assert by_name is not None
    assert by_name.profile_id == "jetson-orin-nano"


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_rails_inside_others_are_parts_and_never_summands(profile: DeviceProfile) -> None:
    totals = {rail.label: rail.total for rail in profile.rail}
    for rail in profile.rail:
        if rail.inside is not None:
            assert rail.total is None
            assert totals[rail.inside] is not None


# One's own


def test_a_profile_is_found_by_id_and_by_path(tmp_path: Path) -> None:
    file = tmp_path / "anything.toml"
    file.write_text(OWN, encoding="utf-8")
    own = load_device(file)
    assert own == load_device(str(file)) == parsed(OWN)
    assert own.id == "own-board"
    assert load_device("raspberry-pi-5") == BY_ID["raspberry-pi-5"]
    found = match_device(facts("", "aarch64", compatible=("me,own-board",)), [*PROFILES, own])
    assert found is not None
    assert found.profile is own
    assert found.bandwidth_bytes_per_s("any mode") == 17e9


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('vendor = "Me"', 'vendor = "Me"\nwatts = 7', "own.toml: watts: there is no such key."),
        ("[memory]", "[memory]\nsize = 8", "memory.size: there is no such key."),
        ("value = 17e9, ", "", "memory.bandwidth_bytes_per_s.value: this key is missing."),
        (
            ', source = "Own data sheet, table 3"',
            "",
            "memory.bandwidth_bytes_per_s.source: this key is missing.",
        ),
        ("Own data sheet, table 3", " ", "memory.bandwidth_bytes_per_s.source: String should have"),
        ("17e9", "-1", "memory.bandwidth_bytes_per_s.value: Input should be greater than 0"),
        ("17e9", "nan", "memory.bandwidth_bytes_per_s.value: "),
        ('id = "own-board"', 'id = "Own Board"', "own.toml: id: String should match"),
        ('sensor = "ina3221"', 'sensor = "ina219"', "rail.0.sensor: Input should be 'ina3221'"),
        ('inside = "ALL"', 'inside = "NONE"', "rail CHIP is inside NONE, which is no rail"),
        (
            'inside = "ALL"',
            'inside = "CHIP"',
            "rail CHIP must be inside a rail that is",
        ),
        (
            'inside = "ALL"',
            'inside = "ALL"\ntotal = "module"',
            "rails CHIP and ALL would be added twice",
        ),
        ('label = "CHIP"', 'label = "ALL"', "rail labels appear twice: ALL"),
        (
            'label = "CHIP"',
            'label = "CHIP"\nother_labels = ["ALL"]',
            "rail labels appear twice: ALL",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_with_its_key(
    old: str, new: str, message: str
) -> None:
    assert old in OWN
    with pytest.raises(ConfigError) as caught:
        parsed(OWN.replace(old, new, 1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Value error" not in str(caught.value)


def test_the_examples_of_the_readme_are_a_profile() -> None:
    readme = (data_dir("profiles") / "devices" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    profile = parsed("".join(blocks))
    assert profile.id == "my-board"
    assert [rail.label for rail in profile.rail] == ["VDD_IN", "VDD_SOC"]


def test_versions_have_ids_of_their_own() -> None:
    variant = '\n[[variant]]\nid = "v"\nname = "V"\nmatch = { cpu = ["v"] }\n'
    assert parsed(OWN + variant).variant[0].id == "v"
    with pytest.raises(ConfigError, match="variant ids appear twice: v"):
        parsed(OWN + variant + variant)


def test_wrong_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean jetson-orin-nano"):
        load_device("jetson-orin-nano-8gb")
    with pytest.raises(ConfigError, match="see `edgeagent devices`"):
        load_device("zzz")
    with pytest.raises(ConfigError, match="There is no device profile"):
        load_device("nul\0byte")
    (tmp_path / "broken.toml").write_text("id = ", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.toml is not valid TOML"):
        load_device(tmp_path / "broken.toml")


def test_a_shipped_file_is_named_after_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "other-name.toml").write_text(OWN, encoding="utf-8")
    monkeypatch.setattr("edgeagent.config.devices.data_dir", lambda name: tmp_path)
    with pytest.raises(ConfigError, match=r"id is 'own-board' but must be .* 'other-name'"):
        list_devices()
