from __future__ import annotations

import pytest

from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.protocol import describe
from edgeagent.errors import ToolError


def test_it_computes_exactly() -> None:
    assert Calculator().run({"expression": " 0.1 + 0.2 "}) == "0.3"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"expression": ""},
        {"expression": " \n"},
        {"expression": 3},
        {"expression": None},
        {"expression": ["1"]},
        {"query": "1 + 1"},
    ],
)
def test_wrong_arguments_are_tool_errors(arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError, match="expression"):
        Calculator().run(arguments)


def test_it_describes_itself_as_templates_expect() -> None:
    function = describe(Calculator())["function"]
    assert isinstance(function, dict)
    assert function["name"] == "calculator"
    assert function["parameters"]["required"] == ["expression"]
    assert function["parameters"]["additionalProperties"] is False
