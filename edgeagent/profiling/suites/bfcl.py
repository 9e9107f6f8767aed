"""Questions of the Berkeley function-calling leaderboard, read from the wheel `bfcl-eval`.

`bfcl:simple_python,irrelevance@50` is all of the first category and 50 questions of the second.
Every question of these categories takes one turn of calls; categories that run programs or hold
conversations are not among them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeagent.config.json_lines import read_json_lines
from edgeagent.config.spec import parse_spec
from edgeagent.config.suite import SuiteSpec, TaskSpec
from edgeagent.config.suites import Suite
from edgeagent.errors import ConfigError
from edgeagent.profiling.bfcl_wheel import wheel_folder, wheel_version
from edgeagent.profiling.suites.bfcl_schema import function_spec
from edgeagent.profiling.suites.sampling import digest_of, draw, split_count

CATEGORIES = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
    "simple_java",
    "simple_javascript",
)

_WITHOUT_ANSWERS = frozenset({"irrelevance", "live_irrelevance", "live_relevance"})
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def load_bfcl(asked: str) -> Suite:
    """Return a suite of one or several categories.

    Args:
        asked: Categories separated by commas, each with an optional `@N`.

    Raises:
        ConfigError: The wheel is not installed or damaged, or a category is unknown or named twice.
    """
    wanted = [split_count(part.strip()) for part in asked.split(",")]
    _check_names([name for name, _ in wanted])
    data, version = wheel_folder() / "data", wheel_version()
    tasks: list[TaskSpec] = []
    for category, count in wanted:
        tasks += draw(_read_category(data, category), count, f"bfcl/{category}")
    spec = SuiteSpec(
        name="bfcl",
        version=_as_number(version),
        description=f"Berkeley function-calling leaderboard, bfcl-eval {version}: {asked}",
        task=tuple(tasks),
    )
    return Suite(spec, data, None, digest_of(f"bfcl-eval {version}", tasks))


def _check_names(names: list[str]) -> None:
    for name in names:
        if name not in CATEGORIES:
            near = difflib.get_close_matches(name, CATEGORIES, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {CATEGORIES_TEXT}."
            raise ConfigError(f"bfcl has no category {name!r} that can be run here; {hint}")
    if len(set(names)) < len(names):
        raise ConfigError("A category of bfcl is named twice; name each one once.")


CATEGORIES_TEXT = ", ".join(CATEGORIES)


def _read_category(data: Path, category: str) -> tuple[TaskSpec, ...]:
    path = _data_file(data, category)
    answers = _read_answers(path, category)
    found = []
    for number, row in read_json_lines(path):
        where = f"{path}, line {number}"
        try:
            task = _task(row, category, answers)
        except _MALFORMED as error:
            raise ConfigError(f"{where} is not a question of bfcl ({error!r}).") from error
        found.append(parse_spec(task, TaskSpec, where=where))
    if not found:
        raise ConfigError(f"{path} holds no question.")
    return tuple(found)


def _data_file(data: Path, category: str) -> Path:
    """Return the file of a category; its name begins with the benchmark's version."""
    found = sorted(data.glob(f"BFCL_v[0-9]*_{category}.json"))
    found = [path for path in found if path.name.split("_", 2)[2] == f"{category}.json"]
    if not found:
        raise ConfigError(f"{data} has no questions of {category}; reinstall bfcl-eval.")
    return found[-1]


def _read_answers(path: Path, category: str) -> Mapping[str, list[Any]]:
    if category in _WITHOUT_ANSWERS:
        return {}
    answers: dict[str, list[Any]] = {}
    answers_path = path.parent / "possible_answer" / path.name
    for number, row in read_json_lines(answers_path):
        truth = row.get("ground_truth")
        if not isinstance(truth, list) or not truth:
            raise ConfigError(f"{answers_path}, line {number} is not a possible answer of bfcl.")
        answers[str(row.get("id"))] = truth
    return answers


def _task(
    row: Mapping[str, Any], category: str, answers: Mapping[str, list[Any]]
) -> dict[str, object]:
    """Return one question as a task.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, IndexError: It has not the expected shape.
    """
    *earlier, last = row["question"][0]
    if last["role"] != "user":
        raise ValueError("the last message is not the user's")
    return {
        "id": row["id"],
        "category": category,
        "question": last["content"],
        "messages": [{"role": said["role"], "content": said["content"]} for said in earlier],
        "functions": [function_spec(function, category) for function in row["function"]],
        "check": {
            "kind": "bfcl",
            "category": category,
            "functions": row["function"],
            "ground_truth": [] if category in _WITHOUT_ANSWERS else answers[row["id"]],
        },
    }


def _as_number(version: str) -> int:
    """Return 20260323 for 2026.3.23: the versions of suites are numbers."""
    parts = [int(part) for part in version.split(".")[:3] if part.isdigit()]
    year, month, day = [*parts, 0, 0, 0][:3]
    return max(1, 10_000 * year + 100 * month + day)
