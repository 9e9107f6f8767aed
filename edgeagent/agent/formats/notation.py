"""How values are written in calls: JSON, or Python's literals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notation:
    """How the constants are written; all other values look alike in JSON and Python."""

    true: str
    false: str
    null: str

    def write(self, value: object) -> str:
        """Return a value as the grammar of its schema has it, if its fields are in order.

        Raises:
            TypeError: It is not a JSON value.
        """
        if value is None:
            return self.null
        if isinstance(value, bool):
            return self.true if value else self.false
        if isinstance(value, Mapping):
            fields = (f"{quoted(str(key))}: {self.write(item)}" for key, item in value.items())
            return f"{{{', '.join(fields)}}}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self.write, value))}]"
        return quoted(value)


JSON = Notation("true", "false", "null")
PYTHON = Notation("True", "False", "None")


def quoted(value: object) -> str:
    """Return a text or number as both notations have it."""
    # The grammar's strings have no raw DEL, which JSON allows.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
