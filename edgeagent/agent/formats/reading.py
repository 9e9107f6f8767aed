"""Reading calls that a model wrote: all formats with calls in JSON read them here."""

from __future__ import annotations

import json
from collections.abc import Mapping

from edgeagent.agent.formats.protocol import Call

_DECODER = json.JSONDecoder()


def read_call(value: object) -> Call:
    """Return the call that a JSON value describes.

    Raises:
        ValueError: It is no call.
    """
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]  # as in OpenAI's responses
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ValueError("a tool call is not an object with a name")
    arguments = value.get("arguments", value.get("parameters"))
    if not isinstance(arguments, Mapping):
        raise ValueError("a tool call is not an object with arguments")
    return Call(value["name"], dict(arguments))


def read_calls(text: str, separators: str = ",;") -> tuple[Call, ...]:
    """Return the calls of a text: an object, objects one after the other, or a list of them.

    If the text was cut off behind a whole call, the whole ones count.

    Raises:
        ValueError: It has no whole call, or something else than calls.
    """
    rest = text.strip()
    rest = rest.removeprefix("[").lstrip() if rest.startswith("[") else rest
    calls: list[Call] = []
    while rest and not rest.startswith("]"):
        try:
            value, end = _DECODER.raw_decode(rest)
        except ValueError as error:
            if calls and rest.startswith("{"):
                break  # cut off
            raise ValueError(f"a tool call is not JSON ({error})") from error
        calls.append(read_call(value))
        rest = rest[end:].lstrip().lstrip(separators).lstrip()
    if not calls:
        raise ValueError("there is no tool call")
    return tuple(calls)
