from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import compare_smolagents as script
import pytest


def result(side: str, seconds: float, tokens: int, *, solved: bool) -> script.Result:
    return script.Result(
        side=side,
        task_id="t",
        solved=solved,
        seconds=seconds,
        prompt_tokens=tokens,
        generated_tokens=10,
        turns=2,
        answer="5",
        error="",
    )


def test_sides_are_means_per_task_and_the_table_has_ratios() -> None:
    results = [
        result("edgeagent", 1.0, 900, solved=True),
        result("edgeagent", 3.0, 1100, solved=True),
        result("smolagents", 30.0, 10000, solved=False),
        result("smolagents", 50.0, 14000, solved=True),
    ]
    sides = {name: script.summarize(results, name) for name in script.SIDES}
    assert dataclasses.astuple(sides["edgeagent"])[:4] == (2, 2, 2.0, 1000)
    text = script.table(sides)
    assert "| solved | 2/2 | 1/2 |  |" in text
    assert "| seconds per task | 2.00 | 40.00 | 20.0 |" in text
    assert "| prompt tokens per task | 1,000 | 12,000 | 12.0 |" in text


def test_sides_take_turns() -> None:
    assert [script.order_of(index)[0] for index in range(4)] == [
        *("edgeagent", "smolagents", "edgeagent", "smolagents")
    ]


def test_a_worker_that_ends_is_an_error_in_words(tmp_path: Path) -> None:
    with (
        pytest.raises(script.ComparisonError, match="smolagents process ended"),
        script.started("smolagents", Path(sys.executable), tmp_path / "no.gguf", 1),
    ):
        pass


def test_files_have_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "x")
    with pytest.raises(SystemExit):
        script.main(["--gguf", missing, "--package", missing, "--other-python", missing])
    assert "does not exist" in capsys.readouterr().err
