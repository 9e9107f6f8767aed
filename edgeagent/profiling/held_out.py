"""Which tasks a profile with memory learns from, which it measures, and what it compares."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeagent.agent.memory.recall import DEFAULT_EXAMPLES, MIN_SIMILARITY
from edgeagent.agent.memory.store import same_question
from edgeagent.agent.paradigms.remembering import SUFFIX, without_memory
from edgeagent.config.suite import TaskSpec
from edgeagent.errors import ConfigError

LEARNER = "single"
"""What is compared with and without memory, unless a paradigm with memory is named."""


@dataclass(frozen=True, slots=True)
class Split:
    """The halves of a suite."""

    learning: tuple[TaskSpec, ...]
    held_out: tuple[TaskSpec, ...]


def split_tasks(tasks: Sequence[TaskSpec], seed: int) -> Split:
    """Split tasks at random into halves that have the categories alike, in the order of the suite.

    Of an odd number the larger half is held out. Tasks that bring functions along call what is
    theirs alone, so there is nothing to learn from them and they are held out too; so is every
    task whose very question is.

    Raises:
        ConfigError: A half is empty.
    """
    by_category: dict[str, list[TaskSpec]] = defaultdict(list)
    for task in tasks:
        if not task.functions:
            by_category[task.category].append(task)
    chosen: set[str] = set()
    for category, group in sorted(by_category.items()):
        shuffled = random.Random(f"{seed}/{category}").sample(group, len(group))
        chosen |= {task.id for task in shuffled[: len(group) // 2]}
    held_out = tuple(task for task in tasks if task.id not in chosen)
    asked = {same_question(task.prompt()) for task in held_out}
    learning = tuple(
        task for task in tasks if task.id in chosen and same_question(task.prompt()) not in asked
    )
    if not learning or not held_out:
        raise ConfigError(
            "The suite is too small to learn from one half and measure on the other; it needs two "
            "tasks of one category at least."
        )
    return Split(learning, held_out)


def with_memory(names: Iterable[str]) -> tuple[str, ...]:
    """Return what is compared: if no name asks for memory, `single` without and with it.

    A paradigm with memory stands behind the one without, which it is compared with.
    """
    found = list(dict.fromkeys(names))
    if not any(name.endswith(SUFFIX) for name in found):
        found.append(LEARNER + SUFFIX)
    result: dict[str, None] = {}
    for name in found:
        result[without_memory(name)] = None
        if name.endswith(SUFFIX) or name + SUFFIX in found:
            result[without_memory(name) + SUFFIX] = None
    return tuple(result)


def memory_protocol(tasks: Sequence[TaskSpec], seed: int) -> dict[str, int | float | None]:
    """Return what the configuration of a run with memory says about it."""
    return {
        "memory_learning_tasks": len(split_tasks(tasks, seed).learning),
        "memory_examples": DEFAULT_EXAMPLES,
        "memory_min_similarity": MIN_SIMILARITY,
    }
