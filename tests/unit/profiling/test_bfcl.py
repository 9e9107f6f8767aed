"""The Berkeley function-calling leaderboard: its questions as tasks, and its own verdicts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from edgeagent.agent.formats import tool_format
from edgeagent.agent.formats.notation import JSON
from edgeagent.agent.formats.protocol import TurnRules
from edgeagent.agent.functions import Function
from edgeagent.config.suite import TaskSpec
from edgeagent.config.suites import Suite
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import ConfigError
from edgeagent.profiling import bfcl_wheel
from edgeagent.profiling.bfcl_wheel import check_calls, wheel_folder, wheel_version
from edgeagent.profiling.checks import score
from edgeagent.profiling.suites import open_suite
from edgeagent.profiling.suites.bfcl import CATEGORIES
from edgeagent.profiling.suites.bfcl_schema import function_spec
from edgeagent.record.outcome import Outcome, Step, StepKind

FUNCTION = {
    "name": "geo.trip",
    "description": "Plan a trip.",
    "parameters": {
        "type": "dict",
        "properties": {
            "city": {"type": "string", "description": "Where to."},
            "days": {"type": "integer", "description": "How long."},
            "budget": {"type": "float", "description": "Crowns.", "optional": True},
            "stops": {"type": "tuple", "items": {"type": "string"}, "description": "Between."},
            "who": {
                "type": "dict",
                "properties": {"name": {"type": "any", "description": "Name."}},
                "required": ["name", "nothing"],
                "description": "Traveller.",
            },
            "mode": {"type": "string", "enum": ["bus", "rail"], "description": "How."},
            "tags": {"type": "array", "items": {"type": "string"}, "enum": ["sea", "sun"]},
            "quiet": {"type": "boolean", "enum": ["True", "False"], "description": ""},
        },
        "required": ["city", "days"],
    },
}
TRUTH = {"geo.trip": {"city": ["Paris", "Paris, France"], "days": [3], "budget": [2.0, ""]}}


def verdict(*calls: Mapping[str, object], category: str = "simple_python") -> bool:
    made = [{"geo_trip": call} for call in calls]
    return check_calls(category, [FUNCTION], made, [TRUTH] * (2 if "parallel" in category else 1))


def outcome(*calls: tuple[str, dict[str, object]]) -> Outcome:
    steps = tuple(
        Step(agent="agent", kind=StepKind.CALL, tool=name, arguments=arguments)
        for name, arguments in calls
    )
    return Outcome(answer="said", steps=steps)


def right_calls(task: TaskSpec) -> list[tuple[str, dict[str, object]]]:
    """The first possible answer of a task, as a model without dots would write it."""
    calls = []
    for truth in task.check.ground_truth:
        ((name, arguments),) = truth.items()
        name = name.replace(".", "_")
        (function,) = (found for found in task.functions if found.name == name)
        calls.append((name, first_values(arguments, function.parameters.get("required", ()))))
    return calls


def first_values(arguments: Mapping[str, object], required: Collection[str]) -> dict[str, object]:
    """One accepted value of each argument that cannot be left out."""
    return {
        name: plain(next((value for value in values if value != ""), ""))
        for name, values in arguments.items()
        if isinstance(values, list) and (name in required or "" not in values)
    }


def plain(value: object) -> object:
    if isinstance(value, dict):
        return first_values(value, ())
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def whole() -> Suite:
    return open_suite(f"bfcl:{','.join(CATEGORIES)}")


def test_the_wheel_is_there() -> None:
    assert (wheel_folder() / "data").is_dir(), "python scripts/check.py installs it"
    assert wheel_version() == "2026.3.23"


def test_every_category_is_read_whole(whole: Suite) -> None:
    counts: dict[str, int] = {}
    for task in whole.spec.task:
        counts[task.category] = counts.get(task.category, 0) + 1
        assert task.functions or task.category == "live_irrelevance"
    assert counts == {
        "simple_python": 400,
        "multiple": 200,
        "parallel": 200,
        "parallel_multiple": 200,
        "irrelevance": 240,
        "live_simple": 258,
        "live_multiple": 1053,
        "live_parallel": 16,
        "live_parallel_multiple": 24,
        "live_irrelevance": 884,
        "live_relevance": 16,
        "simple_java": 100,
        "simple_javascript": 50,
    }
    assert whole.spec.version == 20260323


def test_right_answers_are_right_and_none_is_wrong(whole: Suite) -> None:
    rejected = []
    scored = [
        task for task in whole.spec.task if task.check.ground_truth and "java" not in task.category
    ][::3]
    for task in scored:
        calls = right_calls(task)
        if not score(task, outcome(*calls)):
            rejected.append(task.id)
        assert not score(task, outcome()), task.id
        assert not score(task, outcome(*calls, calls[0])), task.id
        assert not score(task, outcome(*calls[1:], ("nothing", calls[0][1]))), task.id
    assert len(scored) == 784
    assert rejected == []
    # The benchmark has possible answers that contradict the descriptions of their own functions.
    (odd,) = (task for task in whole.spec.task if task.id == "live_multiple_862-181-3")
    assert not score(odd, outcome(*right_calls(odd)))


@pytest.mark.parametrize(
    ("call", "right"),
    [
        ({"city": "Paris", "days": 3}, True),
        ({"city": "paris france", "days": 3}, True),  # the benchmark's own leniency
        ({"city": "Paris", "days": 3, "budget": 2}, True),
        ({"city": "Paris", "days": 3, "budget": 2.0}, True),
        ({"city": "Paris", "days": 3, "budget": "2.0"}, False),
        ({"city": "Paris", "days": "3"}, False),
        ({"city": "Paris", "days": 3.0}, False),
        ({"city": "Paris", "days": True}, False),
        ({"city": "Paris"}, False),
        ({"city": "Rome", "days": 3}, False),
        ({"city": "Paris", "days": 3, "mode": "bus"}, False),
        ({"city": ["Paris"], "days": 3}, False),
        ({"city": None, "days": {}}, False),
        ({"city": "Paris", "days": 3, "budget": 10**400}, False),
        ({}, False),
    ],
)
def test_verdicts_on_arguments(call: dict[str, object], right: bool) -> None:
    assert verdict(call) is right


def test_parallel_calls_come_in_any_order() -> None:
    functions = [FUNCTION, {**FUNCTION, "name": "geo.stay"}]
    truth = [TRUTH, {"geo.stay": {"city": ["Rome"], "days": [1]}}]
    trip = {"geo_trip": {"city": "Paris", "days": 3}}
    stay = {"geo_stay": {"city": "Rome", "days": 1}}

    def both(*calls: dict[str, object]) -> bool:
        return check_calls("parallel_multiple", functions, calls, truth)

    assert both(trip, stay)
    assert both(stay, trip)
    assert not both(trip, trip)
    assert not both(trip)
    assert not both(trip, stay, stay)


def test_relevance_counts_calls_alone(whole: Suite) -> None:
    by_category = {task.category: task for task in whole.spec.task}
    call = ("anything", {"at": "all"})
    for category in ("irrelevance", "live_irrelevance"):
        assert score(by_category[category], outcome())
        assert not score(by_category[category], outcome(call))
    assert not score(by_category["live_relevance"], outcome())
    assert score(by_category["live_relevance"], outcome(call))


def test_arguments_of_other_languages_are_source_text(whole: Suite) -> None:
    by_id = {task.id: task for task in whole.spec.task}
    java = by_id["simple_java_6"]
    flags = {"refreshMetadata": "true", "append": "true", "keepState": "true"}
    assert score(java, outcome(("SpreadsheetPresentation_refreshData", flags)))
    assert not score(java, outcome(("SpreadsheetPresentation_refreshData", {"append": True})))
    script = by_id["simple_javascript_3"]
    form = {"action": '"submit"', "formId": '"loginForm"', "coordinates": "[60, 30]"}
    assert score(script, outcome(("submitAtCoordinate", form)))
    t0_s = time.monotonic()
    for hostile in ("[" + ",".join(["[1]"] * 60) + ",[", "new HashMap<>() { " + " " * 5000):
        assert not score(script, outcome(("submitAtCoordinate", form | {"coordinates": hostile})))
        assert not score(java, outcome(("SpreadsheetPresentation_refreshData", {"a": hostile})))
    assert time.monotonic() - t0_s < 2


def test_schemas_are_proper(whole: Suite) -> None:
    def kinds(schema: object) -> set[str]:
        if not isinstance(schema, dict):
            return set()
        found = {schema["type"]} if isinstance(schema.get("type"), str) else set()
        for value in (*schema.get("properties", {}).values(), schema.get("items")):
            found |= kinds(value)
        return found

    every = set()
    for task in whole.spec.task:
        for function in task.functions:
            every |= kinds(function.parameters)
    assert every == {"object", "array", "string", "integer", "number", "boolean"}


def test_a_schema() -> None:
    found = function_spec(FUNCTION, "simple_python")
    assert found["name"] == "geo_trip"
    properties = found["parameters"]["properties"]
    assert found["parameters"]["additionalProperties"] is False
    assert properties["budget"] == {"type": "number", "description": "Crowns."}
    assert properties["stops"]["items"] == {"type": "string"}
    assert properties["who"]["required"] == ["name"]
    assert properties["who"]["properties"]["name"]["type"] == "string"
    assert properties["mode"]["enum"] == ["bus", "rail"]
    assert properties["tags"] == {
        "type": "array",
        "items": {"type": "string", "enum": ["sea", "sun"]},
    }
    assert properties["quiet"] == {"type": "boolean"}  # no boolean is a text


def test_a_grammar_can_hold_every_kind_of_question(whole: Suite) -> None:
    engine = ScriptedEngine(lambda _: "")
    for task in whole.spec.task[::25]:
        functions = tuple(map(Function, task.function_descriptions()))
        rules = TurnRules(functions, may_answer=True, max_calls=8)
        matcher = engine.matcher(tool_format("hermes").grammar(rules))
        if task.category == "simple_python":
            ((name, arguments),) = right_calls(task)
            text = JSON.write({"name": name, "arguments": arguments})
            matcher.consume(list(text.encode()))  # raises where the grammar does not allow it


def test_a_draw_is_the_same_every_time_and_grows() -> None:
    few, more = (open_suite(f"bfcl:simple_python@{count},irrelevance@2") for count in (3, 9))
    assert few.sha256 == open_suite("bfcl:simple_python@3,irrelevance@2").sha256 != more.sha256
    ids = [{task.id for task in suite.spec.task} for suite in (few, more)]
    assert (len(ids[0]), len(ids[1])) == (5, 11)
    assert ids[0] < ids[1]
    everything = open_suite("bfcl:live_parallel@999")
    assert len(everything.spec.task) == 16


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("bfcl:simple_pyton", "did you mean simple_python"),
        ("bfcl:multi_turn_base", "no category 'multi_turn_base' that can be run here"),
        ("bfcl:", "no category ''"),
        ("bfcl:multiple,multiple@3", "named twice"),
        ("bfcl:multiple@0", "draws no question"),
    ],
)
def test_what_cannot_be_opened(asked: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_suite(asked)


def test_without_the_wheel_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfcl_wheel, "PACKAGE", "bfcl_eval_that_is_not_there")
    with pytest.raises(ConfigError, match="pip install --no-deps bfcl-eval"):
        open_suite("bfcl:simple_python")


def _copy_of_the_checker(folder: Path) -> Path:
    source = wheel_folder()
    for name in ("eval_checker/ast_eval", "constants"):
        shutil.copytree(source / name, folder / name)
    return folder / "eval_checker" / "ast_eval" / "ast_checker.py"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import socket", "it wants socket"),
        ("from bfcl_eval.model_handler.utils import x", "it wants bfcl_eval.model_handler.utils"),
        ("from . import x", "it wants a neighbour"),
        ("def broken(", "ast_checker.py cannot be read"),
        ("del ast_checker", "it lacks ast_checker"),
    ],
)
def test_a_checker_of_another_version_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    checker = _copy_of_the_checker(tmp_path)
    checker.write_text(checker.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=reason):
        bfcl_wheel._load_checker(tmp_path)


def test_damaged_questions_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    (data / "possible_answer").mkdir(parents=True)
    questions = data / "BFCL_v4_multiple.json"
    monkeypatch.setattr("edgeagent.profiling.suites.bfcl.wheel_folder", lambda: tmp_path)
    with pytest.raises(ConfigError, match="has no questions of multiple"):
        open_suite("bfcl:multiple")
    row = {
        "id": "multiple_0",
        "question": [[{"role": "user", "content": "Go."}]],
        "function": [FUNCTION],
    }
    answer = {"id": "multiple_0", "ground_truth": [TRUTH]}
    answers = data / "possible_answer" / questions.name
    for changes, message in [
        ({}, None),
        ({"question": []}, "line 1 is not a question of bfcl"),
        ({"question": [[{"role": "assistant", "content": "Go."}]]}, "last message"),
        ({"function": [{"name": "f"}]}, "line 1 is not a question of bfcl"),
        ({"id": "multiple_1"}, "line 1 is not a question of bfcl"),
        ({"id": "../x"}, "line 1"),
    ]:
        questions.write_text(json.dumps(row | changes), encoding="utf-8")
        answers.write_text(json.dumps(answer), encoding="utf-8")
        if message is None:
            assert len(open_suite("bfcl:multiple").spec.task) == 1
        else:
            with pytest.raises(ConfigError, match=message):
                open_suite("bfcl:multiple")
    answers.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1 is not a possible answer"):
        open_suite("bfcl:multiple")


def test_nothing_of_the_wheel_is_imported_or_written(tmp_path: Path) -> None:
    code = (
        "import sys, socket\n"
        "def refuse(*_): raise OSError('no network here')\n"
        "socket.socket.connect = refuse\n"
        "from edgeagent.profiling.suites import open_suite\n"
        "from edgeagent.profiling.bfcl_wheel import check_calls\n"
        "task = open_suite('bfcl:simple_python@1').spec.task[0]\n"
        "before = set(sys.modules)\n"
        "check_calls('simple_python', task.check.functions, [], task.check.ground_truth)\n"
        "print(sorted(set(sys.modules) - before), [n for n in sys.modules if 'bfcl_eval' in n])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] []"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
