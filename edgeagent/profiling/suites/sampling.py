"""Drawing some of the questions of a benchmark, and the digest over those that were drawn."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from typing import TypeVar

from edgeagent.config.suite import TaskSpec
from edgeagent.errors import ConfigError

ItemT = TypeVar("ItemT")

_COUNT = re.compile(r"(?P<what>.*)@(?P<count>[0-9]{1,7})", re.DOTALL)


def split_count(text: str) -> tuple[str, int | None]:
    """Split `what@50` into what and how many; `None` is all.

    Raises:
        ConfigError: None shall be drawn.
    """
    found = _COUNT.fullmatch(text)
    if found is None:
        return text, None
    count = int(found["count"])
    if count == 0:
        raise ConfigError(f"{text!r} draws no question; write a number behind the @.")
    return found["what"], count


def draw(items: Sequence[ItemT], count: int | None, seed: str) -> tuple[ItemT, ...]:
    """Return `count` items in their own order, the same at every call.

    A larger draw contains a smaller one of the same seed. All are returned if there are fewer.

    Args:
        items: What to draw from.
        count: How many, `None` for all.
        seed: Names what is drawn from, so that two categories are not drawn alike.
    """
    if count is None or count >= len(items):
        return tuple(items)
    order = list(range(len(items)))
    random.Random(f"edgeagent/{seed}").shuffle(order)
    return tuple(items[index] for index in sorted(order[:count]))


def digest_of(origin: str, tasks: Sequence[TaskSpec]) -> str:
    """Return the SHA-256 over the tasks that are used, checks included, and where they are from.

    Args:
        origin: The source and its version.
        tasks: The tasks.
    """
    digest = hashlib.sha256(f"{origin}\0".encode())
    for task in tasks:
        content = json.dumps(task.model_dump(mode="json"), sort_keys=True).encode()
        digest.update(f"{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
