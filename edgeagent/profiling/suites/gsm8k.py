"""Word problems in the manner of GSM8K, from a local copy.

A file with one JSON object a line: `question`, and `answer` whose last line is `#### 42`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edgeagent.config.json_lines import read_json_lines
from edgeagent.config.spec import parse_spec
from edgeagent.config.suite import SuiteSpec, TaskSpec
from edgeagent.config.suites import Suite
from edgeagent.errors import ConfigError
from edgeagent.profiling.suites.sampling import digest_of, draw, split_count

CATEGORY = "word_problem"

_RESULT = re.compile(r"####[ \t]*(?P<sign>-?)[ \t]*[$€£]?(?P<number>[0-9][0-9,]*(?:\.[0-9]+)?)")


def load_gsm8k(asked: str) -> Suite:
    """Return the problems of a file as a suite.

    Args:
        asked: The file's path, with an optional `@N`.

    Raises:
        ConfigError: The file cannot be read, or a row is not a word problem.
    """
    path, count = local_file(asked)
    tasks = tuple(
        _task(row, f"{path}, line {number}", number) for number, row in read_json_lines(path)
    )
    if not tasks:
        raise ConfigError(f"{path} holds no question.")
    tasks = draw(tasks, count, "gsm8k")
    spec = SuiteSpec(
        name="gsm8k", version=1, description=f"Word problems of {path.name}.", task=tasks
    )
    return Suite(spec, path.parent, None, digest_of("gsm8k", tasks))


def local_file(asked: str) -> tuple[Path, int | None]:
    """Split what was asked for into a file and the number of questions to draw.

    Raises:
        ConfigError: No file is named, or no question is to be drawn.
    """
    whole = Path(asked)
    try:
        if asked and whole.is_file():  # its name may have an @
            return whole, None
    except (OSError, ValueError):
        pass
    name, count = split_count(asked)
    if not name.strip():
        raise ConfigError("Name the local file of questions behind the colon.")
    return Path(name), count


def _task(row: Mapping[str, object], where: str, number: int) -> TaskSpec:
    question, answer = row.get("question"), row.get("answer")
    if not isinstance(question, str) or not question.strip():
        raise ConfigError(f"{where} has no text as question.")
    found = list(_RESULT.finditer(answer)) if isinstance(answer, str) else []
    if not found:
        raise ConfigError(f"{where} has no answer that ends in a line such as #### 42.")
    value = float(found[-1]["sign"] + found[-1]["number"].replace(",", ""))
    task = {
        "id": f"gsm8k-{number}",
        "category": CATEGORY,
        "question": question,
        # Whole numbers of things: 17 is not 17.01.
        "check": {"kind": "number", "value": value, "rel_tol": 1e-6},
    }
    return parse_spec(task, TaskSpec, where=where)
