"""`edgeagent tune` with a scripted device: what is written, interruption, and undoing it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from edgeagent.cli.tune import command, memory_size
from edgeagent.config.package import Package, read_package
from edgeagent.config.run import EngineConfig
from edgeagent.config.tuned import find_tuned, tuned_dir
from edgeagent.errors import EngineError, ResourceError
from edgeagent.profiling.engine_for import engine_config_for, tuning_target
from edgeagent.profiling.tune import tuner
from edgeagent.profiling.tune.device import Measured, UnsuitableError
from edgeagent.record.tuning import TuningRecord, Verdict


class ScriptedDevice:
    """Chunks of 64 are a fifth faster, speculation answers otherwise, the rest is equal."""

    instances: list[ScriptedDevice] = []  # noqa: RUF012 - one list for all on purpose
    interrupt_after: int | None = None
    faster = 0.8

    def __init__(self, *_args: object, **_options: object) -> None:
        self.measured: list[EngineConfig] = []
        self.instances.append(self)

    def __enter__(self) -> ScriptedDevice:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        pass

    def renew(self) -> None:
        pass

    def measure(self, config: EngineConfig) -> Measured:
        if len(self.measured) == self.interrupt_after:
            raise KeyboardInterrupt
        if config.speculation is not None:
            raise UnsuitableError("the free text answer differs from the default's after 7 of 24")
        self.measured.append(config)
        cost = 1.0 + 0.001 * (len(self.measured) * 7 % 5)
        if config.prefill_chunk_len == 64:
            cost *= self.faster
        return Measured(cost=cost, rss_peak_bytes=400_000_000)


@pytest.fixture
def package(smollm2_package: Path) -> Package:
    return read_package(smollm2_package)


@pytest.fixture(autouse=True)
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[ScriptedDevice]:
    class Device(ScriptedDevice):
        instances = []  # noqa: RUF012

    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path))
    monkeypatch.setattr(tuner, "WorkerDevice", Device)
    return Device


@pytest.fixture
def tune(package: Package) -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(command, [str(package.folder), *arguments])


def names() -> list[str]:
    return sorted(path.name for path in tuned_dir().iterdir()) if tuned_dir().is_dir() else []


def record_of(result: Result) -> TuningRecord:
    return TuningRecord.model_validate_json(result.stdout)


def test_what_is_better_is_written_and_used_by_later_commands(
    tune: Callable[..., Result], package: Package
) -> None:
    result = tune("-q")
    assert result.exit_code == 0, result.output
    target = tuning_target(package)
    assert names() == [f"{target.name}.latency.json", f"{target.name}.toml"]
    assert "20.0% less time than the default" in result.stdout
    assert "--forget" in result.stdout
    assert result.stdout.count("rejected") == 3

    choice = engine_config_for(package)
    assert choice.config == EngineConfig(prefill_chunk_len=64)
    assert choice.origin == "tuned: prefill_chunk_len"
    profile = find_tuned(target).profile
    assert profile is not None
    assert profile.gain.high < 1
    assert (tuned_dir() / profile.record).is_file()


def test_everything_measured_is_in_the_record(tune: Callable[..., Result]) -> None:
    result = tune("-q", "--json", "--seed", "3")
    record = record_of(result)
    assert (record.goal, record.cost_unit, record.seed) == ("latency", "s", 3)
    assert record.ended == "complete"
    assert record.candidates[0].settings["prefill_chunk_len"] == 128
    assert record.candidates[record.chosen].settings["prefill_chunk_len"] == 64
    assert [trial.order for trial in record.trials] == list(range(len(record.trials)))
    assert any("KV precision was not searched" in note for note in record.notes)
    rejected = [found for found in record.comparisons if found.verdict is Verdict.REJECTED]
    assert len(rejected) == 3
    assert all("after 7 of 24" in found.reason for found in rejected)
    assert record.check is not None
    assert record.check.cost_ratio == pytest.approx(0.8, rel=0.01)


def test_where_nothing_is_better_the_default_stays_and_an_older_profile_goes(
    tune: Callable[..., Result], package: Package, device: type[ScriptedDevice]
) -> None:
    tune("-q")
    device.faster = 1.0
    result = tune("-q")
    assert "The default stays" in result.stdout
    assert "nothing is distinguishably better" in result.stdout
    assert "Deleted" in result.stdout
    assert names() == [f"{tuning_target(package).name}.latency.json"]
    assert engine_config_for(package).config == EngineConfig()


def test_ctrl_c_keeps_finished_rounds_and_the_same_command_goes_on(
    tune: Callable[..., Result], package: Package, device: type[ScriptedDevice]
) -> None:
    device.interrupt_after = 30
    result = tune()
    assert result.exit_code == 130
    assert "the same command goes on from there; nothing was changed" in result.stderr
    (kept,) = names()
    assert kept.endswith(".latency.partial.json")
    partial = TuningRecord.model_validate_json((tuned_dir() / kept).read_bytes())
    assert partial.ended == "interrupted"
    assert 20 < len(partial.trials) <= 30
    assert engine_config_for(package).config == EngineConfig()

    device.interrupt_after = None
    result = tune()
    assert result.exit_code == 0
    assert f"going on with {len(partial.trials)} measurements" in result.stderr
    assert kept not in names()
    assert engine_config_for(package).config == EngineConfig(prefill_chunk_len=64)
    first, second = device.instances
    record = TuningRecord.model_validate_json(
        (tuned_dir() / f"{tuning_target(package).name}.latency.json").read_bytes()
    )
    assert record.trials[: len(partial.trials)] == partial.trials
    assert len(second.measured) == len(record.trials) - len(partial.trials)
    assert len(first.measured) == 30


def test_a_search_of_other_settings_does_not_go_on(
    tune: Callable[..., Result], device: type[ScriptedDevice]
) -> None:
    device.interrupt_after = 30
    tune()
    device.interrupt_after = None
    for arguments in (("--seed", "4"), ("--context", "512")):
        assert "going on" not in tune(*arguments).stderr


def test_an_error_keeps_finished_rounds_too(
    tune: Callable[..., Result], device: type[ScriptedDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[EngineConfig] = []

    def dies(_device: ScriptedDevice, config: EngineConfig) -> Measured:
        calls.append(config)
        if len(calls) > 10:
            raise EngineError("The benchmark's worker process died: exit status -9.")
        return Measured(cost=1.0)

    monkeypatch.setattr(device, "measure", dies)
    result = tune()
    assert isinstance(result.exception, EngineError)
    assert "the finished rounds are kept" in result.stderr
    assert [name.split(".")[-2] for name in names()] == ["partial"]


def test_ctrl_c_at_once_leaves_nothing(
    tune: Callable[..., Result], device: type[ScriptedDevice]
) -> None:
    device.interrupt_after = 0
    result = tune()
    assert result.exit_code == 130
    assert "before anything was measured" in result.stderr
    assert names() == []


def test_forgetting(tune: Callable[..., Result], package: Package) -> None:
    tune("-q")
    assert len(names()) == 2
    result = tune("--forget")
    assert result.stdout.count("Deleted") == 2
    assert names() == []
    assert engine_config_for(package).config == EngineConfig()
    assert "Nothing was tuned" in tune("--forget").stdout
    assert json.loads(tune("--forget", "--json").stdout) == []


def test_a_dry_run_measures_and_writes_nothing(
    tune: Callable[..., Result], device: type[ScriptedDevice]
) -> None:
    result = tune("--dry-run", "--goal", "throughput")
    assert "prefill of 512" in result.stdout
    assert "guessing 8 after 3" in result.stdout
    plan = json.loads(tune("--dry-run", "--json").stdout)
    assert set(plan["stages"]) == {
        "threads and spinning",
        "prefill chunk",
        "speculation and its graph",
    }
    assert plan["memory_at_least_bytes"] > 100e6
    assert (device.instances, names()) == ([], [])


def test_what_cannot_fit_is_refused_before_anything_runs(
    tune: Callable[..., Result], device: type[ScriptedDevice]
) -> None:
    result = tune("--memory-limit", "100MB")
    assert isinstance(result.exception, ResourceError)
    assert re.search(
        r"at least \d+ MB of memory, more than the limit of 100 MB", str(result.exception)
    )
    assert device.instances == []


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 << 29), ("800mb", 800 * 10**6), ("1024", 1024)],
)
def test_amounts_of_memory(text: str, size: int) -> None:
    option = click.Option(["--memory-limit"])
    assert memory_size(click.Context(command), option, text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "2TB2", "0", "1e9", "9999999GB"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 2GB"):
        memory_size(click.Context(command), click.Option(["--memory-limit"]), text)
