"""Questions about financial reports in the manner of FinQA, from a local copy.

A JSON array (or one object a line) of reports: `pre_text` and `post_text` (sentences), `table`
(rows of cells), and `qa` with `question`, `exe_ans` (a number, or "yes" and "no") and `answer` (as
it was written, with its percent sign). The text and table become the context of the task.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeagent.agent.numbers import numbers_in
from edgeagent.config.json_lines import read_json, read_json_lines
from edgeagent.config.spec import parse_spec
from edgeagent.config.suite import SuiteSpec, TaskSpec
from edgeagent.config.suites import Suite
from edgeagent.errors import ConfigError
from edgeagent.profiling.suites.gsm8k import local_file
from edgeagent.profiling.suites.sampling import digest_of, draw

CATEGORY = "financial_qa"

REL_TOL = 0.01
"""Answers are rounded in words ("about 23 %"), and reports round their own figures."""


def load_finqa(asked: str) -> Suite:
    """Return the questions of a file as a suite.

    Args:
        asked: The file's path, with an optional `@N`.

    Raises:
        ConfigError: The file cannot be read, or a row is not a question about a report.
    """
    path, count = local_file(asked)
    tasks = tuple(_task(row, where, number) for number, (where, row) in enumerate(_rows(path), 1))
    if not tasks:
        raise ConfigError(f"{path} holds no question.")
    tasks = draw(tasks, count, "finqa")
    spec = SuiteSpec(
        name="finqa",
        version=1,
        description=f"Questions about financial reports of {path.name}.",
        task=tasks,
    )
    return Suite(spec, path.parent, None, digest_of("finqa", tasks))


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every report and where it stands."""
    if path.suffix.lower() == ".jsonl":
        for number, row in read_json_lines(path):
            yield f"{path}, line {number}", row
        return
    value = read_json(path)
    if not isinstance(value, list):
        raise ConfigError(f"{path} is not an array of reports.")
    for number, row in enumerate(value, 1):
        where = f"{path}, entry {number}"
        if not isinstance(row, dict):
            raise ConfigError(f"{where} is not an object.")
        yield where, row


def _task(row: Mapping[str, Any], where: str, number: int) -> TaskSpec:
    qa = row.get("qa")
    if not isinstance(qa, dict) or not isinstance(qa.get("question"), str):
        raise ConfigError(f"{where} has no qa with a question.")
    parts = (
        _sentences(row.get("pre_text", ()), where, "pre_text"),
        _table(row.get("table", ()), where),
        _sentences(row.get("post_text", ()), where, "post_text"),
    )
    task = {
        "id": f"finqa-{number}",
        "category": CATEGORY,
        "question": qa["question"],
        "context": "\n\n".join(filter(None, parts)),
        "check": _check(qa, where),
    }
    return parse_spec(task, TaskSpec, where=where)


def _check(qa: Mapping[str, Any], where: str) -> dict[str, object]:
    """Return the check: a number, or a choice of yes and no."""
    written = qa.get("answer")
    written = written.strip() if isinstance(written, str) else ""
    result = qa.get("exe_ans", written)
    if isinstance(result, str):
        word = result.strip().lower()
        if word in {"yes", "no"}:
            return {"kind": "choice", "labels": ["yes", "no"], "value": word}
        found = numbers_in(result)
        result = found[-1] if found else None
        # Taken from the text, 23.4 % is 23.4 there and 0.234 in a computation.
        if result is not None and word.endswith("%"):
            result /= 100
    if isinstance(result, bool) or not isinstance(result, int | float):
        raise ConfigError(f"{where} has neither a number nor yes or no as exe_ans or answer.")
    try:
        value = float(result)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ConfigError(f"{where} has an answer that is no finite number.")
    check: dict[str, object] = {"kind": "number", "value": value, "rel_tol": REL_TOL}
    if written.endswith("%"):
        check["or_values"] = [100 * value]
    return check


def _sentences(found: Any, where: str, key: str) -> str:
    if isinstance(found, str):
        return found.strip()
    if not isinstance(found, list | tuple) or not all(isinstance(text, str) for text in found):
        raise ConfigError(f"{where}: {key} is not a list of sentences.")
    return " ".join(text.strip() for text in found if text.strip() not in {"", "."})


def _table(rows: Any, where: str) -> str:
    """Return a table as lines with bars between the cells."""
    if not isinstance(rows, list | tuple):
        raise ConfigError(f"{where}: table is not a list of rows.")
    lines = []
    for row in rows:
        if not isinstance(row, list) or not all(
            isinstance(cell, str | int | float) for cell in row
        ):
            raise ConfigError(f"{where}: table has a row that is not a list of cells.")
        lines.append(f"| {' | '.join(str(cell).strip() for cell in row)} |")
    return "\n".join(lines)
