"""The records of what a memory brought."""

from __future__ import annotations

from edgeagent.record.base import Record
from edgeagent.report.interval import Difference


class MemoryGain(Record):
    """A paradigm with memory against the same without, on held-out tasks.

    Attributes:
        paradigm: The one with memory.
        reference: The one without.
        shown_rate: Share of task runs in which an agent was shown examples.
        left_out_rate: Share of task runs in which an answer copied from an example, so that it was
            asked for again without.
        differences: Paired by task: `solved_rate`, `e2e_s`, `prefilled_tokens`, and `energy_j` if
            it was measured.
    """

    paradigm: str
    reference: str
    shown_rate: float
    left_out_rate: float
    differences: dict[str, Difference]


class Learning(Record):
    """What a profile with memory learned, and what that brought.

    Attributes:
        tasks: Tasks of the learning half that were run.
        solved: Those whose answer the checker accepted.
        stored: Those that were clean and so were remembered.
        seconds: Time that learning took.
        gains: For each paradigm with memory.
    """

    tasks: int
    solved: int
    stored: int
    seconds: float
    gains: tuple[MemoryGain, ...]
