"""Deterministic checkers: did an outcome solve its task?

No model judges another here. Every rule looks at the answer's text or at the recorded calls alone,
so a run file can be scored again and gives the same result on every machine. A checker is a file
here, a specification in `edgeagent.config.checks` and a line below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeagent.config.checks import (
    BfclCheck,
    CallsCheck,
    ChoiceCheck,
    ExactCheck,
    JsonCheck,
    MatchCheck,
    NumberCheck,
    RefusesCheck,
    RegexCheck,
    SourcedCheck,
)
from edgeagent.config.pattern import found_in
from edgeagent.config.suite import TaskSpec
from edgeagent.profiling.checks.bfcl import bfcl_solved
from edgeagent.profiling.checks.calls import calls_made, calls_solved
from edgeagent.profiling.checks.choice import choice_solved
from edgeagent.profiling.checks.forbidden import says_forbidden
from edgeagent.profiling.checks.json_value import json_solved
from edgeagent.profiling.checks.number import number_solved
from edgeagent.profiling.checks.phrases import exact_solved, match_solved
from edgeagent.profiling.checks.refusal import refuses_solved
from edgeagent.profiling.checks.sources import sourced_solved
from edgeagent.record.outcome import Outcome

__all__ = ["score"]

_Solved = Callable[[Any, TaskSpec, Outcome], bool]
"""Whether an outcome fulfils the check of its task."""

_CHECKERS: Mapping[type, _Solved] = {
    NumberCheck: lambda check, task, outcome: number_solved(check, task.question, outcome.answer),
    MatchCheck: lambda check, _task, outcome: match_solved(check, outcome.answer),
    ExactCheck: lambda check, _task, outcome: exact_solved(check, outcome.answer),
    ChoiceCheck: lambda check, _task, outcome: choice_solved(check, outcome.answer),
    RegexCheck: lambda check, _task, outcome: found_in(
        check.pattern, outcome.answer, ignore_case=check.ignore_case
    ),
    JsonCheck: lambda check, _task, outcome: json_solved(check, outcome.answer),
    CallsCheck: lambda check, _task, outcome: calls_solved(check, calls_made(outcome)),
    SourcedCheck: lambda check, _task, outcome: sourced_solved(check, outcome),
    RefusesCheck: lambda check, task, outcome: refuses_solved(check, task.prompt(), outcome.answer),
    BfclCheck: lambda check, _task, outcome: bfcl_solved(check, calls_made(outcome)),
}


def score(task: TaskSpec, outcome: Outcome) -> bool:
    """Return whether an outcome solves a task; what a model wrote never raises.

    A task with `forbid_tools` is unsolved as soon as any agent of the paradigm called a tool,
    whatever the answer says. Routing to a specialist is not itself a call. One with
    `forbid_phrases` is unsolved if the answer or a call has one of them.

    Raises:
        ConfigError: The task is one of a benchmark whose checker is not installed.
    """
    if task.forbid_tools and calls_made(outcome):
        return False
    if says_forbidden(task.forbid_phrases, outcome):
        return False
    return _CHECKERS[type(task.check)](task.check, task, outcome)
