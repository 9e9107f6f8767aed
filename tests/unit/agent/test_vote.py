"""The vote of samples, and specialists that work together, on the scripted engine."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence

import pytest

from edgeagent.agent.paradigms.multi import Multi
from edgeagent.agent.paradigms.vote import Vote
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import Silent, TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.protocol import object_schema, text_schema
from edgeagent.config.run import Budget
from edgeagent.engine.protocol import SessionGroup
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import ConfigError, ResourceError
from edgeagent.record.outcome import FailureMode, StepKind
from edgeagent.record.spans import SpanKind

QUESTION = "How many crowns do 12 berths cost, 14 crowns each, 12 * 14?"
CONTEXT_LEN = 16384
COLD = 1e-9
"""A temperature at which a sample says what its script says."""
BUDGET = Budget(max_context_len=CONTEXT_LEN, max_new_tokens=400, grounding=False)
FUNCTIONS = (
    {
        "name": "area",
        "description": "Area of a rectangle.",
        "parameters": {
            "type": "object",
            "properties": {"width": {"type": "number"}, "height": {"type": "number"}},
            "required": ["width", "height"],
        },
    },
)


def call(name: str, **arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


class Calling(Calculator):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[object] = []

    def run(self, arguments: Mapping[str, object]) -> str:
        self.calls.append(arguments["expression"])
        return super().run(arguments)


def samples(*scripts: Sequence[str]) -> Callable[[str], str]:
    """The rows take turns, so in each round the samples that go on speak in their order."""
    rounds = itertools.zip_longest(*scripts)
    said = iter([text for turns in rounds for text in turns if text is not None])
    return lambda _conversation: next(said, "")


def make(reply: Callable[[str], str], k: int = 4) -> tuple[Vote, Calling]:
    tool = Calling()
    runtime = Runtime(ScriptedEngine(reply, context_len=CONTEXT_LEN), [tool], BUDGET, "hermes")
    return Vote(runtime, k, temperature=COLD), tool


def test_the_majority_counts_and_equal_calls_are_run_once() -> None:
    right, wrong = call("calculator", expression="12 * 14"), call("calculator", expression="12+14")
    vote, tool = make(
        samples(
            (wrong, "It is 26."),
            (right, "It is 168."),
            (right, "168 crowns"),
            (right, "The price is 168.0 crowns."),
        )
    )
    task = TaskRun(60)
    outcome = vote.run(QUESTION, task)
    assert outcome.answer == "It is 168."
    assert outcome.completed_unaided
    assert tool.calls == ["12+14", "12 * 14"]
    # The steps are those of the sample whose answer was taken, and the vote.
    assert [(step.agent, step.kind) for step in outcome.steps] == [
        ("agent 2", StepKind.CALL),
        ("agent 2", StepKind.OBSERVATION),
        ("agent 2", StepKind.ANSWER),
        ("vote", StepKind.THOUGHT),
        ("vote", StepKind.ANSWER),
    ]
    assert outcome.turns == 8
    decodes = [span for span in task.recorder.trace() if span.kind is SpanKind.DECODE]
    assert [span.agent for span in decodes] == ["vote", "vote"]
    leaves = [span for span in task.recorder.trace() if span.kind is not SpanKind.ORCHESTRATE]
    for before, after in itertools.pairwise(sorted(leaves, key=lambda span: span.t0_ns)):
        assert before.t1_ns <= after.t0_ns


def test_a_tie_goes_to_the_greedy_sample() -> None:
    vote, _ = make(samples(("It is 1.",), ("It is 2.",), ("It is 2.",), ("It is 1.",)))
    outcome = vote.run(QUESTION, TaskRun(60))
    assert outcome.answer == "It is 1."
    assert "2 of 4 answers agree" in [step.text for step in outcome.steps]


def test_a_vote_ends_when_it_is_decided() -> None:
    vote, _ = make(samples(("It is 1.",), ("It is 2.",), ("It is 1.",), ("It is 2.",)))
    task = TaskRun(60)
    assert vote.run(QUESTION, task).answer == "It is 1."
    (decode,) = [span for span in task.recorder.trace() if span.kind is SpanKind.DECODE]
    # The last sample could only bring about a tie, which goes to the first.
    assert decode.tokens_out == 3 * len("It is 1.")


def test_who_is_stuck_abstains() -> None:
    again = call("calculator", expression="1 / 0")
    vote, tool = make(samples((again,) * 9, ("It is 168.",), (again,) * 9, ("It is 168.",)), k=4)
    outcome = vote.run(QUESTION, TaskRun(60))
    assert outcome.answer == "It is 168."
    assert outcome.completed_unaided
    assert set(tool.calls) <= {"1 / 0"}


def test_if_all_are_stuck_there_is_a_fallback_that_tells_what_happened() -> None:
    budget = BUDGET.model_copy(update={"max_turns": 1})
    tool = Calling()
    turn = call("calculator", expression="12 * 14")
    engine = ScriptedEngine(lambda _conversation: turn, context_len=CONTEXT_LEN)
    vote = Vote(Runtime(engine, [tool], budget, "hermes"), temperature=COLD)
    outcome = vote.run(QUESTION, TaskRun(60))
    assert outcome.fell_back
    assert outcome.failure is FailureMode.TURN_LIMIT
    assert outcome.answer == "168"  # the best there was
    assert [step.kind for step in outcome.steps][:2] == [StepKind.CALL, StepKind.OBSERVATION]


def test_functions_are_voted_on_by_their_calls() -> None:
    one = call("area", width=3, height=4)
    other = call("area", width=4, height=5)
    same = call("area", width=4.0, height=5)
    vote, _ = make(samples((one,), (other,), (same,)), k=3)
    outcome = vote.run("A room of 4 by 5?", TaskRun(60, functions=FUNCTIONS))
    made = [step for step in outcome.steps if step.kind is StepKind.CALL]
    assert [dict(step.arguments) for step in made] == [{"width": 4, "height": 5}]
    assert json.loads(outcome.answer) == {"name": "area", "arguments": {"width": 4, "height": 5}}


def test_without_work_for_tools_a_very_small_model_just_answers() -> None:
    budget = BUDGET.model_copy(update={"grounding": True})
    seen: list[str] = []

    def reply(conversation: str) -> str:
        seen.append(conversation)
        return ("Hot.", "Warm.", "hot", "HOT!")[len(seen) - 1]

    engine = ScriptedEngine(reply, context_len=CONTEXT_LEN)
    vote = Vote(Runtime(engine, [Calculator()], budget, "hermes"), temperature=COLD)
    vote.warm_up()
    outcome = vote.run("What is the opposite of cold?", TaskRun(60))
    assert outcome.answer == "Hot."
    assert not any("calculator" in conversation for conversation in seen)


def test_only_the_answer_of_the_vote_is_streamed() -> None:
    class Heard(Silent):
        answers: list[str] = []  # noqa: RUF012

        def on_answer(self, text: str) -> None:
            self.answers.append(text)

    vote, _ = make(samples(("It is 1.",), ("It is 2.",), ("It is 2.",)), k=3)
    vote.run(QUESTION, TaskRun(60, Heard()))
    assert Heard.answers == ["It is 2."]


def test_a_vote_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 samples"):
        make(lambda _conversation: "", k=0)


def test_samples_are_drawn_apart_and_the_first_is_greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Mapping[int, object]] = []
    engine = ScriptedEngine(lambda _conversation: "It is 1.", context_len=CONTEXT_LEN)
    opened = engine.open_group

    class Watched:
        def __init__(self, group: SessionGroup) -> None:
            self._group = group

        def __getattr__(self, name: str) -> object:
            return getattr(self._group, name)

        def decode(self, requests: Mapping[int, object], **options: object) -> object:
            asked.append(requests)
            return self._group.decode(requests, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "open_group", lambda *args: Watched(opened(*args)))
    Vote(Runtime(engine, [Calculator()], BUDGET, "hermes"), k=3).run(QUESTION, TaskRun(60))
    (params,) = asked
    assert [one.temperature for one in params.values()] == [0.0, 0.7, 0.7]  # type: ignore[attr-defined]
    assert len({one.seed for one in list(params.values())[1:]}) == 2  # type: ignore[attr-defined]


# Specialists that are asked in one turn


class Lookup:
    name = "search"
    is_delegate = False
    description = "Looks things up."
    parameters = object_schema(query=text_schema("What", 40))

    def run(self, arguments: Mapping[str, object]) -> str:
        return "A berth costs 14 crowns."


BOTH = "\n".join(call("ask", specialist=name) for name in ("knowledge", "quantitative"))


def team(conversation: str) -> str:
    """A model that asks two at once, who use their tool and report."""
    if "You lead" in conversation:
        return "Together 168." if "168" in conversation else BOTH
    if "You compute" in conversation:
        return (
            "It is 168."
            if "tool]168" in conversation or "168\n" in conversation
            else call("calculator", expression="12 * 14")
        )
    if "costs 14 crowns" in conversation:
        return "It costs 14 crowns."
    return call("search", query="berth")


def multi(reply: Callable[[str], str] = team) -> tuple[Multi, Runtime]:
    engine = ScriptedEngine(reply, context_len=CONTEXT_LEN)
    runtime = Runtime(engine, [Calculator(), Lookup()], BUDGET, "hermes")
    return Multi(runtime), runtime


def test_specialists_that_are_asked_in_one_turn_work_together() -> None:
    paradigm, _ = multi()
    task = TaskRun(60)
    outcome = paradigm.run("What do 12 berths cost, 12 * 14?", task)
    assert outcome.completed_unaided
    assert outcome.answer == "Together 168."
    reports = [
        step.text
        for step in outcome.steps
        if step.kind is StepKind.OBSERVATION and step.agent == "supervisor"
    ]
    assert reports == ["It costs 14 crowns.", "It is 168."]
    decodes = [span.agent for span in task.recorder.trace() if span.kind is SpanKind.DECODE]
    both = "knowledge+quantitative"
    assert decodes == ["supervisor", both, both, "supervisor"]


def test_a_stuck_specialist_among_several_is_a_failed_delegation() -> None:
    def reply(conversation: str) -> str:
        if "You compute" in conversation:
            return call("calculator", expression="1 / 0")
        return team(conversation)

    paradigm, _ = multi(reply)
    outcome = paradigm.run("What do 12 berths cost, 12 * 14?", TaskRun(60))
    assert outcome.failure is FailureMode.DELEGATION_FAILURE
    assert "quantitative" in outcome.error
    assert outcome.answer == "It costs 14 crowns."


def test_without_the_memory_for_rows_specialists_work_one_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paradigm, runtime = multi()

    def refuse(*_args: object) -> SessionGroup:
        raise ResourceError("not enough memory")

    monkeypatch.setattr(runtime.engine, "open_group", refuse)
    task = TaskRun(60)
    outcome = paradigm.run("What do 12 berths cost, 12 * 14?", task)
    assert outcome.answer == "Together 168."
    decodes = {span.agent for span in task.recorder.trace() if span.kind is SpanKind.DECODE}
    assert decodes == {"supervisor", "knowledge", "quantitative"}
