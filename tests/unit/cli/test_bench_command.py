from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edgeagent.cli import bench
from edgeagent.config.engine_choice import EngineChoice
from edgeagent.config.package import Package
from edgeagent.config.run import EngineConfig
from edgeagent.errors import ConfigError, EngineError, RunDataError
from edgeagent.profiling.bench.messages import Loaded
from edgeagent.profiling.bench.run import (
    BenchParts,
    BenchProgress,
    BenchResult,
    OnBenchProgress,
)
from edgeagent.profiling.bench.settings import BenchSettings
from edgeagent.record.bench import Cell, LoadReading, MemoryReading, Reading
from edgeagent.record.bench_run import BenchRecord, CellRecord
from edgeagent.record.manifest import Manifest, SourceRecord
from edgeagent.report.bench.load import load_bench


@pytest.fixture
def package(tmp_path: Path) -> Package:
    manifest = Manifest(
        model_id="tiny",
        edgeagent_version="0.1.0",
        created_utc="2026-01-01T00:00:00+00:00",
        source=SourceRecord(
            file="m.gguf", sha256="0" * 64, size_bytes=1, origin="test", architecture="llama"
        ),
        recipe={},
        tensor_groups=(),
        tool_versions={},
        files={"model.onnx": 10},
        parameters=1,
        context_len=4096,
        kv_bytes_per_token=0,
        tool_call_format="compact",
    )
    return Package(tmp_path / "package", manifest, "f" * 64)


class FakeBench:
    """Stands in for `run_bench`: keeps the settings, and returns what it is told to."""

    def __init__(self) -> None:
        self.settings: BenchSettings | None = None
        self.raises: BaseException | None = None
        self.result: dict[str, Any] = {}

    def __call__(
        self, settings: BenchSettings, on_progress: OnBenchProgress, parts: BenchParts
    ) -> BenchResult:
        assert parts.energy is None
        self.settings = settings
        on_progress(BenchProgress("round 1 of 5", "prefill 32", 1, 2))
        if self.raises is not None:
            raise self.raises
        loaded = Loaded(
            reading=LoadReading(t0_ns=0, t1_ns=1, import_ns=1, memory=MemoryReading()),
            engine="genai",
            version="0.18.0",
            ep="cpu",
            context_len=4096,
            vocab_size=9,
            kv_bytes_per_token=0,
            threads=2,
        )
        reading = Reading(t0_ns=0, t1_ns=10**8, prefill_ns=10**8, ttft_ns=10**8)
        cell = Cell(kind="prefill", tokens=32)
        record = BenchRecord(
            config=settings.config(loaded),
            sizes=None,
            started_utc="2026-01-01T00:00:00+00:00",
            complete=not self.result,
            cells=(CellRecord(round=0, order=0, cell=cell, readings=(reading,)),),
        )
        return BenchResult(record, **self.result)


@pytest.fixture
def fake(package: Package, monkeypatch: pytest.MonkeyPatch) -> FakeBench:
    found = FakeBench()
    monkeypatch.setattr(bench, "run_bench", found)
    monkeypatch.setattr(bench, "find_energy_meter", lambda: None)
    monkeypatch.setattr(bench, "get_package", lambda _model, _display: package)
    monkeypatch.setattr(
        bench,
        "engine_choice",
        lambda _package, threads, **_options: EngineChoice(
            EngineConfig(intra_op_num_threads=threads)
        ),
    )
    return found


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(bench.command, ["tiny", "-q", *arguments])


