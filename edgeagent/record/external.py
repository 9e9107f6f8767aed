"""What an external meter recorded during a run, brought to the clock of the run."""

from __future__ import annotations

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.run import RunConfig
from edgeagent.record.samples import Sample, SourceInfo

EXTERNAL_NAME = "external.jsonl"


class ClockAlignment(Record):
    """How the meter's clock was brought to the clock of the run.

    A moment `t` of the meter, in seconds since the recording began, is `t0_ns + t * scale * 1e9`.

    Attributes:
        t0_ns: Moment of the first reading on the monotonic clock.
        scale: Seconds of the run per second of the meter; 1 where only one group of pulses was
            found.
        skew_ppm: `(scale - 1) * 1e6`, `None` where it is not known.
        uncertainty_s: Moments are right to this within the attached readings, at about 95 %.
        correlation: Of the readings with the pulses, 1 for a perfect match.
        groups: Groups of pulses that were found.
    """

    t0_ns: int
    scale: float
    skew_ppm: float | None
    uncertainty_s: float
    correlation: float
    groups: int


class ExternalBatch(Record):
    """Readings of an external meter: a line of `external.jsonl`.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration.
        session: The process of the run that they belong to.
        source: The meter; its state is always `ok`.
        samples: Its readings; `width_ns` is twice the uncertainty of their time.
        alignment: How their times came about.
        file_name: The recording, without its folder.
        file_sha256: Its hash.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    session: int
    source: SourceInfo
    samples: tuple[Sample, ...]
    alignment: ClockAlignment
    file_name: str
    file_sha256: str
