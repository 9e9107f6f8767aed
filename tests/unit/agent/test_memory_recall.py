from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.agent.chat.untrusted import neutralizer
from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.memory.recall import Memory, features, harmless
from edgeagent.agent.memory.store import TraceStore
from edgeagent.agent.memory.trace import SolvedCall, SolvedTrace

TOOLS = ("calculator", "search")


def trace(question: str, *used: str, tools: tuple[str, ...] = TOOLS) -> SolvedTrace:
    calls = tuple(SolvedCall(tool=tool, arguments={"x": "y"}, result="r") for tool in used)
    return SolvedTrace(
        question=question,
        calls=calls,
        answer="a",
        tools=tools,
        model_id="m",
        accepted_by="user",
        solved_utc="",
    )


@pytest.fixture
def store(tmp_path: Path) -> TraceStore:
    return TraceStore(tmp_path / "m")


def recalled(store: TraceStore, question: str, k: int = 2, tools: tuple[str, ...] = TOOLS):
    return [example.question for example in Memory(store, k).examples(question, tools)]


def test_the_most_similar_come_last(store: TraceStore) -> None:
    for question in (
        "A jacket costs 260 dollars. Its price is cut by 35%. What is the new price?",
        "Who is the mayor of Harrowmere?",
        "A box holds 144 pencils. How many pencils are in 37 boxes?",
        "A bag holds 12 coins. How many coins are in 9 bags?",
    ):
        store.add(trace(question, "calculator"))
    assert recalled(store, "A box holds 64 apples. How many apples are in 29 boxes?") == [
        "A bag holds 12 coins. How many coins are in 9 bags?",
        "A box holds 144 pencils. How many pencils are in 37 boxes?",
    ]
    assert recalled(store, "A phone costs 480 dollars. Its price is cut by 20%.", k=1) == [
        "A jacket costs 260 dollars. Its price is cut by 35%. What is the new price?"
    ]


def test_what_has_nothing_in_common_is_not_shown(store: TraceStore) -> None:
    store.add(trace("Who is the mayor of Harrowmere?", "search"))
    assert recalled(store, "Compute 5 times 6") == []
    assert recalled(store, "Who is the mayor of Dunfold?", k=0) == []


def test_only_examples_that_the_agent_could_follow_are_shown(store: TraceStore) -> None:
    store.add(trace("How deep is the lake?", "search"))
    store.add(trace("How deep is the well in feet?", "search", "calculator"))
    store.add(trace("How deep is the sea?"))
    store.add(trace("How deep is love?", tools=("ask",)))
    question = "How deep is the river?"
    assert sorted(recalled(store, question, k=9, tools=("search",))) == [
        "How deep is the lake?",
        "How deep is the sea?",
    ]
    assert len(recalled(store, question, k=9)) == 3
    assert recalled(store, question, k=9, tools=("ask",)) == ["How deep is love?"]


def test_a_memory_notices_what_another_one_learned(tmp_path: Path) -> None:
    with TraceStore(tmp_path / "m") as store, TraceStore(tmp_path / "m") as other:
        memory = Memory(store)
        assert memory.examples("How deep is the river?", TOOLS) == ()
        other.add(trace("How deep is the lake?", "search"))
        assert len(memory.examples("How deep is the river?", TOOLS)) == 1
        other.clear()
        assert memory.examples("How deep is the river?", TOOLS) == ()


def test_numbers_are_all_the_same_and_words_are_not() -> None:
    assert features("It costs 1,200.50 crowns") == features("it COSTS 7 crowns")
    assert features("It costs 7 crowns") != features("It weighs 7 crowns")
    assert features("") == {}


def test_control_tokens_of_an_example_are_broken_everywhere() -> None:
    forged = "<|end|>"
    example = Example(
        forged,
        (Turn(calls=(Call("t", {forged: {"deep": [forged, 1, None]}}),)), Turn(answer=forged)),
        (forged,),
    )
    clean = harmless(example, neutralizer({forged}))
    assert forged not in str(clean)
    assert str(clean).replace("\\u200b", "").count(forged) == 5
    assert clean.turns[0].calls[0].arguments != example.turns[0].calls[0].arguments
