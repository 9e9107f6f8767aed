"""The main job on real weights, through the command line as people use it."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from edgeagent.report.load import Run, load_run


def test_profile_prints_and_saves_the_trade_off(edgeagent, smollm2_package, short_suite, tmp_path):
    done = edgeagent("profile", smollm2_package, "--suite", short_suite, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "Solved" in done.stdout
    assert "Peak RSS, alone" in done.stdout
    where_energy_is_measured = {"edges.jsonl", "baselines.jsonl", "energy.csv"}
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert found - where_energy_is_measured == {
        "cold.jsonl",
        "conditions.jsonl",
        "reference.jsonl",
        "report.md",
        "samples.jsonl",
        "summary.json",
        "tasks.jsonl",
        "tradeoff.svg",
    }
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    by_name = {paradigm["paradigm"]: paradigm for paradigm in summary["paradigms"]}
    assert set(by_name) == {"base", "single", "multi"}
    for paradigm in by_name.values():
        assert paradigm["attempts"] == 3
        assert paradigm["completed_rate"] == 1.0
        assert paradigm["decode_tok_per_s"] > 0
        assert paradigm["memory"]["alone"]
        assert paradigm["memory"]["rss_peak_bytes"] > 150e6
    assert by_name["base"]["categories"]["arithmetic"]["solved"] == 0
    assert by_name["single"]["categories"]["arithmetic"]["solved"] == 1
    assert by_name["single"]["tokens_per_task"]["cached"] > 100
    check_that_nothing_is_prefilled_twice(load_run(tmp_path / "run"))
    energy = by_name["base"]["energy"]
    energy_known = energy is not None and energy["energy_j_per_task"] is not None
    assert energy_known != bool(summary["energy_note"])


def test_ctrl_c_keeps_tasks(edgeagent, start, smollm2_package, short_suite, tmp_path):
    if sys.platform == "win32":
        pytest.skip("Ctrl-C cannot be sent to one process on Windows")
    options = ("--suite", short_suite, "--paradigms", "base", "--repeat", "3", "--out", "run")
    arguments = ("profile", smollm2_package, *options)
    process = start(*arguments)
    tasks = tmp_path / "run" / "tasks.jsonl"
    deadline = time.monotonic() + 180
    while not (tasks.is_file() and tasks.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    kept = tasks.read_bytes()
    count = kept.count(b"\n")
    assert 1 <= count < 9
    done = edgeagent(*arguments)
    assert done.returncode == 0, done.stderr
    assert f"{count} of 9 task runs are there" in done.stderr
    assert tasks.read_bytes().startswith(kept)
    assert tasks.read_bytes().count(b"\n") == 9


def test_run_streams_the_answer_and_shows_steps(edgeagent, smollm2_package):
    done = edgeagent("run", smollm2_package, "--paradigm", "single", "--trace", "What is 46 * 83?")
    assert done.returncode == 0, done.stderr
    assert "3818" in done.stdout
    assert "calculator(expression=" in done.stderr
    assert "observation: 3818" in done.stderr


def test_run_gives_outcome_and_spans_as_json(edgeagent, smollm2_package):
    done = edgeagent(
        "run", smollm2_package, "--paradigm", "base", "--json", "What is the capital of France?"
    )
    outcome = json.loads(done.stdout)
    assert "Paris" in outcome["outcome"]["answer"]
    assert {span["kind"] for span in outcome["spans"]} == {"orchestrate", "prefill", "decode"}


def check_that_nothing_is_prefilled_twice(run: Run) -> None:
    prefix = {name: record.prefix_tokens for name, record in run.cold.items()}
    assert prefix["base"] < prefix["single"]
    for task in run.tasks:
        prefills = [span for span in task.spans if span.kind == "prefill"]
        assert all(0 < span.tokens_cached < span.tokens_in for span in prefills)
        decodes = [span for span in task.spans if span.kind == "decode"]
        last_turn: dict[str, tuple[int, int]] = {}
        for prefill, decode in zip(prefills, decodes, strict=True):
            end, not_run = last_turn.get(prefill.agent, (0, 0))
            # Missing in the cache is only what was generated last and never run: the last token
            # that was sampled, and those that a grammar forced behind it.
            assert prefill.tokens_cached >= end - not_run
            end = prefill.tokens_in + decode.tokens_out
            last_turn[prefill.agent] = (end, 1 + decode.tokens_forced)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("profile", "no-such-model"), 2, "no-such-model"),
        (("profile", "missing.gguf"), 2, "missing.gguf"),
        (("profile", "--suite", "no-such-suite"), 2, "no-such-suite"),
        (("profile", "--paradigms", "swarm"), 2, "swarm"),
        (("run", "missing.gguf", "hello"), 2, "missing.gguf"),
        (("run", "smollm2-135m-instruct", " "), 2, "empty"),
        (("run", "smollm2-135m-instruct", "--documents", "nowhere", "hello"), 2, "nowhere"),
        (("export", "missing.gguf"), 2, "missing.gguf"),
        (("report", "no-such-run"), 8, "no-such-run"),
    ],
)
def test_bad_input_is_one_sentence(edgeagent, tmp_path, arguments, code, message):
    done = edgeagent(*arguments)
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert not Path(tmp_path / "runs").exists()
