"""Tasks in files of lines, and the keys that tasks may have."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from edgeagent.config.json_lines import MAX_LINE_BYTES, read_json, read_json_lines
from edgeagent.config.pattern import check_pattern, found_in
from edgeagent.config.spec import parse_spec
from edgeagent.config.suite import TaskSpec
from edgeagent.config.suites import load_suite
from edgeagent.errors import ConfigError

SUITE = """
name = "lamps"
version = 2
description = "Lamps."
tasks = "tasks.jsonl"
"""
LAMP = {
    "name": "set_light",
    "description": "Switch a light.",
    "parameters": {
        "type": "object",
        "properties": {"room": {"type": "string"}, "on": {"type": "boolean"}},
        "required": ["room"],
    },
}


def lines(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def task(**keys: object) -> TaskSpec:
    whole = {"id": "t", "category": "c", "question": "?", "answer": 1} | keys
    if "check" in keys:
        del whole["answer"]
    return parse_spec(whole, TaskSpec, where="test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    lines(
        tmp_path / "tasks.jsonl",
        {"question": "What is 2 + 3?", "answer": 5},
        {"id": "colour", "category": "sight", "question": "Colour?", "answer": ["blue", "navy"]},
    )
    return tmp_path


def test_a_suite_names_its_file_of_tasks(folder: Path) -> None:
    suite = load_suite(folder)
    assert [(task.id, task.category) for task in suite.spec.task] == [
        ("line-1", "general"),
        ("colour", "sight"),
    ]
    assert set(suite.files) == {"suite.toml", "tasks.jsonl"}
    digest = suite.sha256
    lines(folder / "tasks.jsonl", {"question": "What is 2 + 3?", "answer": 6})
    assert load_suite(folder).sha256 != digest


def test_tasks_of_the_suite_file_come_first(folder: Path) -> None:
    text = (folder / "suite.toml").read_text(encoding="utf-8")
    text += '[[task]]\nid = "first"\ncategory = "c"\nquestion = "?"\nanswer = true\n'
    (folder / "suite.toml").write_text(text, encoding="utf-8")
    assert [task.id for task in load_suite(folder).spec.task] == ["first", "line-1", "colour"]
    (folder / "suite.toml").write_text(text.replace('"first"', '"colour"'), encoding="utf-8")
    with pytest.raises(ConfigError, match="task ids appear twice: colour"):
        load_suite(folder)


def test_a_lone_file_is_a_suite_wherever_it_lies(folder: Path) -> None:
    lone = (folder / "tasks.jsonl").rename(folder / "My Lamps.jsonl")
    suite = load_suite(lone)
    assert (suite.spec.name, len(suite.spec.task), suite.documents_dir) == ("my-lamps", 2, None)
    assert load_suite(lone.rename(folder / "other.jsonl")).sha256 == suite.sha256


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"question": "a", "answer": 1}\n{"question": "b"}\n',
            r"line 2: check: this key is miss",
        ),
        (b'\n\n{"question": 3, "answer": 1}', r"line 3: question"),
        (b"[1]", r"line 1 is not a JSON object"),
        (b'{"question": "a", "answer": NaN}', "line 1 is not valid JSON: NaN"),
        (b'{"question": "\xff"}', "line 1 is not valid JSON"),
        (b"[" * 100_000, "line 1 is not valid JSON: it is nested too deeply"),
        (b'{"answer": ' + b"1" * 5000 + b"}", "line 1 is not valid JSON"),
        (b" " * (MAX_LINE_BYTES + 1), "line 1 is longer than"),
        (b"\n", "holds no task"),
        (b'{"question": "a", "answer": 1, "check": {}}', "line 1: .*either an answer or a check"),
        (b'{"question": "a", "answer": {}}', "line 1: .*an answer is a number"),
        (b'{"question": "a", "answer": 1, "hint": ""}', "line 1: hint: there is no such key"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[:20],
)
def test_a_wrong_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"tasks\.jsonl.*{message}"):
        load_suite(path)


@pytest.mark.parametrize(
    "name", ["../tasks.jsonl", "tasks.txt", "a\0.jsonl", "deep/../tasks.jsonl"]
)
def test_a_file_of_tasks_lies_in_the_folder(folder: Path, name: str) -> None:
    text = (folder / "suite.toml").read_text(encoding="utf-8")
    changed = text.replace('"tasks.jsonl"', json.dumps(name))
    (folder / "suite.toml").write_text(changed, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"is not a \.jsonl file inside"):
        load_suite(folder)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        list(read_json_lines(tmp_path / "nothing.jsonl"))
    with pytest.raises(ConfigError, match="not a file"):
        read_json(tmp_path)


def test_context_and_earlier_messages_stand_before_the_question() -> None:
    asked = task(
        question="Who?",
        context="Ann came.",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi"},
        ],
    )
    assert asked.prompt() == "Be brief.\n\nUser: Hello\n\nAssistant: Hi\n\nAnn came.\n\nWho?"
    assert task(question="Who?").prompt() == "Who?"


def test_functions_are_described_as_models_expect_them() -> None:
    wrapped = task(functions=[{"type": "function", "function": LAMP}])
    assert wrapped.function_descriptions() == (LAMP,)
    assert task(functions=[LAMP]).function_descriptions() == (LAMP,)
    (bare,) = task(functions=[{"name": "stop"}]).function_descriptions()
    assert bare["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "set.light"},
        {"parameters": {"type": "string"}},
        {"parameters": {"type": "object", "properties": []}},
        {"parameters": {"type": "object", "properties": {"a": 1}}},
        {"parameters": {"type": "object", "properties": {}, "required": ["a"]}},
    ],
)
def test_a_function_that_is_none(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="functions"):
        task(functions=[LAMP | changes])


def test_functions_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="functions appear twice: set_light"):
        task(functions=[LAMP, LAMP])


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"kind": "choice", "labels": ["a", "b"], "value": "c"}, "'c' is none of the labels"),
        ({"kind": "choice", "labels": ["a", "a"], "value": "a"}, "named twice"),
        ({"kind": "choice", "labels": ["+", "-"], "value": "+"}, "letter or digit"),
        ({"kind": "regex", "pattern": "(a"}, "unclosed group"),
        ({"kind": "regex", "pattern": r"\bword"}, "looking around"),
        ({"kind": "regex", "pattern": r"(a)\1"}, "backreferences"),
        ({"kind": "calls", "calls": [{"name": "f", "optional": ["x"]}]}, "none of the arguments"),
        ({"kind": "calls", "calls": [{"name": "f", "arguments": 3}]}, "arguments"),
        ({"kind": "json"}, "value"),
    ],
)
def test_a_check_that_is_none(check: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task(check=check)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("[0-9]{3}-[0-9]{4}", "Call 555-1234 now", True),
        ("^[0-9]+$", "12", True),
        ("^[0-9]+$", "12 of them", False),
        (r"costs 5\$", "it costs 5$", True),
        ("a/b", "see a/b", True),
        ("x|y", "only y here", True),
        (r"^a\$$", "a$", True),
        (r"^a\\$", "a\\", True),
        ("über", "Über", False),
        ("", "", False),
    ],
)
def test_patterns(pattern: str, text: str, found: bool) -> None:
    if not pattern:
        with pytest.raises(ConfigError):
            task(check={"kind": "regex", "pattern": pattern})
        return
    check_pattern(pattern)
    assert found_in(pattern, text) is found
    assert found_in(pattern, text.upper(), ignore_case=True) is (found or pattern == "über")


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a|b)*a(a|b){20}b", "(a{1,99}){1,99}b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    check_pattern(pattern)
    t0_s = time.monotonic()
    found_in(pattern, "a" * 5000)  # with backtracking, years
    assert time.monotonic() - t0_s < 2
