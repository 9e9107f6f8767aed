"""`edgeagent doctor`: what it says about this machine, and about broken ones."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from edgeagent.agent.tools.python.support import Support
from edgeagent.cli import diagnosis as diagnosis_module
from edgeagent.cli.diagnosis import (
    CachedFile,
    Diagnosis,
    Library,
    cached_files,
    diagnose,
    disk_free_bytes,
    libraries,
    probe_runtime,
)
from edgeagent.cli.doctor import as_plain_data, command, print_diagnosis
from edgeagent.meter.host.facts import HostFact
from edgeagent.record.manifest import MANIFEST_NAME, Manifest, SourceRecord, TensorGroup
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def broken_machine() -> Diagnosis:
    return Diagnosis(
        edgeagent="1.2.3",
        python="3.12.0 at python",
        system="Linux 6.1, aarch64, Cortex-A76",
        libraries=(Library("onnxruntime-genai", None, "runtime"), Library("gguf", None, "export")),
        providers=None,
        providers_reason="ModuleNotFoundError: No module named 'onnxruntime'",
        host=(HostFact("governor", None), HostFact("load", "3.00", "[close] other programs")),
        home="/cache",
        disk_free_bytes=None,
        sources=(
            SourceInfo(
                source="rapl:package-0",
                quantity="energy_j",
                kind=SampleKind.COUNTER,
                scope=Scope.PACKAGE,
                state=SourceState.PERMISSION,
                reason="It cannot be read.",
                remedy="Let a group read it.",
            ),
        ),
        cached=(CachedFile("smollm2", "package", 120_000_000, "int4 block 32"),),
    )


def rendered(diagnosis: Diagnosis, *, terminal: bool) -> str:
    text = io.StringIO()
    print_diagnosis(diagnosis, Console(file=text, force_terminal=terminal, width=100))
    return text.getvalue()


def test_this_machine_as_json() -> None:
    result = CliRunner().invoke(command, ["--json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert "CPUExecutionProvider" in data["providers"]
    assert "AzureExecutionProvider" not in data["providers"]
    assert data["disk_free_bytes"] > 0
    sources = {source["source"]: source for source in data["sources"]}
    assert sources["process:rss"]["state"] == "ok"
    versions = {library["name"]: library["version"] for library in data["libraries"]}
    assert versions["onnxruntime"] == importlib.metadata.version("onnxruntime")


def test_this_machine_piped_is_plain_and_unwrapped() -> None:
    result = CliRunner().invoke(command)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert not set("│─┌") & set(result.output)
    (line,) = [text for text in result.output.splitlines() if "execution providers" in text]
    assert "CPUExecutionProvider" in line
    assert any(text.split()[:2] == ["process:rss", "ok"] for text in result.output.splitlines())


def test_help_shows_an_example() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert "edgeagent doctor --json > doctor.json" in result.output


@pytest.mark.parametrize("terminal", [True, False])
def test_each_missing_thing_says_what_it_needs(broken_machine: Diagnosis, terminal: bool) -> None:
    text = " ".join(rendered(broken_machine, terminal=terminal).split())
    for expected in (
        "permission",
        "Let a group read it.",
        "pip install onnxruntime-genai",
        'pip install "edgeagent[export]"',
        "No module named 'onnxruntime'",
        "[close] other programs",
        "unknown",
        "120.0 MB",
    ):
        assert expected in text


def test_a_terminal_gets_tables(broken_machine: Diagnosis) -> None:
    assert "│" in rendered(broken_machine, terminal=True)


def test_without_a_runtime_the_exit_status_says_so(
    broken_machine: Diagnosis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis_module, "diagnose", lambda: broken_machine)
    assert CliRunner().invoke(command).exit_code == 6
    result = CliRunner().invoke(command, ["--json"])
    assert result.exit_code == 6
    assert json.loads(result.stdout)["providers"] is None


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_runtime", "No module named 'no_such_runtime'"),
        ("import os; os._exit(132)", "status 132"),
        ("print('hello')", "cannot be told"),
        ("pass", "cannot be told"),
    ],
)
def test_a_runtime_that_does_not_load_is_explained(code: str, reason: str) -> None:
    providers, why = probe_runtime(code)
    assert providers is None
    assert reason in why


def test_a_runtime_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis_module, "_PROBE_TIMEOUT_S", 0.2)
    providers, why = probe_runtime("import time; time.sleep(30)")
    assert providers is None
    assert "did not load within" in why


def test_telemetry_is_off_in_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    code = "import json, os; print(json.dumps([os.environ['ORT_DISABLE_TELEMETRY']]))"
    assert probe_runtime(code) == (("1",), "")


def test_extras_come_from_our_own_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = ["click>=8", 'gguf>=0.17; extra == "export"', "no-such-lib; extra == 'plots'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requirements)
    found = {library.name: library for library in libraries()}
    assert "click" not in found
    assert found["gguf"].needed_for == "export"
    assert found["gguf"].version is not None
    assert found["no-such-lib"] == Library("no-such-lib", None, "plots")


def test_a_checkout_that_is_not_installed_has_no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert {library.needed_for for library in libraries()} == {"runtime"}


def test_cache_lists_packages_sources_and_damage(home: Path) -> None:
    good, bad = home / "packages" / "good", home / "packages" / "bad"
    for folder in (good, bad, home / "packages" / "unfinished", home / "sources"):
        folder.mkdir(parents=True)
    manifest = Manifest(
        model_id="good",
        edgeagent_version="0",
        created_utc="2026-01-01T00:00:00+00:00",
        source=SourceRecord(
            file="a.gguf", sha256="0", size_bytes=1, origin="local file", architecture="llama"
        ),
        recipe={},
        tensor_groups=(
            TensorGroup(
                group="mlp",
                source_types={"Q4_0": 1},
                stored_as="int4 block 32",
                tensors=1,
                size_bytes=1,
                exact=True,
            ),
        ),
        tool_versions={},
        files={},
        parameters=1,
        context_len=1,
        kv_bytes_per_token=1,
        tool_call_format="compact",
    )
    (good / MANIFEST_NAME).write_text(manifest.model_dump_json(), encoding="utf-8")
    (good / "model.onnx").write_bytes(b"x" * 1000)
    (bad / MANIFEST_NAME).write_bytes(b"\xff{")
    (home / "sources" / "a.gguf").write_bytes(b"x" * 500)
    (home / "sources" / ".a.gguf.part").write_bytes(b"x")
    found = {item.name: item for item in cached_files()}
    assert set(found) == {"good", "bad", "a.gguf"}
    assert found["good"].note == "int4 block 32"
    assert found["good"].size_bytes > 1000
    assert "export it again" in found["bad"].note
    assert found["a.gguf"] == CachedFile("a.gguf", "source", 500, "")


def test_free_space_of_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert disk_free_bytes(tmp_path / "a" / "b") == pytest.approx(
        disk_free_bytes(tmp_path), rel=0.05
    )


def test_looking_changes_nothing(home: Path) -> None:
    diagnose()
    assert not home.exists()


@pytest.mark.parametrize("terminal", [True, False])
def test_whether_models_may_run_python(broken_machine: Diagnosis, terminal: bool) -> None:
    assert "Tools" not in rendered(broken_machine, terminal=terminal)
    here = dataclasses.replace(broken_machine, sandbox=Support(True, ("seccomp", "Landlock 3")))
    text = rendered(here, terminal=terminal)
    assert "Tools" in text
    assert "confined by seccomp, Landlock 3" in text
    assert as_plain_data(here)["sandbox"] == {
        "offered": True,
        "layers": ["seccomp", "Landlock 3"],
        "reason": "",
    }
    missing = Support(False, reason="it has none")
    text = rendered(dataclasses.replace(broken_machine, sandbox=missing), terminal=terminal)
    assert "not offered" in text
    assert "it has none" in text
