"""Dialogues that decode together, on the scripted engine: rounds, spans, limits."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from edgeagent.agent.groups import Rows
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop, Limits
from edgeagent.agent.task import TaskRun
from edgeagent.agent.together import Manner, Result, run_together
from edgeagent.agent.tools.protocol import object_schema
from edgeagent.agent.tools.shared import SharedTool
from edgeagent.agent.turns import Dialogue, TurnRequest
from edgeagent.config.run import Budget
from edgeagent.engine.protocol import DecodeParams
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import EngineError, ToolError
from edgeagent.record.outcome import FailureMode
from edgeagent.record.spans import Span, SpanKind

NAMES = ("one", "two", "three")


def said_last(conversation: str) -> str:
    """What the user said last, in capitals."""
    return conversation.rsplit("[user]", 1)[1].split("\n", maxsplit=1)[0].upper()


def open_rows(
    reply: Callable[[str], str] = said_last, max_context_len: int = 512
) -> tuple[Runtime, Rows]:
    runtime = Runtime(ScriptedEngine(reply), [], Budget(max_context_len=max_context_len))
    return runtime, runtime.rows("group", NAMES)


def dialogue(*turns: str, heard: list[str] | None = None) -> Dialogue:
    """Says these turns one after the other, and answers with what came back last."""
    messages: list[dict[str, str]] = []
    text = ""
    for turn in turns:
        messages = [*messages, {"role": "user", "content": turn}]
        text = yield TurnRequest(messages, params=DecodeParams(max_new_tokens=40))
        messages = [*messages, {"role": "assistant", "content": text}]
        if heard is not None:
            heard.append(text)
    return text


def spans(task: TaskRun, kind: SpanKind) -> list[Span]:
    return [span for span in task.recorder.trace() if span.kind is kind]


def check_no_overlap(task: TaskRun) -> None:
    leaves = sorted(task.recorder.trace(), key=lambda span: span.t0_ns)
    for before, after in itertools.pairwise(leaves):
        assert before.t1_ns <= after.t0_ns


def test_dialogues_of_different_lengths_end_with_their_own_answers() -> None:
    _, rows = open_rows()
    task = TaskRun(60)
    heard: list[str] = []
    results = run_together(
        rows,
        {0: dialogue("a", "b"), 1: dialogue("c"), 2: dialogue("d", "e", "f", heard=heard)},
        task,
        name="all",
    )
    assert results == {0: "B", 1: "C", 2: "F"}
    assert heard == ["D", "E", "F"]
    assert task.turns == 6
    decodes = spans(task, SpanKind.DECODE)
    assert [(span.agent, span.tokens_out) for span in decodes] == [
        ("all", 3),
        ("all", 2),
        ("all", 1),
    ]
    assert [len(span.token_t_ns) for span in decodes] == [3, 2, 1]
    prefills = [span.agent for span in spans(task, SpanKind.PREFILL)]
    assert prefills == ["one", "two", "three", "one", "three", "three"]
    assert task.limits.tokens == 6
    check_no_overlap(task)


def test_a_dialogue_goes_on_from_what_its_row_holds() -> None:
    _, rows = open_rows()
    task = TaskRun(60)
    run_together(rows, {1: dialogue("a", "b")}, task, name="all")
    first, second = spans(task, SpanKind.PREFILL)
    assert first.tokens_cached == 0
    # The scripted engine runs a generated token to learn that the turn ends there.
    assert second.tokens_cached == first.tokens_in + len("A")
    run_together(rows, {1: dialogue("a")}, task, name="all")
    again = spans(task, SpanKind.PREFILL)[-1]
    assert again.tokens_in - again.tokens_cached <= 2


def test_equal_prompts_are_forked() -> None:
    class Forking:
        """A group that says it copies."""

        is_batched = True
        forks: list[tuple[int, int]] = []  # noqa: RUF012

        def __init__(self, group: object) -> None:
            self._group = group

        def __getattr__(self, name: str) -> object:
            return getattr(self._group, name)

        def fork(self, source: int, target: int) -> None:
            self.forks.append((source, target))
            self._group.fork(source, target)  # type: ignore[attr-defined]

    _, rows = open_rows()
    rows.group = Forking(rows.group)  # type: ignore[assignment]
    task = TaskRun(60)
    results = run_together(
        rows,
        {0: dialogue("same", "x"), 1: dialogue("same", "y"), 2: dialogue("same", "x")},
        task,
        name="all",
    )
    assert results == {0: "X", 1: "Y", 2: "X"}
    assert Forking.forks == [(0, 1), (0, 2), (0, 2)]
    prefills = spans(task, SpanKind.PREFILL)
    assert [span.tokens_in > span.tokens_cached for span in prefills] == [
        True,
        False,
        False,
        True,
        True,
        False,
    ]
    assert len({span.tokens_in for span in prefills[:3]}) == 1


def test_rows_that_take_turns_count_what_a_fork_runs() -> None:
    _, rows = open_rows()
    assert not rows.group.is_batched
    task = TaskRun(60)
    run_together(rows, {0: dialogue("same"), 1: dialogue("same")}, task, name="all")
    ran = [span.tokens_in - span.tokens_cached for span in spans(task, SpanKind.PREFILL)]
    assert ran[0] == ran[1] > 0
    generated = 2 * len("SAME")
    counted = sum(session.prefilled for session in rows.group.sessions)  # type: ignore[attr-defined]
    assert counted == sum(ran) + generated


def test_how_a_row_generates_can_be_changed() -> None:
    _, rows = open_rows()

    def short(row: int, params: DecodeParams) -> DecodeParams:
        return DecodeParams(max_new_tokens=row + 1)

    results = run_together(
        rows,
        {0: dialogue("abc"), 1: dialogue("abc")},
        TaskRun(60),
        name="all",
        manner=Manner(adjust=short),
    )
    assert results == {0: "A", 1: "AB"}


def test_what_is_settled_ends_the_others() -> None:
    _, rows = open_rows()
    asked: list[dict[int, Result]] = []

    def settled(results: Mapping[int, Result]) -> bool:
        asked.append(dict(results))
        return len(results) >= 2

    closed: list[str] = []

    def watched(*turns: str) -> Dialogue:
        try:
            return (yield from dialogue(*turns))
        finally:
            closed.append(turns[0])

    task = TaskRun(60)
    results = run_together(
        rows,
        {0: watched("a"), 1: watched("b"), 2: watched("c", "d")},
        task,
        name="all",
        manner=Manner(settled=settled),
    )
    # The rows of the scripted engine take turns, so the third never had its own.
    assert results == {0: "A", 1: "B"}
    assert {0: "A"} in asked
    assert sorted(closed) == ["a", "b", "c"]
    assert spans(task, SpanKind.DECODE)[0].tokens_out == 2
    # The row that was cut off is found in order by the next task.
    assert run_together(rows, {2: dialogue("c", "e")}, task, name="all") == {2: "E"}


def test_a_stuck_dialogue_leaves_the_others_alone() -> None:
    def stuck() -> Iterator[TurnRequest]:
        yield from dialogue("x")
        raise AgentStop(FailureMode.PROTOCOL_VIOLATION, "no idea", "best")

    _, rows = open_rows()
    results = run_together(rows, {0: stuck(), 2: dialogue("a", "b")}, TaskRun(60), name="all")  # type: ignore[dict-item]
    assert results[2] == "B"
    assert isinstance(results[0], AgentStop)
    assert results[0].best == "best"


def test_a_prompt_that_does_not_fit_may_be_shortened() -> None:
    def shortening() -> Dialogue:
        with pytest.raises(AgentStop) as stop:
            yield TurnRequest([{"role": "user", "content": "long " * 500}])
        assert stop.value.failure is FailureMode.CONTEXT_EXCEEDED
        return (yield from dialogue("short"))

    _, rows = open_rows()
    task = TaskRun(60)
    results = run_together(rows, {0: dialogue("a"), 1: shortening()}, task, name="all")
    assert results == {0: "A", 1: "SHORT"}
    assert len(spans(task, SpanKind.DECODE)) == 1
    too_long = dialogue("long " * 500)
    (result,) = run_together(rows, {1: too_long}, task, name="all").values()
    assert isinstance(result, AgentStop)
    assert result.failure is FailureMode.CONTEXT_EXCEEDED


def test_a_context_that_fills_up_stops_its_row() -> None:
    _, rows = open_rows(lambda conversation: "x" * 100, max_context_len=64)
    results = run_together(rows, {0: dialogue("abc" * 7)}, TaskRun(60), name="all")
    assert isinstance(results[0], AgentStop)
    assert results[0].failure is FailureMode.CONTEXT_EXCEEDED


def test_limits_stop_all_rows() -> None:
    _, rows = open_rows()
    results = run_together(
        rows, {0: dialogue("a"), 1: dialogue("b")}, TaskRun(limits=Limits(1e-9)), name="all"
    )
    for result in results.values():
        assert isinstance(result, AgentStop)
        assert result.failure is FailureMode.TIMEOUT


def test_rows_share_the_tokens_that_are_left() -> None:
    _, rows = open_rows(lambda conversation: "x" * 30)
    task = TaskRun(limits=Limits(60, max_tokens=8))
    results = run_together(rows, {row: dialogue("a", "b") for row in range(3)}, task, name="all")
    (decode,) = spans(task, SpanKind.DECODE)
    assert decode.tokens_out == task.limits.tokens == 8
    for result in results.values():
        assert isinstance(result, AgentStop)
        assert result.failure is FailureMode.TOKEN_LIMIT


def test_a_runtime_that_fails_is_told_to_every_dialogue() -> None:
    def fail(conversation: str) -> str:
        raise EngineError("the runtime failed")

    _, rows = open_rows(fail)
    results = run_together(rows, {0: dialogue("a"), 1: dialogue("b")}, TaskRun(60), name="all")
    for result in results.values():
        assert isinstance(result, AgentStop)
        assert result.failure is FailureMode.ERROR


def test_the_groups_of_a_runtime_are_opened_once_and_closed_with_it() -> None:
    runtime, rows = open_rows()
    assert runtime.rows("group", NAMES) is rows
    assert runtime.rows("another", NAMES) is not rows
    with pytest.raises(EngineError, match="one, two, three"):
        runtime.rows("group", ("one", "two"))
    runtime.close()
    with pytest.raises(EngineError, match="closed"):
        rows.group.decode({0: DecodeParams()})


# Tools that dialogues share


class Slow:
    name = "slow"
    is_delegate = False
    description = "Takes its time."
    parameters = object_schema()
    examples = ("an example",)

    def __init__(self) -> None:
        self.calls: list[Mapping[str, object]] = []
        self.may_end = threading.Event()
        self.may_end.set()

    def run(self, arguments: Mapping[str, object]) -> str:
        self.calls.append(arguments)
        assert self.may_end.wait(10)
        if arguments.get("fail"):
            raise ToolError("as you wished")
        return str(arguments)


def test_equal_calls_are_run_once_per_task() -> None:
    tool = Slow()
    shared = SharedTool(tool)
    assert (shared.name, shared.description, shared.is_delegate) == (
        "slow",
        "Takes its time.",
        False,
    )
    assert shared.examples == ("an example",)
    assert not hasattr(shared, "offer")
    one = shared.run({"a": 1, "b": [2]})
    assert shared.run({"b": [2], "a": 1}) == one
    shared.run({"a": 2})
    for _ in range(2):
        with pytest.raises(ToolError, match="wished"):
            shared.run({"fail": True})
    assert len(tool.calls) == 3
    shared.begin()
    shared.run({"a": 1, "b": [2]})
    assert len(tool.calls) == 4


def test_a_call_that_is_running_is_waited_for() -> None:
    tool = Slow()
    tool.may_end.clear()
    shared = SharedTool(tool)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(shared.run({}))) for _ in range(3)]
    for thread in threads:
        thread.start()
    tool.may_end.set()
    for thread in threads:
        thread.join(10)
    assert found == ["{}"] * 3
    assert len(tool.calls) == 1
