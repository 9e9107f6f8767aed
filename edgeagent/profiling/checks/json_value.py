"""The JSON rule: the first JSON value in an answer equals the expected one.

The value may stand in a code fence or between words; the first object or array that can be read
counts, or the whole answer if it is a bare value. Numbers are equal within a tolerance, whether
written as 3 or 3.0; true and 1 are not.
"""

from __future__ import annotations

import json
import math

from pydantic import JsonValue

from edgeagent.config.checks import JsonCheck

_MAX_STARTS = 50
"""How many brackets are tried: each try may read the rest of the answer."""

_ABS_TOL = 1e-9


def json_solved(check: JsonCheck, answer: str) -> bool:
    """Apply the JSON rule (see the module) to one answer."""
    try:
        found = first_json(answer)
        return _equal(check, check.value, found)
    except (ValueError, RecursionError, OverflowError):  # no JSON, or one without bounds
        return False


def first_json(answer: str) -> JsonValue:
    """Return the first JSON value of an answer.

    Raises:
        ValueError: There is none.
    """
    decoder = json.JSONDecoder()
    text = answer.strip()
    value: JsonValue
    try:
        value = decoder.decode(text)
    except ValueError:
        starts = [at for at, character in enumerate(text) if character in "[{"]
        for at in starts[:_MAX_STARTS]:
            try:
                value, _ = decoder.raw_decode(text, at)
            except ValueError:
                continue
            return value
        raise
    return value


def _equal(check: JsonCheck, expected: JsonValue, found: JsonValue) -> bool:
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and (check.extra_keys or len(found) == len(expected))
            and all(
                key in found and _equal(check, value, found[key]) for key, value in expected.items()
            )
        )
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return False
        if check.any_order:
            return _same_items(check, expected, found)
        return all(_equal(check, *pair) for pair in zip(expected, found, strict=True))
    return _same_scalar(check, expected, found)


def _same_scalar(check: JsonCheck, expected: JsonValue, found: JsonValue) -> bool:
    if isinstance(expected, str) and isinstance(found, str):
        texts = [text.strip() for text in (expected, found)]
        if check.ignore_case:
            texts = [text.casefold() for text in texts]
        return texts[0] == texts[1]
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return math.isclose(expected, found, rel_tol=check.rel_tol, abs_tol=_ABS_TOL)
    return expected is None and found is None


def _same_items(check: JsonCheck, expected: list[JsonValue], found: list[JsonValue]) -> bool:
    """Whether each found item has a different expected one.

    Items are taken greedily: equality is nearly transitive, so a better pairing hardly exists.
    """
    left = list(found)
    for item in expected:
        at = next((at for at, other in enumerate(left) if _equal(check, item, other)), None)
        if at is None:
            return False
        del left[at]
    return True
