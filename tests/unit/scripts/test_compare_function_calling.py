"""The comparison of ways to call functions, with a scripted model and real questions."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import compare_function_calling as script
import pytest
from compare_function_calling import ARMS, Answer, Asker, compare, fits, main, read_answers

from edgeagent.config.run import Budget
from edgeagent.config.suite import FunctionSpec, TaskSpec
from edgeagent.engine.scripted import ScriptedEngine, replies
from edgeagent.errors import RunDataError
from edgeagent.profiling.suites import open_suite
from edgeagent.record.outcome import FailureMode, Step, StepKind

SETTING = {"package_sha256": "0"}
TRIANGLE = '{"name": "calculate_triangle_area", "arguments": {"base": 10, "height": 5}}'
"""The right call for simple_python_0."""


@cache
def triangle() -> TaskSpec:
    return open_suite("bfcl:simple_python").spec.task[0]


def ask(arm: str, *texts: str) -> Answer:
    task = triangle()
    engine = ScriptedEngine(replies(*texts))
    asker = Asker(engine, "hermes", Budget(grounding=True), ARMS[arm])
    try:
        return asker.ask(task, SETTING)
    finally:
        asker.close()
        engine.close()


def answer(arm: str, task_id: str, solved: bool, category: str = "simple_python") -> Answer:
    return Answer(
        setting=SETTING,
        arm=arm,
        task_id=task_id,
        category=category,
        text="",
        solved=solved,
        failure=None,
        malformed=False,
        calls=1,
        unfit=0,
        tokens_in=10,
        cached=0,
        out=3,
        forced=1,
        seconds=0.5,
    )


def test_a_right_call_in_each_arm() -> None:
    for arm in ("native+grammar", "native"):
        found = ask(arm, f"<tool_call>\n{TRIANGLE}\n</tool_call>")
        assert (found.solved, found.calls, found.unfit, found.malformed) == (True, 1, 0, False)
        assert found.tokens_in > 100
        assert (found.forced > 0) is (arm == "native+grammar")
    for text in (f"[{TRIANGLE}]", f"```json\n[{TRIANGLE}]\n```", TRIANGLE):
        assert ask("plain", text).solved


def test_calls_that_cannot_be_read_are_counted() -> None:
    broken = ask("plain", TRIANGLE[:-3])
    assert (broken.failure, broken.malformed) == (FailureMode.PROTOCOL_VIOLATION, True)
    assert not broken.solved
    # The grammar turns the same beginning into a call that is whole.
    held = ask("native+grammar", f"<tool_call>\n{TRIANGLE[:-3]}")
    assert (held.failure, held.malformed, held.calls, held.unfit) == (None, False, 1, 0)
    declined = ask("plain", "[]")
    assert (declined.calls, declined.malformed) == (0, False)
    unknown = ask("plain", '[{"name": "area", "arguments": {"base": 10}}]')
    assert (unknown.calls, unknown.unfit, unknown.malformed) == (1, 1, False)


def test_calls_that_fit() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    functions = (FunctionSpec(name="f", parameters=schema),)

    def call(name: str, **arguments: object) -> Step:
        return Step(agent="caller", kind=StepKind.CALL, tool=name, arguments=arguments)

    assert fits(call("f", a=1), functions)
    assert fits(call("f", a=1, b=2), functions)
    assert not fits(call("f", b=2), functions)
    assert not fits(call("f", a=1, c=3), functions)
    assert not fits(call("g", a=1), functions)


def test_arms_are_compared_in_pairs() -> None:
    answers = [answer("native+grammar", f"t{index}", True) for index in range(20)]
    answers += [answer("plain", f"t{index}", index < 8) for index in range(20)]
    answers += [answer("plain", "alone", True), answer("plain", "other", True, "irrelevance")]
    found = compare(answers, ("native+grammar", "plain"), "simple_python")
    assert found is not None
    assert (found.solved, found.questions) == ((20, 8), 20)
    assert found.difference.mean == pytest.approx(0.6)
    assert found.difference.interval.low > 0
    assert compare(answers, ("native+grammar", "plain"), "irrelevance") is None


def test_answers_of_another_model_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    assert read_answers(path, SETTING) == []
    line = answer("plain", "t", True).model_dump_json()
    path.write_text(f"{line}\n{line[:20]}", encoding="utf-8")
    assert len(read_answers(path, SETTING)) == 1
    assert path.read_text(encoding="utf-8") == f"{line}\n"
    with pytest.raises(RunDataError, match="package_sha256 differ"):
        read_answers(path, {"package_sha256": "1"})


def test_a_run_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = SimpleNamespace(model_id="scripted", tool_call_format="hermes", parameters=1)
    package = SimpleNamespace(manifest=manifest, sha256="0", folder=tmp_path)
    asked: list[str] = []

    def reply(conversation: str) -> str:
        asked.append(conversation)
        return "No function serves."

    monkeypatch.setattr(script, "ensure_package", lambda _model: package)
    monkeypatch.setattr(script, "engine_config_for", lambda _package: SimpleNamespace(config=None))
    monkeypatch.setattr(script, "load_engine", lambda _folder, _config: ScriptedEngine(reply))
    out = tmp_path / "calls.jsonl"
    command = ["model", "--out", str(out)]
    assert main([*command, "--limit", "2"]) == 0
    assert len(asked) == 8
    shown = capsys.readouterr().out
    assert "0/2 (0\N{EN DASH}66 %)" in shown
    assert "2/2 (34\N{EN DASH}100 %)" in shown
    assert "not distinguishable" in shown
    assert main([*command, "--limit", "3", "--json"]) == 0
    assert len(asked) == 12  # one more question of each category in each arm
    found = json.loads(capsys.readouterr().out)
    assert [(one["category"], one["questions"], one["solved"]) for one in found] == [
        ("simple_python", 3, [0, 0]),
        ("irrelevance", 3, [3, 3]),
    ]
    package.sha256 = "1"
    assert main(command) == RunDataError.exit_code
    assert "package_sha256 differ" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--arms", "best"], ["--arms", "plain,plain"], ["--limit", "0"]]
)
def test_bad_arguments(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["model", "--out", "x", *arguments])


def test_a_category_that_is_unknown_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["model", "--out", str(tmp_path / "x"), "--categories", "simple"]
    assert main(command) == 2
    assert "did you mean" in capsys.readouterr().err
