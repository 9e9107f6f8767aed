"""Tool calls of the sample: where a tool is picked, and between which tools.

A transcript of questions and calls is run once; at each place where the name of a tool begins, a
model's pick is the tool whose name begins with the likeliest token. So a pick costs no generation,
and earlier questions serve as examples of the format.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import tomli

from edgeagent.export.verify.sample import Encode, Tokens

_WINDOW_TOKENS = 1024
"""Long enough for the whole transcript, so that its introduction is computed once."""


@dataclass(frozen=True)
class Pick:
    """A place where a tool is picked.

    Attributes:
        window: Index of the window in `ToolCalls.windows`.
        position: Whose next token begins the name.
        candidates: That token for each tool.
    """

    window: int
    position: int
    candidates: tuple[int, ...]


@dataclass(frozen=True)
class ToolCalls:
    """The transcript as windows that are run on their own, and its picks."""

    windows: tuple[Tokens, ...]
    picks: tuple[Pick, ...]


def tool_calls(encode: Encode, bos_id: int | None, context_len: int) -> ToolCalls:
    """Tokenize the transcript.

    Args:
        encode: The package's tokenizer.
        bos_id: Token in front of every window, `None` where the model expects none.
        context_len: Longest context of the package.

    Returns:
        No picks where the tokenizer writes two tools with the same first token, or where a window
        is too short for the introduction and a question.
    """
    document = tomli.loads(
        files(__package__).joinpath("sample", "tool_calls.toml").read_text(encoding="utf-8")
    )
    tools: list[str] = document["tools"]
    start = ([] if bos_id is None else [bos_id]) + encode(document["introduction"].lstrip())
    limit = min(_WINDOW_TOKENS, context_len)
    windows: list[list[int]] = []
    picks: list[Pick] = []
    for question in document["question"]:
        versions = [encode(_turn(question, tool)) for tool in tools]
        turn = versions[tools.index(question["tool"])]
        at = _first_difference(versions)
        candidates = tuple(version[at] for version in versions)
        if len(set(candidates)) < len(tools) or len(start) + len(turn) > limit:
            continue
        if not windows or len(windows[-1]) + len(turn) > limit:
            windows.append(list(start))
        picks.append(Pick(len(windows) - 1, len(windows[-1]) + at - 1, candidates))
        windows[-1] += turn
    tokens = tuple(np.array(window, dtype=np.int64) for window in windows)
    return ToolCalls(tokens, tuple(picks))


def picked(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Index of the tool that is picked, for `(picks, tools)` logits."""
    best: npt.NDArray[np.intp] = logits.argmax(axis=1)
    return best


def _turn(question: dict[str, str], tool: str) -> str:
    call = json.dumps({"tool": tool, "input": question["argument"]})
    return f"\nQuestion: {question['text']}\n{call}\n"


def _first_difference(versions: Sequence[Sequence[int]]) -> int:
    shortest = min(map(len, versions))
    for at in range(shortest):
        if len({version[at] for version in versions}) > 1:
            return at
    return shortest - 1
