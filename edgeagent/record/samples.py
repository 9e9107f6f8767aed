"""Samples: readings of a meter, and the state of each source that was tried."""

from __future__ import annotations

from enum import StrEnum

from edgeagent.record.base import Record


class SampleKind(StrEnum):
    """How a value comes about; estimates never stand in a measured field."""

    COUNTER = "counter"
    SAMPLED = "sampled"
    ESTIMATED = "estimated"


class Scope(StrEnum):
    """What part of the world a reading covers; readings of different scope are never added."""

    WALL = "wall"
    SYSTEM = "system"
    MODULE = "module"
    PACKAGE = "package"
    RAIL = "rail"
    PROCESS = "process"


class SourceState(StrEnum):
    """Whether a source can be read, and if not, why."""

    OK = "ok"
    ABSENT = "absent"
    PERMISSION = "permission"
    UNSUPPORTED = "unsupported"
    STALE = "stale"
    NOT_DISCHARGING = "not_discharging"


class SourceInfo(Record):
    """What a meter measures and whether it can.

    Attributes:
        source: Stable name, such as `rapl:package-0` or `process:rss`.
        quantity: `energy_j`, `power_w`, `rss_bytes`, ... with the unit as suffix.
        kind: Counter, sampled or estimated.
        scope: What the value covers.
        resolution: Smallest step of the value in its unit, `None` if unknown.
        counter_range: Value at which a counter wraps to zero, `None` if it does not.
        total: Name of the sum that this source is an addend of: all sources of one total are needed
            and added, such as the `cpu` packages of a server. `None` for a part of something that
            another source covers already; it stands alone and is never added.
        interval_s: Nominal time between two new values of the source, `None` if each reading is
            new. Integration marks longer holes instead of bridging them.
        max_power_w: No such source delivers more; bounds what can hide between two readings of a
            counter. `None` if unknown.
        state: Whether it can be read.
        reason: One sentence on why not; empty when the state is `ok`.
        remedy: What the user can do about it; empty when there is nothing.
    """

    source: str
    quantity: str
    kind: SampleKind
    scope: Scope
    resolution: float | None = None
    counter_range: float | None = None
    total: str | None = None
    interval_s: float | None = None
    max_power_w: float | None = None
    state: SourceState = SourceState.OK
    reason: str = ""
    remedy: str = ""


class Sample(Record):
    """One reading.

    Attributes:
        source: Name of the source, see `SourceInfo.source`.
        t_ns: Midpoint of the read on the monotonic clock.
        width_ns: How long the read took: the value is from within `t_ns ± width_ns / 2`.
        value: In the unit of the source's quantity.
    """

    source: str
    t_ns: int
    width_ns: int
    value: float


class ReadFailure(Record):
    """A reading that was tried and gave no value; what lies around it may not be bridged.

    Attributes:
        source: Name of the source.
        t_ns: When it was tried, on the monotonic clock.
        state: What the failure says about the source, such as `stale` or `not_discharging`.
        reason: One sentence.
    """

    source: str
    t_ns: int
    state: SourceState
    reason: str
