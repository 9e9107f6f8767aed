"""Which pieces of generated text reach the user as the answer."""

from __future__ import annotations

import pytest

from edgeagent.agent.formats import tool_format
from edgeagent.agent.formats.protocol import TurnRules
from edgeagent.agent.paradigms import make_paradigm
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import Silent, TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.config.run import Budget
from edgeagent.engine.grammar import SINGLE_BYTES, GrammarMatcher, GrammarTokenizer
from edgeagent.engine.scripted import ScriptedEngine, replies
from edgeagent.errors import EngineError


class Collector(Silent):
    def __init__(self) -> None:
        self.answer = ""
        self.raw = ""

    def on_answer(self, text: str) -> None:
        self.answer += text

    def on_text(self, agent: str, text: str) -> None:
        self.raw += text


CONTEXT_LEN = 32768
"""The scripted engine counts bytes, and the prefixes with their examples are long."""


def run(paradigm: str, *texts: str, tool_call_format: str = "compact") -> tuple[str, str, str]:
    engine = ScriptedEngine(replies(*texts), context_len=CONTEXT_LEN)
    budget = Budget(max_context_len=CONTEXT_LEN, max_new_tokens=200, grounding=True)
    runtime = Runtime(engine, [Calculator()], budget, tool_call_format)
    listener = Collector()
    task = TaskRun(60, listener)
    outcome = make_paradigm(paradigm, runtime).run("How much is 2 + 3?", task)
    return outcome.answer, listener.answer, listener.raw


def test_base_streams_everything_it_says() -> None:
    assert run("base", " It is 5.")[:2] == ("It is 5.", "It is 5.")


def test_agent_streams_its_answer_and_neither_thoughts_nor_calls() -> None:
    answer, streamed, raw = run(
        "single",
        'Thought: I must use calculator.\nCall: calculator {"expression": "2 + 3"}',
        "Thought: I have the result.\nAnswer: 5",
    )
    assert answer == streamed == "5"
    assert "calculator" in raw


@pytest.mark.parametrize("tags", [("<tool_call>\n", "\n</tool_call>"), ("", "")])
def test_native_calls_are_not_streamed(tags: tuple[str, str]) -> None:
    call = '{"name": "calculator", "arguments": {"expression": "2 + 3"}}'
    answer, streamed, raw = run("single", call.join(tags), "It is 5.", tool_call_format="hermes")
    assert answer == streamed == "It is 5."
    assert "calculator" in raw


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("compact", "Thought: a\nCall: calculator {", ""),
        ("compact", "Thought: a\nAns", ""),
        ("compact", "Thought: a\nAnswer: The", "The"),
        ("hermes", "<tool_call>\n{", ""),
        ("hermes", '{"name": "calc', ""),
        ("hermes", "The ans", "The ans"),
    ],
)
def test_unfinished_turns(name: str, text: str, answer: str) -> None:
    assert tool_format(name).answer_part(text) == answer


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("if a < b: return <b>x</b>", True),
        ("It is 5.", True),
        ("I call <tool_call>", False),
        ("{}", False),
        ("```json", False),
    ],
)
def test_hermes_answers_may_hold_anything_but_tags(text: str, allowed: bool) -> None:
    grammar = tool_format("hermes").grammar(TurnRules((Calculator(),)))
    matcher = GrammarMatcher(GrammarTokenizer(SINGLE_BYTES, None, ()), grammar)
    if allowed:
        matcher.consume(list(text.encode()))
    else:
        with pytest.raises(EngineError):
            matcher.consume(list(text.encode()))
