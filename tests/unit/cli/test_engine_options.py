"""Options of the runtime: none decides unless given, and tuned settings fill the rest."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgeagent.cli.options import ENGINE_NAMES, engine_choice, engine_options, take
from edgeagent.config.engine_choice import EngineChoice
from edgeagent.config.package import Package, read_package
from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.config.tuned import TunedEngine, TunedGain, TunedProfile, write_tuned
from edgeagent.profiling.engine_for import tuning_target


@pytest.fixture
def package(smollm2_package: Path) -> Package:
    return read_package(smollm2_package)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path))


@pytest.fixture
def tuned(package: Package) -> None:
    target = tuning_target(package)
    write_tuned(
        target,
        TunedProfile(
            model_id=target.model_id,
            package_sha256=target.package_sha256,
            runtime=target.runtime,
            ep="cpu",
            goal="energy",
            created_utc="2026-01-02T03:04:05+00:00",
            edgeagent_version="0.1.0",
            record="x.json",
            host=target.host,
            gain=TunedGain(cost_ratio=0.8, low=0.7, high=0.9, pairs=8),
            engine=TunedEngine(allow_spinning=False, prefill_chunk_len=64),
        ),
    )


def chosen(package: Package, *arguments: str) -> EngineChoice:
    choices: list[EngineChoice] = []

    @click.command()
    @engine_options
    def command(**options: object) -> None:
        choices.append(engine_choice(package, **take(options, ENGINE_NAMES)))
        assert options == {}

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return choices[0]


def test_without_options_and_tuning_the_defaults_hold(package: Package) -> None:
    assert chosen(package) == EngineChoice(EngineConfig())


@pytest.mark.usefixtures("tuned")
def test_tuned_settings_hold_by_themselves_and_are_told(package: Package) -> None:
    choice = chosen(package)
    assert choice.config == EngineConfig(allow_spinning=False, prefill_chunk_len=64)
    assert choice.origin == "tuned: allow_spinning, prefill_chunk_len"
    assert "tuned for energy on 2026-01-02" in choice.note


@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--no-tuned",), EngineConfig()),
        (("--spin",), EngineConfig(prefill_chunk_len=64)),
        (
            ("--threads", "3", "--prefill-chunk", "32", "--speculation"),
            EngineConfig(
                intra_op_num_threads=3,
                prefill_chunk_len=32,
                allow_spinning=False,
                speculation=NGramSpeculation(),
            ),
        ),
        (("--ep", "cuda"), EngineConfig(ep="cuda")),
    ],
)
def test_options_win(package: Package, arguments: tuple[str, ...], expected: EngineConfig) -> None:
    assert chosen(package, *arguments).config == expected


@pytest.mark.usefixtures("tuned")
def test_a_run_without_anything_tuned_in_it_says_nothing(package: Package) -> None:
    choice = chosen(package, "--spin", "--prefill-chunk", "128")
    assert choice.note == ""
    assert choice.origin == "given: allow_spinning, prefill_chunk_len"
