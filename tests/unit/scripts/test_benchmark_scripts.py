from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import benchmark_llama_cpp as benchmark
import benchmark_worker
import profile_operators
import pytest

# Statistics of the comparison


def test_ratios_are_paired() -> None:
    # The machine halves its speed in the last two rounds; paired ratios do not notice.
    found = benchmark.compare([200.0, 220.0, 110.0, 100.0], [100.0, 110.0, 55.0, 50.0])
    assert found.ratio == found.ratio_min == found.ratio_max == 2.0
    assert (found.edgeagent, found.llama_cpp) == (155.0, 77.5)


def test_spread_of_ratios() -> None:
    found = benchmark.compare([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert (found.ratio_min, found.ratio_p25, found.ratio, found.ratio_p75, found.ratio_max) == (
        1.0, 2.0, 3.0, 4.0, 5.0
    )  # fmt: skip


def test_one_round_has_no_spread() -> None:
    found = benchmark.compare([3.0], [2.0])
    assert found.ratio == found.ratio_p25 == found.ratio_p75 == 1.5


def test_rounds_must_pair() -> None:
    with pytest.raises(ValueError, match="shorter"):
        benchmark.compare([1.0, 2.0], [1.0])


def test_order_flips_every_round() -> None:
    assert benchmark.order_of(0) == ("edgeagent", "llama_cpp") == benchmark.order_of(1)[::-1]
    assert benchmark.order_of(2) == benchmark.order_of(0)


# Arguments


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    (tmp_path / "model.gguf").touch()
    (tmp_path / "genai_config.json").touch()
    return [f"--gguf={tmp_path / 'model.gguf'}", f"--package={tmp_path}", "--llama-python=python"]


def test_defaults(models: list[str]) -> None:
    options = benchmark.parse(models)
    assert (options.prompt_tokens, options.generate, options.rounds) == (512, 64, 10)
    assert options.threads is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gguf=nowhere.gguf"], "--gguf: nowhere.gguf is not a file"),
        (["--package=nowhere"], "--package: nowhere is not a package"),
        (["--rounds=0"], "--rounds: must be at least 1"),
        (["--generate=1"], "--generate: must be at least 2"),
    ],
)
def test_bad_arguments(
    models: list[str], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        benchmark.parse(models + arguments)
    assert message in capsys.readouterr().err


# Workers


class CountingBench:
    def __init__(self) -> None:
        self.prompts: list[list[int]] = []

    def hello(self) -> dict[str, Any]:
        return {}

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def prefill(self, token_ids: list[int]) -> None:
        self.prompts.append(token_ids)

    def decode(self, count: int) -> list[int]:
        return [7] * count


def test_a_job_is_one_prefill_and_one_decode() -> None:
    bench = CountingBench()
    reply = benchmark_worker.answer(bench, {"prompt": [1, 2, 3], "generate": 4})
    assert bench.prompts == [[1, 2, 3]]
    assert reply["ids"] == [7, 7, 7, 7]
    assert reply["prefill_ns"] >= 0
    assert reply["decode_ns"] >= 0
    assert benchmark_worker.answer(bench, {"encode": "ab"}) == {"ids": [97, 98]}


FAKE_WORKER = """
import json, sys
print(json.dumps({"engine": sys.argv[1]}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    if "encode" in job:
        reply = {"ids": list(range(100))}
    else:
        fast = 2 if sys.argv[1] == "edgeagent" else 1
        reply = {
            "prefill_ns": 10**9 // fast, "decode_ns": 10**9, "idle_cpu_ns": 0,
            "ids": [1, 2, fast][: job["generate"]],
        }
    print(json.dumps(reply), flush=True)
"""


@pytest.fixture
def fake_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(FAKE_WORKER)
    monkeypatch.setattr(benchmark, "WORKER", worker)
    monkeypatch.setattr(benchmark, "_busy_percent", lambda: 3.0)


@pytest.mark.usefixtures("fake_workers")
def test_rates_come_from_tokens_and_steps(models: list[str]) -> None:
    own = ["--prompt-tokens=50", "--generate=3", "--rounds=2", "--threads=2", "--pause=0"]
    options = benchmark.parse([*models, *own, f"--llama-python={sys.executable}"])
    record = benchmark.run(options)
    prefill, decode = (record["results"][measure] for measure in benchmark.MEASURES)
    assert (prefill["edgeagent"], prefill["llama_cpp"], prefill["ratio"]) == (100.0, 50.0, 2.0)
    assert (decode["edgeagent"], decode["ratio"]) == (2.0, 1.0)  # two steps for three tokens
    assert [len(rounds) for rounds in record["rounds"].values()] == [2, 2]
    assert record["same_tokenization"] is True
    assert record["same_first_tokens"] == 2
    assert json.loads(json.dumps(record)) == record
    text = benchmark.render(record)
    assert "prefill              100.0       50.0    2.00" in text
    assert "mean little" not in text
    record["machine"]["busy_percent"] = 80.0
    assert "80 % busy: these figures mean little" in benchmark.render(record)


@pytest.mark.usefixtures("fake_workers")
def test_a_prompt_longer_than_the_text_is_refused(models: list[str]) -> None:
    options = benchmark.parse(
        [*models, "--prompt-tokens=101", "--threads=1", f"--llama-python={sys.executable}"]
    )
    with pytest.raises(benchmark.ComparisonError, match="text for 100 tokens only"):
        benchmark.run(options)


def test_a_worker_that_cannot_work_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import no_such_module")
    monkeypatch.setattr(benchmark, "WORKER", worker)
    with (
        pytest.raises(benchmark.ComparisonError, match="No module named 'no_such_module'"),
        benchmark.started("llama_cpp", Path(sys.executable), Path("m.gguf"), 1, 8) as started,
    ):
        pytest.fail(f"{started.name} started")


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(benchmark.ComparisonError, match="cannot be started"),
        benchmark.started("llama_cpp", tmp_path / "python", Path("m.gguf"), 1, 8),
    ):
        pass


