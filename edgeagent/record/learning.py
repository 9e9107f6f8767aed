"""What a profile with memory learned from: a line of `learned.jsonl` for each task of that half."""

from __future__ import annotations

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.run import RunConfig

LEARNED_NAME = "learned.jsonl"
MEMORY_NAME = "memory.sqlite"
"""The memory that was filled, in the run folder."""


class LearnedRecord(Record):
    """One task of the learning half, run once before anything is measured.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration.
        task_id: Task of the suite.
        category: Its category.
        paradigm: What it was run with.
        solved: Whether the checker accepted the answer.
        stored: Whether a trace was remembered.
        reason: Why an accepted answer was not remembered, else empty.
        e2e_s: Seconds that the task took.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    task_id: str
    category: str
    paradigm: str
    solved: bool
    stored: bool
    reason: str = ""
    e2e_s: float
