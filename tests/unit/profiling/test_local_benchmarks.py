"""Adapters for local copies of benchmarks. The rows are made up in the published shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeagent.config.suite import TaskSpec
from edgeagent.errors import ConfigError
from edgeagent.profiling.checks import score
from edgeagent.profiling.suites import open_suite
from edgeagent.record.outcome import Outcome

PENCILS = {
    "question": "A shop sold 48 boxes in April and half as many in May. How many in all?",
    "answer": "In May it sold 48/2 = <<48/2=24>>24 boxes.\n48 + 24 = <<48+24=72>>72\n#### 72",
}
REPORT = {
    "id": "made/up.pdf-1",
    "pre_text": ["the company grew .", "."],
    "post_text": ["all figures are in millions ."],
    "table": [["", "2019", "2018"], ["revenue", "$ 246.8", 200]],
    "qa": {"question": "by how much did revenue grow?", "answer": "23.4%", "exe_ans": 0.234},
}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def says(task: TaskSpec, answer: str) -> bool:
    return score(task, Outcome(answer=answer))


def gsm8k(tmp_path: Path, **changes: object) -> TaskSpec:
    path = write(tmp_path / "test.jsonl", json.dumps(PENCILS | changes))
    return open_suite(f"gsm8k:{path}").spec.task[0]


def finqa(tmp_path: Path, **qa: object) -> TaskSpec:
    path = write(tmp_path / "dev.json", [REPORT | {"qa": REPORT["qa"] | qa}])
    return open_suite(f"finqa:{path}").spec.task[0]


def test_word_problems(tmp_path: Path) -> None:
    task = gsm8k(tmp_path)
    assert (task.id, task.category, task.prompt()) == (
        "gsm8k-1",
        "word_problem",
        PENCILS["question"],
    )
    assert says(task, "It sold 48 + 24 = 72 boxes.")
    assert not says(task, "24")
    assert not says(task, "72.05")


@pytest.mark.parametrize(
    ("written", "value"), [("#### 1,234,567", 1234567), ("#### -3.5", -3.5), ("####$18", 18)]
)
def test_results_of_word_problems(tmp_path: Path, written: str, value: float) -> None:
    assert gsm8k(tmp_path, answer=written).check.value == value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"answer": "72"},
            r"test\.jsonl, line 1 has no answer that ends in a line such as #### 42",
        ),
        ({"answer": "#### many"}, "line 1 has no answer"),
        ({"answer": 72}, "line 1 has no answer"),
        ({"question": ""}, "line 1 has no text as question"),
        ({"question": ["a"]}, "line 1 has no text as question"),
        ({"question": "a" * 30_000}, "line 1: question"),
        ({"answer": "#### " + "9" * 400}, "line 1: check"),
    ],
)
def test_odd_word_problems(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gsm8k(tmp_path, **changes)


def test_some_of_the_problems(tmp_path: Path) -> None:
    path = write(tmp_path / "a@b.jsonl", "\n".join([json.dumps(PENCILS)] * 20))
    assert len(open_suite(f"gsm8k:{path}").spec.task) == 20
    few = open_suite(f"gsm8k:{path}@4")
    assert len(few.spec.task) == 4
    assert few.sha256 == open_suite(f"gsm8k:{path}@4").sha256
    numbered = write(tmp_path / "test@3", json.dumps(PENCILS))  # a name, not a count
    assert len(open_suite(f"gsm8k:{numbered}").spec.task) == 1


@pytest.mark.parametrize("asked", ["gsm8k:", "finqa:@3", "gsm8k:nothing.jsonl", "gsm8k:a\0b"])
def test_files_that_are_not_there(asked: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Name the local file|cannot be read"):
        open_suite(asked)
    with pytest.raises(ConfigError, match="holds no question"):
        open_suite(f"gsm8k:{write(tmp_path / 'empty.jsonl', '')}")


def test_reports(tmp_path: Path) -> None:
    task = finqa(tmp_path)
    assert task.context == (
        "the company grew .\n\n|  | 2019 | 2018 |\n| revenue | $ 246.8 | 200 |\n\n"
        "all figures are in millions ."
    )
    assert task.prompt().endswith("\n\nby how much did revenue grow?")
    for answer in ("23.4%", "about 23 .5 percent: 23.5", "0.234", "It grew by 23.39%."):
        assert says(task, answer), answer
    for answer in ("2.34", "-23.4%", "46.8", ""):
        assert not says(task, answer), answer


def test_answers_of_reports(tmp_path: Path) -> None:
    assert says(finqa(tmp_path, exe_ans="yes", answer=""), "Yes, it did.")
    assert not says(finqa(tmp_path, exe_ans="yes", answer=""), "No.")
    assert says(finqa(tmp_path, exe_ans=46.8, answer="46.8"), "46.8 million")
    bare = {key: value for key, value in REPORT["qa"].items() if key != "exe_ans"}
    path = write(tmp_path / "dev.jsonl", json.dumps(REPORT | {"qa": bare}))
    (task,) = open_suite(f"finqa:{path}").spec.task
    assert (task.check.value, task.check.or_values) == (pytest.approx(0.234), (23.4,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qa": None}, "entry 1 has no qa with a question"),
        ({"qa": {"question": 3}}, "entry 1 has no qa with a question"),
        ({"qa": {"question": "?"}}, "neither a number nor yes or no"),
        ({"qa": {"question": "?", "exe_ans": True}}, "neither a number nor yes or no"),
        ({"qa": {"question": "?", "exe_ans": "much"}}, "neither a number nor yes or no"),
        ({"qa": {"question": "?", "exe_ans": 10**400}}, "no finite number"),
        ({"table": "a"}, "entry 1: table is not a list of rows"),
        ({"table": [1]}, "entry 1: table has a row"),
        ({"table": [[None]]}, "entry 1: table has a row"),
        ({"pre_text": 3}, "entry 1: pre_text"),
        ({"post_text": [3]}, "entry 1: post_text"),
        ({"post_text": ["a" * 300_000]}, "entry 1: context"),
    ],
)
def test_odd_reports(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = write(tmp_path / "dev.json", [REPORT | changes])
    with pytest.raises(ConfigError, match=rf"dev\.json, {message}|{message}"):
        open_suite(f"finqa:{path}")


@pytest.mark.parametrize(("content", "message"), [({}, "not an array"), ([1], "entry 1 is not an")])
def test_files_that_hold_no_reports(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_suite(f"finqa:{write(tmp_path / 'dev.json', content)}")
    with pytest.raises(ConfigError, match="not valid JSON"):
        open_suite(f"finqa:{write(tmp_path / 'dev.json', '[')}")


def test_what_has_no_adapter_is_a_name_or_a_path(tmp_path: Path) -> None:
    assert open_suite("core").spec.name == "core"
    path = write(tmp_path / "mine.jsonl", json.dumps({"question": "?", "answer": 1}))
    assert open_suite(path).spec.name == open_suite(str(path)).spec.name == "mine"
    with pytest.raises(ConfigError, match="There is no suite 'gsm9k:x'"):
        open_suite("gsm9k:x")
