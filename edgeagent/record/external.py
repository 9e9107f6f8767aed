"""How the readings of an external meter were brought to the clock of a run.

The readings themselves are `SampleBatch` lines of `external.jsonl` (`EXTERNAL_NAME` in
`edgeagent.record.run`); these records say where they come from and how far to trust their times.
"""

from __future__ import annotations

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.run import RunConfig

ALIGNMENT_NAME = "alignment.jsonl"


class AlignmentRecord(Record):
    """One meter in one session of a run: a line of `alignment.jsonl`.

    A moment `t` of the meter, in seconds since its first reading, is `t0_ns + t * scale * 1e9` on
    the monotonic clock of the session.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration.
        session: Number of the process within the run.
        source: Name of the meter, as in `external.jsonl`.
        file_name: The recording, without its folder.
        file_sha256: Its hash.
        readings: Lines of the recording that had a value.
        missing: Lines that had none.
        t0_ns: Moment of the recording's first reading.
        scale: Seconds of the run per second of the meter; 1 where only one group of load pulses
            was found.
        skew_ppm: `(scale - 1) * 1e6`, `None` where it is not known.
        uncertainty_s: Times of the readings may be this far off, at about 99 %.
        correlation: Of the readings with the load pulses, 1 for a perfect match.
        pulse_groups: Groups of load pulses that were found.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    session: int
    source: str
    file_name: str
    file_sha256: str
    readings: int
    missing: int
    t0_ns: int
    scale: float
    skew_ppm: float | None
    uncertainty_s: float
    correlation: float
    pulse_groups: int
