"""The calculator tool: exact arithmetic on an expression."""

from __future__ import annotations

from collections.abc import Mapping

from edgeagent.agent.tools.arithmetic import evaluate, format_exact
from edgeagent.agent.tools.protocol import object_schema, string_argument, text_schema


class Calculator:
    """Computes with exact fractions and answers in decimals."""

    name = "calculator"
    is_delegate = False
    description = (
        "Compute an arithmetic expression with + - * / % ^ and parentheses, such as "
        "(12.5 + 3) * 4 or 15% of 80. Use it for every calculation."
    )
    parameters = object_schema(expression=text_schema("Numbers and operators only, no words", 80))

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return the value of `expression`.

        Raises:
            ToolError: It is not arithmetic, divides by zero or grows too large.
        """
        return format_exact(evaluate(string_argument(arguments, "expression")))
