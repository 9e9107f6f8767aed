"""The one clock of edgeagent: monotonic, in nanoseconds, comparable between processes of one boot.

`time.perf_counter_ns` counts from an arbitrary origin that all processes of a boot share on Linux
(CLOCK_MONOTONIC), macOS (mach time) and Windows (QPC). So a sampler in a subprocess and the spans
of the measured process can be joined by timestamp without any conversion.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

NS_PER_S = 1_000_000_000


def now_ns() -> int:
    """Return the monotonic time in nanoseconds; only differences mean anything."""
    return time.perf_counter_ns()


def utc_now_iso() -> str:
    """Return the wall-clock time as ISO 8601 in UTC, for people and file names, never for maths."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def to_seconds(duration_ns: int) -> float:
    """Convert a duration in nanoseconds to seconds."""
    return duration_ns / NS_PER_S
