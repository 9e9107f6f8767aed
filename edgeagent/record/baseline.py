"""Idle baselines: windows in which the device rested, from which net energy is derived."""

from __future__ import annotations

from enum import StrEnum

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.run import RunConfig

BASELINES_NAME = "baselines.jsonl"

MAX_DRIFT = 0.05
"""Largest change of idle power from before to after the task runs, as a share of the power before;
beyond it nobody knows what to subtract."""


class BaselineWhen(StrEnum):
    """On which side of the task runs a baseline lies."""

    BEFORE = "before"
    AFTER = "after"


class BaselineRecord(Record):
    """A window of rest: a line of `baselines.jsonl`.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration of the run.
        session: Number of the process within the run, as in `SampleBatch`.
        when: Before the first or after the last task run of the session.
        model_loaded: Whether the model was in memory. Only such baselines count, because what is
            subtracted is the power of the same device with the same model, doing nothing.
        t0_ns: Start on the monotonic clock.
        t1_ns: Its end.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    session: int
    when: BaselineWhen
    model_loaded: bool
    t0_ns: int
    t1_ns: int
