"""Which functions that are known by their description only are offered for a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from edgeagent.agent.functions import Function, function_agent
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.serves import offer_stated
from edgeagent.config.run import Budget
from edgeagent.engine.scripted import ScriptedEngine, replies

TEXT, NUMBER = {"type": "string"}, {"type": "number"}


def function(
    name: str, description: str, required: Mapping[str, Any], **optional: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": {**required, **optional},
            "required": list(required),
        },
    }


BMI = function("determine_bmi", "Body mass index of a person", {"weight": NUMBER, "height": NUMBER})


def offered(description: dict[str, Any], question: str) -> set[str] | None:
    """The fields that may be written, `None` if the function is not offered."""
    schema = offer_stated(Function(description), question)
    return None if schema is None else set(schema["properties"])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("question", "is_offered"),
    [
        ("What is the body mass of a person of 70 kg and 1.8 m?", True),
        ("What is the bodyMass at weights of 70 and 60?", True),
        ("Who won the chess game between Lee and Kim, 3 to 2?", False),
        ("What body mass has a person of 70 kg?", True),  # `a` may be a number
        ("What is your body mass?", False),
        ("Wie gross ist der Koerper von Anna?", True),  # not judged
    ],
)
def test_a_function_is_offered_if_it_shares_words_and_has_its_numbers(
    question: str, is_offered: bool
) -> None:
    assert (offered(BMI, question) is not None) is is_offered


def test_words_of_every_description_do_not_count() -> None:
    find = function("find_user_data", "Get the details of a given value", {})
    assert offered(find, "Can you find the data?") is None


@pytest.mark.parametrize(
    ("question", "fields"),
    [
        ("What is the weather in Bergen?", set()),
        ("What is the weather in Bergen, in the unit that I like?", {"unit"}),
        ("What is the weather in Bergen in celsius?", {"unit"}),
        ("What is the weather in Bergen for the next days?", {"days"}),
        ("What is the weather in Bergen with its history?", {"with_history"}),
        ("What is the weather in Bergen on that date?", {"date"}),
    ],
)
def test_optional_fields_are_offered_if_the_question_says_something_for_them(
    question: str, fields: set[str]
) -> None:
    weather = function(
        "get_weather",
        "Weather of a place",
        {"place": TEXT},
        unit={"enum": ["celsius", "kelvin"]},
        days={"type": "integer"},
        with_history={"type": "boolean"},
        date=TEXT,
        tags={"type": "array", "items": TEXT},
    )
    assert offered(weather, question) == {"place", "tags", *fields}


CALL = (
    '<tool_call>\n{"name": "determine_bmi", "arguments": {"weight": 70, "height": 2}}\n</tool_call>'
)


@pytest.mark.parametrize("grounding", [True, False])
def test_only_grounded_agents_are_kept_from_calling(grounding: bool) -> None:
    engine = ScriptedEngine(replies(CALL, CALL), context_len=8000)
    budget = Budget(max_context_len=8000, grounding=grounding)
    runtime = Runtime(engine, [], budget, "hermes")
    called = []
    for question in ("Who won the game?", "What is the body mass with 70 kg and 2 m?"):
        task = TaskRun(60, functions=[BMI])
        agent = function_agent(runtime, "agent", task)
        agent.run(question, task)
        called.append(bool(agent.called))
    assert called == [not grounding, True]
