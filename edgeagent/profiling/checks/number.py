"""The number rule.

The last number of the answer that the question does not state must equal an expected one. Numbers
repeated from the question ("96.60 for 14 tickets") are skipped, unless an expected number is itself
in the question; then simply the last number counts. What is read as a number is defined in
`edgeagent.agent.numbers`; an answer without any digit may spell it.
"""

from __future__ import annotations

import math

from edgeagent.agent.numbers import numbers_in, spelled_numbers_in
from edgeagent.config.checks import NumberCheck

_ABS_TOL = 1e-9
"""Lets an expected zero be met; far below any answer's precision."""


def number_solved(check: NumberCheck, question: str, answer: str) -> bool:
    """Apply the number rule (see the module) to one answer."""

    def is_expected(value: float) -> bool:
        return any(
            math.isclose(value, expected, rel_tol=check.rel_tol, abs_tol=_ABS_TOL)
            for expected in (check.value, *check.or_values)
        )

    stated = numbers_in(question) + spelled_numbers_in(question)
    found = numbers_in(answer) or spelled_numbers_in(answer)
    if not any(map(is_expected, stated)):
        found = [value for value in found if value not in stated]
    return bool(found) and is_expected(found[-1])
