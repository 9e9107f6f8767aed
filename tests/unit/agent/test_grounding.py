"""Grounding: tools offer themselves, arguments and answers come from what was said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeagent.agent.paradigms.multi import Multi
from edgeagent.agent.paradigms.single import Single
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.calculator import Calculator, operands
from edgeagent.agent.tools.documents.index import DocumentIndex
from edgeagent.agent.tools.documents.search import DocumentSearch
from edgeagent.agent.tools.documents.words import best_sentences
from edgeagent.agent.tools.sentences import sentences
from edgeagent.config.run import Budget
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.record.outcome import Outcome, StepKind

CONTEXT_LEN = 32768
"""The scripted engine counts bytes, and the prefixes with their examples are long."""


@pytest.fixture
def search(tmp_path: Path) -> Iterator[DocumentSearch]:
    (tmp_path / "mill.md").write_text(
        "# Brackwater mill\n\nThe mill belongs to Ada Quern. A sack of flour costs 8 crowns.",
        encoding="utf-8",
    )
    (tmp_path / "inn.md").write_text(
        "# Otter inn\n\nThe inn has 12 rooms. Dinner begins at seven.", encoding="utf-8"
    )
    index = DocumentIndex(tmp_path)
    yield DocumentSearch(index)
    index.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,340 of 15% and 2.50", ("1340", "15%", "2.50")),
        ("Six friends pay twice", ("6", "2")),
        ("Error E47 on the K9 at 6:35 or 3 pm, the 2nd time", ()),
        ("a square of 5 by 5", ("5", "5")),
        ("room 12, bus 17", ("12", "17")),
        ("one bag", ()),
    ],
)
def test_operands_are_quantities(text: str, expected: tuple[str, ...]) -> None:
    assert operands(text) == expected


def expression_pattern(question: str, *results: str) -> re.Pattern[str] | None:
    schema = Calculator().offer(question, results)
    if schema is None:
        return None
    properties = schema["properties"]
    assert isinstance(properties, dict)
    return re.compile(properties["expression"]["pattern"])


@pytest.mark.parametrize("question", ["What is a mouse?", "It costs 5 crowns."])
def test_the_calculator_needs_two_quantities(question: str) -> None:
    assert expression_pattern(question) is None


def test_a_document_alone_is_no_reason_to_compute() -> None:
    assert expression_pattern("Who owns it?", "[A] It has 4 doors and 5 windows.") is None
    assert expression_pattern("What do 3 cost?", "[Hall 7] One costs 45 crowns.") is not None


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("3 * 45", True),
        ("45 * 3", True),
        ("3 * 3", False),
        ("45 * 45", False),
        ("3 * 46", False),
        ("3 * 7", False),
        ("3", False),
    ],
)
def test_expressions_use_what_was_said(expression: str, fits: bool) -> None:
    pattern = expression_pattern("What do 3 cost?", "[Hall 7] One costs 45 crowns.")
    assert pattern is not None
    assert bool(pattern.fullmatch(expression)) is fits


def test_sums_may_be_taken_times_something() -> None:
    pattern = expression_pattern("4 boys and 5 girls pay 6 dollars each.")
    assert pattern is not None
    assert pattern.fullmatch("(4 + 5) * 6")
    assert pattern.fullmatch("4 + 5 * 6")


def test_many_quantities_keep_the_pattern_small() -> None:
    pattern = expression_pattern(" ".join(f"{number} things" for number in range(20, 60)))
    assert pattern is not None
    assert len(pattern.pattern) < 2000
    assert pattern.fullmatch("20 + 21 + 59")
    assert not pattern.fullmatch("20 + 61")


@pytest.mark.parametrize(
    ("question", "offered"),
    [
        ("Who owns the Brackwater mill?", True),
        ("How many rooms does the Otter inn have?", True),
        ("What is the capital of Portugal?", False),
        ("Hello!", False),
        ("", False),
    ],
)
def test_a_search_is_offered_for_what_the_documents_know(
    search: DocumentSearch, question: str, offered: bool
) -> None:
    assert (search.offer(question, ()) is not None) is offered


def test_a_query_is_made_of_words_that_were_said(search: DocumentSearch) -> None:
    schema = search.offer("Who owns the Brackwater mill?", ())
    assert schema is not None
    properties = schema["properties"]
    assert isinstance(properties, dict)
    pattern = re.compile(properties["query"]["pattern"])
    assert pattern.fullmatch("Brackwater mill")
    assert not pattern.fullmatch("windmill")


def test_best_sentences_ignore_the_words_of_the_title() -> None:
    text, title = "The Otter inn is old. Its cook is Ida. It has a bar.", "Otter inn"
    assert best_sentences(text, title, "cook of the Otter inn", 2) == "Its cook is Ida."
    assert best_sentences(text, title, "Otter", 2) == "The Otter inn is old. Its cook is Ida."


def test_sentences_lose_the_titles_of_passages() -> None:
    assert sentences("[A b] One is 1.5. Two;\n[C] Three") == ("One is 1.5.", "Two;", "Three")


def run(
    paradigm: Callable[[Runtime], Single | Multi],
    search: DocumentSearch,
    question: str,
    reply: Callable[[str], str],
    *,
    grounding: bool | None = True,
    tool_call_format: str = "compact",
) -> Outcome:
    budget = Budget(max_context_len=CONTEXT_LEN, grounding=grounding)
    engine = ScriptedEngine(reply, context_len=CONTEXT_LEN)
    runtime = Runtime(engine, [Calculator(), search], budget, tool_call_format)
    try:
        return paradigm(runtime).run(question, TaskRun(60))
    finally:
        runtime.close()


def tagged_call(tool: str, **arguments: str) -> str:
    return f"<tool_call>\n{json.dumps({'name': tool, 'arguments': arguments})}\n</tool_call>"


def call(tool: str, **arguments: str) -> str:
    return f"Thought: I must use {tool}.\nCall: {tool} {json.dumps(arguments)}"


def test_an_answer_after_a_result_quotes_it(search: DocumentSearch) -> None:
    def reply(prompt: str) -> str:
        if "Ada Quern" in prompt:
            return "Thought: I have the result.\nAnswer: Nobody knows."
        return call("search", query="owns Brackwater mill")

    outcome = run(Single, search, "Who owns the Brackwater mill?", reply)
    assert outcome.failure is None
    observation = next(step.text for step in outcome.steps if step.kind is StepKind.OBSERVATION)
    assert outcome.answer in observation


def test_a_tool_is_called_once(search: DocumentSearch) -> None:
    outcome = run(
        Single, search, "What is 15 plus 16?", lambda _: call("calculator", expression="15 + 16")
    )
    assert outcome.answer == "31"
    assert [step.kind for step in outcome.steps].count(StepKind.CALL) == 1
    assert outcome.completed_unaided


def test_a_tool_is_called_once_in_the_native_format_too(search: DocumentSearch) -> None:
    # The model wants the same call for ever; after the first, the grammar only has answers.
    outcome = run(
        Single,
        search,
        "What is 15 plus 16?",
        lambda _: tagged_call("calculator", expression="15 + 16"),
        tool_call_format="hermes",
    )
    calls = [step for step in outcome.steps if step.kind is StepKind.CALL]
    assert [step.arguments for step in calls] == [{"expression": "15 + 16"}]
    assert outcome.turns == 2
    assert outcome.completed_unaided


def test_each_tool_is_called_once_though_others_follow(search: DocumentSearch) -> None:
    question = "What do 5 sacks of flour cost at the Brackwater mill?"

    def reply(prompt: str) -> str:
        if "8 crowns" in prompt:
            return call("calculator", expression="5 * 8")
        return call("search", query="flour cost")

    outcome = run(Single, search, question, reply)
    calls = [step.tool for step in outcome.steps if step.kind is StepKind.CALL]
    assert calls == ["search", "calculator"]
    assert outcome.answer == "40"
    assert outcome.completed_unaided


@pytest.mark.parametrize("grounding", [False, None])
@pytest.mark.parametrize(
    ("tool_call_format", "write"), [("compact", call), ("hermes", tagged_call)]
)
def test_without_grounding_arguments_and_repetitions_are_the_models_business(
    search: DocumentSearch,
    tool_call_format: str,
    write: Callable[..., str],
    grounding: bool | None,
) -> None:
    answer = (
        "77 hours." if write is tagged_call else "Thought: I have the result.\nAnswer: 77 hours."
    )
    outcome = run(
        Single,
        search,
        "How many hours are 3 days and 5 hours?",
        lambda prompt: (
            write("calculator", expression="3 * 24 + 5") if prompt.count("77") < 3 else answer
        ),
        grounding=grounding,
        tool_call_format=tool_call_format,
    )
    calls = [step for step in outcome.steps if step.kind is StepKind.CALL]
    assert [step.arguments for step in calls] == [{"expression": "3 * 24 + 5"}]
    # After the second repetition it is made to answer, and has the result before its eyes.
    assert outcome.answer == "77 hours."
    assert outcome.completed_unaided


def test_without_work_for_tools_the_agent_answers_plainly(search: DocumentSearch) -> None:
    outcome = run(Single, search, "What is the capital of Portugal?", lambda _: "Lisbon.")
    assert outcome.answer == "Lisbon."
    assert not outcome.fell_back
    assert outcome.turns == 1


def test_the_supervisor_is_offered_specialists_that_can_help(search: DocumentSearch) -> None:
    asked: list[str] = []

    def reply(prompt: str) -> str:
        asked.append(prompt)
        return call("ask", specialist="quantitative") if len(asked) == 1 else "Lisbon."

    outcome = run(Multi, search, "What is the capital of Portugal?", reply)
    routes = [step.arguments for step in outcome.steps if step.kind is StepKind.ROUTE]
    assert routes == [{"specialist": "language"}]
    assert outcome.answer == "Lisbon."


def test_each_specialist_is_asked_once_and_gets_the_reports(search: DocumentSearch) -> None:
    question = "What do 5 sacks of flour cost at the Brackwater mill?"

    def reply(prompt: str) -> str:
        mine = prompt[prompt.rindex("What do 5 sacks") :]
        if "You look facts up" in prompt:
            return call("search", query="flour cost")
        if "You compute" in prompt:
            assert "8 crowns" in mine or "Result" in mine
            return call("calculator", expression="5 * 8")
        return call("ask", specialist="quantitative" if "8 crowns" in prompt else "knowledge")

    outcome = run(Multi, search, question, reply)
    routes = [step.arguments for step in outcome.steps if step.kind is StepKind.ROUTE]
    assert routes == [{"specialist": "knowledge"}, {"specialist": "quantitative"}]
    assert outcome.answer == "40"
    assert not outcome.fell_back
