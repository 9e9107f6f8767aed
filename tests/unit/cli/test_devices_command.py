"""`edgeagent devices`: the list, one profile with its sources, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeagent.cli.devices import command
from edgeagent.config.devices import DeviceFacts, list_devices
from edgeagent.errors import ConfigError

ORIN = ("nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234")


def output(*arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def become(monkeypatch: pytest.MonkeyPatch, facts: DeviceFacts) -> None:
    monkeypatch.setattr("edgeagent.meter.host.identity.device_facts", lambda: facts)


def test_the_list_marks_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, DeviceFacts(ORIN, architecture="aarch64"))
    lines = output().splitlines()
    assert [line.split()[0] for line in lines] == [profile.id for profile in list_devices()]
    (marked,) = [line for line in lines if "this machine" in line]
    assert marked.startswith("jetson-orin-nano ")
    assert marked.endswith("<- this machine: NVIDIA Jetson Orin Nano 8GB")


def test_a_machine_that_no_profile_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, DeviceFacts(architecture="riscv64"))
    assert "None is for this machine" in output()
    assert not any(row["this_machine"] for row in json.loads(output("--json")))


def test_the_list_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, DeviceFacts(ORIN, architecture="aarch64"))
    rows = {row["id"]: row for row in json.loads(output("--json"))}
    orin = rows["jetson-orin-nano"]
    assert (orin["this_machine"], orin["this_variant"]) == (True, "orin-nano-8gb")
    assert [row["id"] for row in rows.values() if row["this_machine"]] == ["jetson-orin-nano"]


def test_a_profile_is_shown_with_the_source_of_every_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    become(monkeypatch, DeviceFacts(ORIN, architecture="aarch64"))
    for profile in list_devices():
        text = output(profile.id)
        stated = text.count("    source: ")
        assert stated == profile.model_dump_json().count('"source":'), profile.id
    text = output("jetson-orin-nano")
    assert "fits this machine: NVIDIA Jetson Orin Nano 8GB" in text
    assert "bandwidth: 102.0 GB/s" in text
    assert "GPU: 33 TOPS int8 dense in MAXN_SUPER" in text
    assert "15W: number 0, 15 W, memory at 68.0 GB/s" in text
    assert "VDD_IN: the whole module, without the carrier board; ina3221; the module's" in text
    assert "a part, never added, inside VDD_IN" in text
    assert "fits this machine" not in output("raspberry-pi-5")
    assert "one of 3 that make up the module's total" in output("jetson-agx-orin")
    assert "precision and sparsity not stated" in output("amd-ryzen-ai-laptop")


def test_a_profile_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, DeviceFacts(architecture="riscv64"))
    data = json.loads(output("raspberry-pi-5", "--json"))
    assert data["memory"]["bandwidth_bytes_per_s"]["value"] == 17e9
    assert data["this_machine"] is False
    assert data["this_variant"] is None


def test_wrong_profiles(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean raspberry-pi-5"):
        output("raspberry-pi-55")
    own = tmp_path / "own.toml"
    own.write_text('id = "own"\nname = "Own"\nvendor = "Me"\nmatch = { cpus = [] }\n')
    with pytest.raises(ConfigError, match=r"own\.toml: match\.cpus: there is no such key\.$"):
        output(str(own))
