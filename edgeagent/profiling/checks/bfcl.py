"""The rule of the Berkeley function-calling leaderboard, applied by its own checker.

In categories of relevance only the presence of a call counts: none where no function fits the
question, at least one where some does. Everything else is for the checker in the wheel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgeagent.config.checks import BfclCheck
from edgeagent.profiling.bfcl_wheel import check_calls, language_of
from edgeagent.profiling.checks.calls import MadeCall

_MAX_SOURCE_CHARS = 1000
_COSTLY = re.compile(r"\s{10}|(?:\[[^\[]*){16}")
"""What the patterns that read source text of other languages take exponential time for."""


def bfcl_solved(check: BfclCheck, made: Sequence[MadeCall]) -> bool:
    """Apply the benchmark's rule (see the module) to the calls of one outcome.

    Raises:
        ConfigError: The benchmark's wheel is not installed.
    """
    if "irrelevance" in check.category:
        return not made
    if "relevance" in check.category:
        return bool(made)
    if language_of(check.category) != "python" and any(map(_is_costly, made)):
        return False
    calls = [{call.name: dict(call.arguments)} for call in made]
    return check_calls(check.category, check.functions, calls, check.ground_truth)


def _is_costly(call: MadeCall) -> bool:
    """Whether an argument is longer or deeper than any right one, and slow to tell wrong."""
    return any(
        isinstance(value, str) and (len(value) > _MAX_SOURCE_CHARS or _COSTLY.search(value))
        for value in call.arguments.values()
    )
