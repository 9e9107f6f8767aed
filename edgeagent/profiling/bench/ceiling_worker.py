"""The worker of `ceilings`: measures the device's own limits once in a fresh process.

Started as `python -m edgeagent.profiling.bench.ceiling_worker` with a `CeilingJob` on standard
input; writes one `CeilingReply`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable

import psutil

from edgeagent.config.child import private_stdout
from edgeagent.errors import EdgeAgentError
from edgeagent.profiling.bench.caches import last_level_cache_bytes
from edgeagent.profiling.bench.integer_rate import KERNELS, measure_integer_rate
from edgeagent.profiling.bench.memory_bandwidth import (
    REDUCTIONS,
    buffer_bytes,
    measure_bandwidth,
)
from edgeagent.profiling.bench.messages import CeilingJob, CeilingReply
from edgeagent.record.bench import CeilingReading


def main() -> int:
    """Measure; return the exit code."""
    pipe = private_stdout()
    try:
        reply = measure(CeilingJob.model_validate_json(sys.stdin.readline()))
    except EdgeAgentError as error:
        reply = CeilingReply(failed=str(error))
    except Exception as error:  # the parent shows it; a traceback would tell its user nothing
        reply = CeilingReply(failed=f"{type(error).__name__}: {error}")
    print(reply.model_dump_json(), file=pipe, flush=True)
    return 1 if reply.failed else 0


def measure(job: CeilingJob) -> CeilingReply:
    """Measure all kernels in the random order of the job's seed."""
    readings: list[CeilingReading] = []
    notes: list[str] = []
    cache = last_level_cache_bytes()
    total = buffer_bytes(cache, psutil.virtual_memory().available)
    if total is None:
        notes.append(
            "The memory bandwidth was not measured: too little memory is free to read more than "
            "the caches hold."
        )
    else:
        readings += measure_bandwidth(
            job.threads, total, _shuffled(REDUCTIONS, job.seed, job.round), job.round
        )
    readings += measure_integer_rate(
        job.threads,
        _shuffled(KERNELS, job.seed, job.round),
        allow_spinning=job.allow_spinning,
        round_=job.round,
    )
    return CeilingReply(readings=tuple(readings), cache_bytes=cache, notes=tuple(notes))


def _shuffled(names: Iterable[str], *seed: int) -> tuple[str, ...]:
    order = sorted(names)
    random.Random("/".join(map(str, seed))).shuffle(order)
    return tuple(order)


if __name__ == "__main__":
    sys.exit(main())