# Operators


def kernel(op_type: str, ts: int, dur: int) -> dict[str, Any]:
    return {
        "cat": "Node", "name": f"n{ts}_kernel_time", "ts": ts, "dur": dur,
        "args": {"op_name": op_type},
    }  # fmt: skip


def model_run(ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur}


TRACE = [
    model_run(1000, 500),
    kernel("MatMul", 1010, 100),
    kernel("Add", 1120, 10),
    kernel("MatMul", 1140, 200),
    {"cat": "Node", "name": "n_fence_before", "ts": 1150, "dur": 999, "args": {"op_name": "Add"}},
    model_run(100, 300),
    kernel("MatMul", 110, 100),
    kernel("MatMul", 1600, 77),  # outside of any run
]


def test_kernels_belong_to_the_run_around_them() -> None:
    first, second = profile_operators.operator_times(TRACE)
    assert first["time_s"] == pytest.approx(300e-6)
    assert first["operators"] == {"MatMul": {"time_s": pytest.approx(100e-6), "calls": 1}}
    assert second["operators"]["MatMul"] == {"time_s": pytest.approx(300e-6), "calls": 2}
    assert second["operators"]["Add"] == {"time_s": pytest.approx(10e-6), "calls": 1}


def test_medians_over_runs_longest_first() -> None:
    runs = profile_operators.operator_times(TRACE)
    found = profile_operators.summarize([*runs, runs[1]])
    assert found["time_s"] == pytest.approx(500e-6)
    assert [operator["op_type"] for operator in found["operators"]] == ["MatMul", "Add"]
    assert found["operators"][0]["time_s"] == pytest.approx(300e-6)


def test_operators_of_a_real_package(smollm2_package: Path) -> None:
    record = profile_operators.measure(smollm2_package, prompt_tokens=16, runs=2, threads=2)
    for phase in profile_operators.PHASES:
        calls = {o["op_type"]: o["calls"] for o in record[phase]["operators"]}
        assert calls["GroupQueryAttention"] == 30  # one in each layer
        assert sum(o["time_s"] for o in record[phase]["operators"]) > 0
    text = profile_operators.render(record)
    assert "prefill of 16 tokens" in text
    assert "decode step after 16 tokens" in text


def test_a_folder_without_a_package(tmp_path: Path) -> None:
    with pytest.raises(profile_operators.ProfileError, match="is not a package"):
        profile_operators.measure(tmp_path, prompt_tokens=1, runs=1, threads=1)
