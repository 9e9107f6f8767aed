"""Task suites: tasks with deterministic checkers, and the documents they are about."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from edgeagent.config.spec import Spec


class Category(StrEnum):
    """What a task tests."""

    ARITHMETIC = "arithmetic"
    """A word problem whose numbers need computing."""
    LOOKUP = "lookup"
    """A fact of the shipped fictional documents, which no model can know."""
    LOOKUP_COMPUTE = "lookup_compute"
    """A fact of the documents that must then be computed with."""
    LANGUAGE = "language"
    """Plain language, no tool needed."""
    NO_TOOL = "no_tool"
    """A tool is at hand, and using one would be wrong."""


class NumberCheck(Spec):
    """Solved if the last number of the answer that the question does not state is the expected."""

    kind: Literal["number"]
    value: float
    rel_tol: float = Field(default=1e-3, ge=0, lt=1)
    """Relative tolerance, to allow for rounding."""


class MatchCheck(Spec):
    """Solved if one of the expected phrases stands in the normalized answer as whole words."""

    kind: Literal["match"]
    any_of: tuple[str, ...] = Field(min_length=1)
    none_of: tuple[str, ...] = ()
    """Phrases that make the answer wrong, such as the opposite label of a classification."""
    max_words: int | None = Field(default=None, ge=1)
    """Answers with more words are wrong: naming every candidate is not answering."""


Check: TypeAlias = Annotated[NumberCheck | MatchCheck, Field(discriminator="kind")]


class TaskSpec(Spec):
    """One task of a suite."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    category: Category
    question: str = Field(min_length=1, max_length=4000)
    check: Check
    forbid_tools: bool = False
    """Whether calling any tool makes the task unsolved."""


class SuiteSpec(Spec):
    """A suite file, `suite.toml` in a folder of its own."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    version: int = Field(ge=1)
    description: str
    documents: str | None = None
    """Folder of text documents beside the suite file, searched by the search tool."""
    task: tuple[TaskSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> SuiteSpec:
        ids = [task.id for task in self.task]
        if repeated := sorted({task_id for task_id in ids if ids.count(task_id) > 1}):
            raise ValueError(f"task ids appear twice: {', '.join(repeated)}")
        return self
