"""The rule for calls: exactly the expected ones were made, with accepted arguments.

Every call that an agent of the paradigm made counts, in the order of the steps. Values are compared
by what they are: 3 equals 3.0, texts are equal without regard to case and to the amount of blanks.
An argument that is not expected makes a call wrong, as does one that is missing and not optional.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from edgeagent.config.checks import CallsCheck, ExpectedCall
from edgeagent.record.outcome import Outcome, StepKind

_REL_TOL = 1e-9


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call that an agent made."""

    name: str
    arguments: Mapping[str, object]


def calls_made(outcome: Outcome) -> tuple[MadeCall, ...]:
    """Return the calls among the steps of an outcome; routing to a specialist is none."""
    return tuple(
        MadeCall(step.tool, step.arguments) for step in outcome.steps if step.kind is StepKind.CALL
    )


def calls_solved(check: CallsCheck, made: Sequence[MadeCall]) -> bool:
    """Apply the rule (see the module) to the calls of one outcome."""
    if len(made) != len(check.calls):
        return False
    if check.in_order:
        return all(_accepts(*pair) for pair in zip(check.calls, made, strict=True))
    return _can_be_paired(check.calls, made)


def _can_be_paired(expected: Sequence[ExpectedCall], made: Sequence[MadeCall]) -> bool:
    """Whether each call can be given to an expectation of its own: augmenting paths."""
    fits = [
        [index for index, call in enumerate(made) if _accepts(expectation, call)]
        for expectation in expected
    ]
    taken: dict[int, int] = {}

    def place(at: int, tried: set[int]) -> bool:
        for index in fits[at]:
            if index not in tried:
                tried.add(index)
                if index not in taken or place(taken[index], tried):
                    taken[index] = at
                    return True
        return False

    return all(place(at, set()) for at in range(len(expected)))


def _accepts(expected: ExpectedCall, call: MadeCall) -> bool:
    required = set(expected.arguments) - set(expected.optional)
    return (
        call.name == expected.name
        and required <= set(call.arguments) <= set(expected.arguments)
        and all(
            any(same_value(value, accepted) for accepted in expected.arguments[name])
            for name, value in call.arguments.items()
        )
    )


def same_value(value: object, accepted: JsonValue) -> bool:
    """Whether an argument is what was expected; false for what has no bounds."""
    try:
        return _same(value, accepted)
    except (RecursionError, OverflowError):
        return False


def _same(value: object, accepted: object) -> bool:
    if isinstance(value, bool) or isinstance(accepted, bool):
        return value is accepted
    if isinstance(value, int | float) and isinstance(accepted, int | float):
        return math.isclose(value, accepted, rel_tol=_REL_TOL)
    if isinstance(value, str) and isinstance(accepted, str):
        return " ".join(value.casefold().split()) == " ".join(accepted.casefold().split())
    if isinstance(value, Mapping) and isinstance(accepted, Mapping):
        return set(value) == set(accepted) and all(
            _same(value[key], accepted[key]) for key in value
        )
    if isinstance(value, list | tuple) and isinstance(accepted, list | tuple):
        return len(value) == len(accepted) and all(map(_same, value, accepted))
    return value is None and accepted is None
