"""Load pulses: marks in the power of a device by which an external meter's clock is found."""

from __future__ import annotations

from typing import Literal

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.run import RunConfig

PULSES_NAME = "pulses.jsonl"


class PulseRecord(Record):
    """A group of load pulses of one process of a run: a line of `pulses.jsonl`.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration.
        session: Number of the process within the run, as in `samples.jsonl`.
        position: Before the first task or behind the last one.
        t0_ns: When the group began, on the monotonic clock; it begins and ends with quiet.
        t1_ns: When it ended.
        busy: Start and end of each pulse, in order of time.
        workers: Threads that computed.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    session: int
    position: Literal["start", "end"]
    t0_ns: int
    t1_ns: int
    busy: tuple[tuple[int, int], ...]
    workers: int