def test_options_become_settings(fake: FakeBench) -> None:
    done = invoke(
        *("--prompt-lens", "64, 16,64", "--depths", "0", "--new-tokens", "5", "--repeat", "7"),
        *("--min-duration", "2.5", "--seed", "3", "--threads", "4"),
    )
    assert done.exit_code == 0, done.output
    settings = fake.settings
    assert settings is not None
    assert (settings.prompt_lens, settings.depths) == ((64, 16), (0,))
    assert (settings.new_tokens, settings.repeat, settings.seed) == (5, 7, 3)
    assert settings.min_duration_s == 2.5
    assert settings.engine.intra_op_num_threads == 4


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        ((), "tiny ("),
        (("--format", "markdown"), "**tiny"),
        (("--format", "csv"), "model,package_sha256"),
        (("--json",), "{"),
    ],
)
def test_forms_of_output(fake: FakeBench, arguments: tuple[str, ...], begins: str) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(begins)
    assert "320" in done.stdout


def test_json_is_one_document(fake: FakeBench) -> None:
    report = json.loads(invoke("--json").stdout)
    assert report["summary"]["cells"][0]["tok_per_s"]["median"] == 320
    assert report["record"]["cells"][0]["readings"][0]["prefill_ns"] == 10**8


def test_the_file_is_written_beside_what_is_printed(fake: FakeBench, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = invoke("--out", str(out))
    assert "prefill 32" in done.stdout
    assert f"Written: {out}" in done.stdout
    assert load_bench(out).config.model_id == "tiny"
    done = invoke("--out", str(tmp_path / "b.CSV"), "--json")
    json.loads(done.stdout)
    assert (tmp_path / "b.CSV").read_text(encoding="utf-8").startswith("model,")


def test_a_file_is_shown_again_without_measuring(fake: FakeBench, tmp_path: Path) -> None:
    out, again = tmp_path / "bench.json", tmp_path / "again.json"
    first = invoke("--out", str(out))
    fake.settings = None
    second = CliRunner().invoke(bench.command, ["--from", str(out), "--out", str(again)])
    assert second.exit_code == 0, second.output
    assert fake.settings is None
    assert second.stdout.replace(str(again), str(out)) == first.stdout
    assert again.read_bytes() == out.read_bytes()
    missing = CliRunner().invoke(bench.command, ["--from", str(tmp_path / "none.json")])
    assert isinstance(missing.exception, RunDataError)


@pytest.mark.parametrize(
    ("out", "message"),
    [("bench.pdf", "does not tell what to write"), ("no/b.csv", "make it first")],
)
def test_a_bad_file_is_refused_before_measuring(
    fake: FakeBench, tmp_path: Path, out: str, message: str
) -> None:
    done = invoke("--out", str(tmp_path / out))
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)
    assert fake.settings is None


@pytest.mark.parametrize("value", ["1,x", "-1", "1.5", "\N{ARABIC-INDIC DIGIT ONE}", "99999999"])
def test_lengths_must_be_numbers(fake: FakeBench, value: str) -> None:
    done = invoke("--depths", value)
    assert done.exit_code == 2
    assert "--depths" in done.output
    assert invoke("--prompt-lens", "0").exit_code == 2
    assert fake.settings is None


def test_ctrl_c_shows_what_was_measured(fake: FakeBench, tmp_path: Path) -> None:
    fake.result = {"interrupted": True}
    out = tmp_path / "bench.json"
    done = invoke("--out", str(out))
    assert done.exit_code == 130
    assert "prefill 32" in done.stdout
    assert "interrupted; what was measured until then is kept (1 tests)" in done.stderr
    assert not load_bench(out).complete


def test_ctrl_c_before_anything_was_measured(fake: FakeBench) -> None:
    fake.raises = KeyboardInterrupt()
    done = invoke()
    assert done.exit_code == 130
    assert done.stdout == ""


def test_a_late_error_is_told_behind_the_results(fake: FakeBench) -> None:
    fake.result = {"error": EngineError("The worker died.")}
    done = invoke()
    assert "prefill 32" in done.stdout
    assert isinstance(done.exception, EngineError)


def test_help_has_an_example() -> None:
    text = CliRunner().invoke(bench.command, ["--help"]).stdout
    assert "edgeagent bench smollm2-135m-instruct" in text
