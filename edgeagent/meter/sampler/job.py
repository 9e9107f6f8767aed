"""What the measured process and its sampler tell each other, one JSON line each.

The parent writes a `SamplerJob` to the sampler's standard input and keeps the pipe open for as long
as it wants samples; the sampler answers `SamplerMessage` lines on its standard output.
"""

from __future__ import annotations

from pydantic import Field

from edgeagent.meter.sampler.pace import TOTAL_SHARE
from edgeagent.record.base import Record
from edgeagent.record.estimate import EstimateLimits
from edgeagent.record.run import RunConfig
from edgeagent.record.samples import SourceInfo


class SamplerJob(Record):
    """What to sample and where to write it.

    Attributes:
        pid: The process whose memory is measured.
        interval_s: Time between two readings of a source that is cheap to read.
        out: The file that `SampleBatch` lines are appended to, absolute.
        config: Configuration of the run, repeated in every batch.
        session: Number of the process within the run.
        root: Folder that stands for `/` instead of this machine's, `None` for this machine.
        cpu_share: Share of one core that the sampler may use; it lengthens its intervals above.
        meters: Meters on the local network that the user asked for, such as `shelly:192.168.1.20`.
        estimate: Powers between which to estimate, `None` unless the user asked for it.
    """

    pid: int
    interval_s: float
    out: str
    config: RunConfig
    session: int
    root: str | None = None
    cpu_share: float = TOTAL_SHARE
    meters: tuple[str, ...] = ()
    estimate: EstimateLimits | None = None


class SamplerSummary(Record):
    """What a sampler did, told when it ends.

    Attributes:
        batches: Lines written.
        samples: Readings written.
        failures: Readings that were tried and gave nothing, those not written included.
        largest_gap_ns: Longest time between two readings of a source that is read every interval.
        gaps_ns: The same for each source of its own.
        stretch: Largest factor by which the intervals were lengthened to stay cheap; 1 if never.
        wall_s: How long it sampled.
        cpu_s: Processor time it used for that, its start and first readings not
            included.
        error: Why it ended before it was asked to, empty if it did not.
    """

    batches: int = 0
    samples: int = 0
    failures: int = 0
    largest_gap_ns: int = 0
    gaps_ns: dict[str, int] = Field(default_factory=dict)
    stretch: float = 1.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    error: str = ""


class SamplerMessage(Record):
    """One line of the sampler: exactly one field is set.

    Attributes:
        ready: Every source that was tried; the first readings are taken.
        failed: Why it could not start.
        summary: It has ended and every batch is written.
    """

    ready: tuple[SourceInfo, ...] | None = None
    failed: str | None = None
    summary: SamplerSummary | None = None
