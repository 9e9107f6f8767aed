"""The reference load: a fixed piece of work that tells how fast the machine itself was.

It is run now and then between tasks. Whatever changes its speed (heat, a neighbour on the same
host, another program) changes the figures of the model too, so a comparison of two runs does not
blame a model or a setting for a difference that the machine made.
"""

from __future__ import annotations

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.run import RunConfig

REFERENCE_NAME = "reference.jsonl"


class ReferenceRecord(Record):
    """One run of the reference load: a line of `reference.jsonl`.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration of the run that it belongs to.
        session: Number of the process within the run.
        t0_ns: Start on the monotonic clock.
        t1_ns: Its end.
        threads: Threads that worked, as many as the engine uses.
        compute_ns: Each repetition of the part that computes in registers.
        memory_ns: Each repetition of the part that reads memory.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    session: int
    t0_ns: int
    t1_ns: int
    threads: int
    compute_ns: tuple[int, ...]
    memory_ns: tuple[int, ...]
