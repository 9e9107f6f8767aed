from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from edgeagent.agent.formats.schema_check import schema_error
from edgeagent.agent.tools.protocol import JsonSchema, object_schema
from edgeagent.agent.tools.said import offer_said

PARAMETERS: JsonSchema = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 200},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
        "units": {"enum": ["celsius", "fahrenheit"]},
        "note": {"type": "string", "maxLength": 50},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}


class Forecast:
    name = "get_forecast"
    is_delegate = False
    description = "Tell the weather of the next days in a city."
    parameters = PARAMETERS

    def run(self, arguments: Mapping[str, object]) -> str:
        return str(arguments)


def offered(question: str, *results: str) -> Mapping[str, JsonSchema] | None:
    schema = offer_said(Forecast(), question, results)
    if schema is None:
        return None
    assert schema["additionalProperties"] is False
    assert schema_error(schema) == ""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    return properties


def test_arguments_come_from_what_was_said() -> None:
    properties = offered("What is the weather in New York in the next 3 or 30 days, in Celsius?")
    assert properties is not None
    assert list(properties) == ["city", "days", "units"]
    assert properties["days"] == {"enum": [3]}
    assert properties["units"] == {"enum": ["celsius"]}
    pattern = re.compile(str(properties["city"]["pattern"]))
    assert pattern.fullmatch("New York")
    assert not pattern.fullmatch("Paris")
    assert not pattern.fullmatch("weather")  # names the tool, not the city


def test_results_count_as_said() -> None:
    properties = offered("What is the weather at the fair for 2 days?", "It is in Ottersby.")
    assert properties is not None
    assert re.fullmatch(str(properties["city"]["pattern"]), "Ottersby")


@pytest.mark.parametrize(
    "question",
    [
        "What is the opposite of hot?",
        "How will the weather be in Oslo?",  # for how many days is not said
        "Thank you!",
        "",
    ],
)
def test_nothing_is_offered_without_anything_to_work_on(question: str) -> None:
    assert offered(question) is None


def test_schemas_that_are_more_than_a_list_of_fields_are_left_alone() -> None:
    class Odd(Forecast):
        parameters = object_schema(
            where={"anyOf": [{"type": "string"}, {"type": "integer"}]},
            when={"type": "string", "format": "date"},
        )

    schema = offer_said(Odd(), "What is the weather?", ())
    assert schema is not None
    assert schema["properties"] == Odd.parameters["properties"]
