r"""The grammar of a whole turn, from what the formats say about calls.

A turn is an optional thinking section, then either an answer in words, or calls, which words may
precede where the family does that::

    start: thinking? (TEXT | calls | lead calls)

Control markup stands in rules of its own whose names begin with `markup_`: the engine takes the
vocabulary's own token where there is one (see `edgeagent.engine.grammar`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from edgeagent.agent.formats.notation import JSON, Notation
from edgeagent.agent.formats.protocol import TurnRules
from edgeagent.agent.formats.schema import literal, value_rules

THINK, THOUGHT_END = "<think>", "</think>"
_CHARS_PER_TOKEN = 5
"""Of prose, rounded up: where `</think>` is no token of the vocabulary, and so no count of tokens
can be enforced, a thinking section is limited by its characters."""


def call_rules(
    rules: TurnRules, around: Callable[[str], tuple[str, str]], notation: Notation = JSON
) -> list[str]:
    """Return the lines of rule `call`: one call of any of the tools.

    Args:
        rules: Say which tools.
        around: Returns what stands before and behind the arguments of a tool of this name.
        notation: How arguments are written.

    Raises:
        ToolError: The schema of a tool cannot be followed.
    """
    lines = [f"call: {' | '.join(f'call_{index}' for index, _ in enumerate(rules.tools))}"]
    for index, tool in enumerate(rules.tools):
        before, behind = around(tool.name)
        end = literal(behind) if behind else ""
        lines.append(f"call_{index}: {literal(before)} args_{index} {end}".rstrip())
        lines += value_rules(f"args_{index}", tool.parameters, notation)
    return lines


def several(rules: TurnRules, one: str, separator: str) -> str:
    """Return an expression for one up to as many as the rules allow."""
    if rules.max_calls == 1:
        return one
    return f"{one} ({literal(separator)} {one}){{0,{rules.max_calls - 1}}}"


def text_terminal(not_first: str = "", without: Sequence[str] = (), *, space: bool = False) -> str:
    """Return a regular expression of an answer in words.

    Args:
        not_first: Characters that it does not begin with, since a call does.
        without: Texts that it does not contain.
        space: Whether a blank may stand before it.
    """
    classes = "".join(f"\\{char}" if char in "[]\\^-" else char for char in not_first)
    terminal = rf"/{' ?' if space else ''}[^\s{classes}](?s:.*)/"
    if without:
        tags = "|".join(re.escape(tag).replace("/", r"\/") for tag in without)
        terminal += rf" & ~/(?s:.*)({tags})(?s:.*)/"
    return terminal


def turn_grammar(
    rules: TurnRules,
    calls: Sequence[str],
    lines: Sequence[str],
    *,
    text: str,
    lead: str = "",
) -> str:
    """Return the grammar of a turn.

    Args:
        rules: What the turn may be.
        calls: Expressions for calls, each a way of writing them.
        lines: The rules that they refer to.
        text: Regular expression of an answer.
        lead: Expression for words and the calls behind them, empty if there is no such thing.
    """
    ends = list(calls) if rules.tools else []
    if rules.tools and rules.lead_chars and lead:
        ends.append(lead)
    if rules.may_answer or not ends:
        ends.insert(0, "TEXT")
    body = " | ".join(ends)
    start = [f"start: {body}", f"TEXT: {text}"]
    if rules.max_thinking_tokens:
        limit = rules.max_thinking_tokens
        start = [
            "start: body | thinking body",
            f"body: {body}",
            f"TEXT: {text}",
            r'thinking: markup_think "\n" markup_thought "\n\n"',
            f'markup_think: "{THINK}"',
            f"THOUGHT: /(?s:.{{0,{limit * _CHARS_PER_TOKEN}}})/",
            f'markup_thought[lazy, max_tokens={limit}]: THOUGHT "{THOUGHT_END}"',
        ]
    return "\n".join([*start, *(lines if rules.tools else ())])


def split_thinking(text: str) -> tuple[str, str]:
    """Return the thinking section that a turn begins with, and what comes behind it.

    Raises:
        ValueError: The section is not closed.
    """
    start = text.lstrip()
    if not start.startswith(THINK):
        # A template may have opened the section, so that the model only closes it.
        thought, closed, rest = text.partition(THOUGHT_END)
        return (thought.strip(), rest.lstrip()) if closed and THINK not in thought else ("", text)
    thought, closed, rest = start.removeprefix(THINK).partition(THOUGHT_END)
    if not closed:
        raise ValueError("the thinking section is not closed")
    return thought.strip(), rest.lstrip()


def behind_thinking(text: str) -> str:
    """Return what of an unfinished turn comes behind its thinking section."""
    start = text.lstrip()
    if THINK.startswith(start[: len(THINK)]):
        return start.partition(THOUGHT_END)[2].lstrip() if len(start) > len(THINK) else ""
    return text
