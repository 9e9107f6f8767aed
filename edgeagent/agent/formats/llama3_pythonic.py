r"""The pythonic calls of Llama 3.2: a list of calls as Python would write them.

    [calculator(expression="23 * 47"), search(query="Lake Morvane")]

The template knows no such calls, so the functions and the way of calling them are described in the
system turn. Values are literals: `True`, `None`, nested lists and dictionaries.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.llama3_json import LLAMA3_MARKUP
from edgeagent.agent.formats.native import NativeFormat
from edgeagent.agent.formats.notation import JSON, PYTHON
from edgeagent.agent.formats.protocol import Call, Example, Prefix, TurnRules
from edgeagent.agent.formats.python_calls import read_python_calls
from edgeagent.agent.formats.schema import field_rules, literal
from edgeagent.agent.formats.turn_grammar import several, text_terminal, turn_grammar
from edgeagent.agent.tools.protocol import Tool, describe

_HOW = (
    "To call functions, reply with nothing but a list of calls: "
    "[name(parameter=value, parameter=value), name(parameter=value)]. "
    "If no function serves, reply in words."
)


class Llama3PythonicFormat(NativeFormat):
    """See the module."""

    name = "llama3_pythonic"
    markup = LLAMA3_MARKUP
    openings = ("[",)

    def prefix(
        self,
        instructions: str,
        tools: Sequence[Tool],
        examples: Sequence[Example],
        *,
        thinking: bool = False,
    ) -> Prefix:
        """Return instructions, functions and examples."""
        lines = [instructions]
        if tools:
            functions = [describe(tool)["function"] for tool in tools]
            lines += [_HOW, "Functions:", JSON.write(functions)]
        system: Message = {"role": "system", "content": "\n".join(lines)}
        return Prefix((system, *self._shown(tools, examples)), None, {"enable_thinking": thinking})

    def grammar(self, rules: TurnRules) -> str:
        """Return the grammar of one turn; quotes are left aside."""
        names = [f"call_{index}" for index, _ in enumerate(rules.tools)]
        lines = [f"call: {' | '.join(names)}"]
        for index, tool in enumerate(rules.tools):
            lines.append(f'call_{index}: {literal(f"{tool.name}(")} args_{index} ")"')
            lines += field_rules(f"args_{index}", tool.parameters, PYTHON, lambda key: f"{key}=")
        calls = f'"[" {several(rules, "call", ", ")} "]"'
        return turn_grammar(rules, [calls], lines, text=text_terminal("<{[`", self.markup))

    def write(self, calls: Sequence[Call]) -> str:
        """Return the list of calls."""
        return f"[{', '.join(map(_written, calls))}]"

    def read(self, text: str) -> tuple[Call, ...]:
        """Return the calls."""
        return read_python_calls(text)


def _written(call: Call) -> str:
    arguments = (f"{key}={PYTHON.write(value)}" for key, value in call.arguments.items())
    return f"{call.tool}({', '.join(arguments)})"
