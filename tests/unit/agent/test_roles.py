"""The built-in roles: their examples must be possible, true and short."""

from __future__ import annotations

import itertools
import json

import pytest

from edgeagent.agent.formats.compact import CompactFormat
from edgeagent.agent.formats.protocol import Example, TurnRules
from edgeagent.agent.loop import Role
from edgeagent.agent.roles import (
    KNOWLEDGE,
    LANGUAGE,
    QUANTITATIVE,
    SINGLE,
    SPECIALISTS,
    SUPERVISOR,
)
from edgeagent.agent.tools.calculator import Calculator, operands
from edgeagent.agent.tools.documents.words import content_words
from edgeagent.agent.tools.protocol import Offer
from edgeagent.agent.tools.sentences import sentences
from edgeagent.config.suites import load_suite
from edgeagent.engine.grammar import SINGLE_BYTES, GrammarMatcher, GrammarTokenizer

ROLES = (SINGLE, QUANTITATIVE, KNOWLEDGE, LANGUAGE, SUPERVISOR)
EXAMPLES = [
    pytest.param(role, example, id=f"{role.name}: {example.question[:40]}")
    for role in ROLES
    for example in role.examples
]
MAX_PREFIX_CHARS = 4600
"""About 1,150 tokens: the cache of every role has to leave room for a task."""


def follows(grammar: str, text: str) -> bool:
    """Whether a text is a whole turn of a grammar."""
    tokenizer = GrammarTokenizer(SINGLE_BYTES, None, ())
    matcher = GrammarMatcher(tokenizer, grammar)
    native = matcher._native
    return native.try_consume_tokens(list(text.encode())) == len(text.encode()) and bool(
        native.is_accepting()
    )


@pytest.mark.parametrize(("role", "example"), EXAMPLES)
def test_every_turn_of_an_example_obeys_the_grammar_of_its_moment(
    role: Role, example: Example
) -> None:
    text_format = CompactFormat()
    turns = [
        message["content"]
        for message in text_format.prefix("", (), (example,)).messages
        if message["role"] == "assistant"
    ]
    quotes: tuple[str, ...] = ()
    for index, (text, turn) in enumerate(zip(turns, example.turns, strict=True)):
        parsed = text_format.parse(str(text))
        assert (parsed.calls, parsed.answer) == (turn.calls, turn.answer)
        if not turn.calls:
            offers = []
        elif turn.calls[0].tool == "calculator":
            parameters = Calculator().offer(example.question, example.observations[:index])
            assert parameters is not None
            offers = [Offer("calculator", parameters)]
        else:
            call = turn.calls[0]
            offers = [Offer(call.tool, _any_text(next(iter(call.arguments))))]
        grammar = text_format.grammar(
            TurnRules(tuple(offers), may_answer=not offers, has_result=index > 0, quotes=quotes)
        )
        assert follows(grammar, str(text))
        if index < len(example.observations):
            quotes = sentences(example.observations[index])
    assert not example.turns[-1].calls
    assert role.examples


def _any_text(name: str) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"}},
        "required": [name],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(("role", "example"), EXAMPLES)
def test_calculations_in_examples_are_right(role: Role, example: Example) -> None:
    del role
    for turn, observation in zip(example.turns, example.observations, strict=False):
        for call in turn.calls:
            if call.tool == "calculator":
                assert Calculator().run(call.arguments) == observation


@pytest.mark.parametrize(("role", "example"), EXAMPLES)
def test_queries_in_examples_use_words_of_the_question(role: Role, example: Example) -> None:
    del role
    for turn in example.turns:
        for call in turn.calls:
            if call.tool == "search":
                query = str(call.arguments["query"])
                assert set(content_words(query)) <= set(content_words(example.question))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_prefixes_are_short(role: Role) -> None:
    prefix = CompactFormat().prefix(role.instructions, (Calculator(),), role.examples)
    assert sum(len(str(message["content"])) + 12 for message in prefix.messages) < MAX_PREFIX_CHARS


@pytest.mark.parametrize("role", [SINGLE, *SPECIALISTS], ids=lambda role: role.name)
def test_tools_of_roles_are_those_their_examples_call(role: Role) -> None:
    called = {
        call.tool for example in role.examples for turn in example.turns for call in turn.calls
    }
    assert called <= set(role.tools)


def test_the_supervisor_asks_specialists_that_exist() -> None:
    asked = {
        str(call.arguments["specialist"])
        for example in SUPERVISOR.examples
        for turn in example.turns
        for call in turn.calls
    }
    assert asked == {role.name for role in SPECIALISTS}


def test_no_example_gives_away_a_task_of_the_shipped_suite() -> None:
    suite = load_suite("core")
    assert suite.documents_dir is not None
    names = {
        word
        for task in suite.spec.task
        for before, word in itertools.pairwise(task.question.split())
        if word[:1].isupper() and word.isalpha() and before[-1].isalnum() and content_words(word)
    }
    assert {"Saltry", "Mossgate", "Kestrel"} <= names
    numbers = {number for task in suite.spec.task for number in operands(task.question)}
    for role in ROLES:
        for example in role.examples:
            text = json.dumps([example.question, example.observations])
            assert not names & set(text.replace('"', " ").split())
            large = {number for number in operands(example.question) if len(number) > 2}
            assert not large & numbers
