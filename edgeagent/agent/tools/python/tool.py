"""The tool that runs Python which the model wrote."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.tools.calculator import operands
from edgeagent.agent.tools.protocol import (
    JsonSchema,
    object_schema,
    pattern_schema,
    string_argument,
    text_schema,
)
from edgeagent.agent.tools.python.support import sandbox_support
from edgeagent.agent.tools.sandbox.limits import SandboxLimits
from edgeagent.agent.tools.sandbox.process import Ending, Finished, run_confined
from edgeagent.errors import ResourceError, ToolError

MAX_CODE_CHARS = 1000
_MOST_CODE_CHARS = 20_000
"""What is run at all, for models whose calls no grammar bounds."""

_MOST_PRINTED_BEFORE = 200

_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(?P<code>.*?)(?:\n```.*|\Z)", re.DOTALL)
"""A Markdown block of code, as models write it around any code."""

_TASK_WORDS = re.compile(
    r"\b(python|code|program|script|comput\w*|calculat\w*|sort\w*|revers\w*|count\w*|sum|average|"
    r"mean|median|prime\w*|factorial|fibonacci|digits?|letters?|characters?|words?|vowels?|"
    r"alphabet\w*|palindromes?|binary|hexadecimal|convert\w*|days? (?:between|until|from))\b",
    re.IGNORECASE,
)


_ONE_LINE = r"print\([ !#-\[\]-~]{1,70}\)"
"""Anything but double quotes and backslashes, which would have to be escaped in a call. Short
enough for the tokens of one turn, also if each is but a character."""

_EXAMPLE = "print(sum(letter in 'aeiou' for letter in 'onomatopoeia'))"


class PythonTool:
    """Runs Python in a sandbox and returns what it printed."""

    name = "python"
    is_delegate = False
    description = (
        "Run Python code with the standard library and get what it prints. Use it for "
        "computations with many steps, for lists, texts and dates."
    )
    parameters = object_schema(
        code=text_schema("Python code that prints its result", MAX_CODE_CHARS)
    )

    examples = (
        Example(
            "How many vowels are in 'onomatopoeia'?",
            (
                Turn(calls=(Call("python", {"code": _EXAMPLE}),)),
                Turn(answer="There are 8 vowels."),
            ),
            ("8",),
        ),
    )

    def __init__(self, limits: SandboxLimits | None = None) -> None:
        """Prepare; ask `sandbox_support` whether this machine can run it."""
        self._limits = limits or SandboxLimits()

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer to print one expression, for a question that asks for such work.

        Models for which offers are made write programs that never end, or end in the middle.
        """
        if len(operands(question)) < 2 and not _TASK_WORDS.search(question):
            return None
        return object_schema(code=pattern_schema("", _ONE_LINE))

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return what `code` prints and the value of its last expression.

        Raises:
            ToolError: It failed, used too much of the machine, or there is no sandbox here.
        """
        code = plain_code(string_argument(arguments, "code"))
        if len(code) > _MOST_CODE_CHARS:
            raise ToolError(f"the code is longer than {_MOST_CODE_CHARS} characters")
        support = sandbox_support()
        if support.plan is None:
            raise ToolError(f"Python cannot be run here: {support.reason}")
        try:
            finished = run_confined(code, self._limits, support.plan)
        except ResourceError as error:
            raise ToolError(str(error)) from error
        return answer(finished, self._limits)


def plain_code(text: str) -> str:
    """Return code without the Markdown fence and the indentation that models put around it."""
    match = _FENCE.search(text)
    return textwrap.dedent(match["code"] if match else text).strip("\n")


def answer(finished: Finished, limits: SandboxLimits) -> str:
    """Return what the model is shown of a run.

    Raises:
        ToolError: There is nothing to show, or it failed.
    """
    printed = finished.output.strip()
    shown = "\n".join(part for part in (printed, finished.message.strip()) if part)
    match finished.ending:
        case Ending.DONE:
            if not shown:
                raise ToolError("the code printed nothing; end it with print(result)")
            return shown
        case Ending.OUTPUT:
            return f"{shown}\n(stopped after {limits.output_bytes} bytes of output)"
        case Ending.FAILED:
            before = _cut(printed)
            told = finished.message or "the code ended with an error"
            raise ToolError(told + (f" (printed before that: {before})" if before else ""))
        case Ending.TIME:
            raise ToolError(f"the code did not finish within {limits.wall_s:g} s")
        case Ending.CPU:
            raise ToolError(f"the code computed for longer than {limits.cpu_s} s")
        case Ending.FILES:
            raise ToolError(
                f"the code wrote more than {limits.scratch_bytes >> 20} MiB or "
                f"{limits.scratch_files} files"
            )
        case Ending.SIGNAL:
            raise ToolError(f"the code was ended by the system ({finished.message})")
        case Ending.LAYER_MISSING:
            raise ToolError(f"Python cannot be run here any more: {finished.message}")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_PRINTED_BEFORE else line[:_MOST_PRINTED_BEFORE] + " …"
