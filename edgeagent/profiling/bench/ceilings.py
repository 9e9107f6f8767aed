"""Measuring the device's own limits from outside, in a process that holds no model."""

from __future__ import annotations

from pydantic import ValidationError

from edgeagent.config.child import JsonChild
from edgeagent.errors import EngineError
from edgeagent.profiling.bench.messages import CeilingJob, CeilingReply

_MODULE = "edgeagent.profiling.bench.ceiling_worker"


def measure_ceilings(job: CeilingJob) -> CeilingReply:
    """Measure once and return all readings.

    Raises:
        EngineError: The process failed.
        ResourceError: It cannot be started.
    """
    child = JsonChild(_MODULE)
    at_once = True
    try:
        child.send(job.model_dump_json())
        reply = _reply(child)
        at_once = False
    finally:
        child.end(at_once=at_once)
    if reply.failed is not None:
        raise EngineError(f"The device's limits cannot be measured: {reply.failed}")
    return reply


def _reply(child: JsonChild) -> CeilingReply:
    while (line := child.receive()) is not None:
        try:
            return CeilingReply.model_validate_json(line)
        except ValidationError:
            continue  # printed by a start-up hook of the interpreter
    raise EngineError(f"The device's limits cannot be measured: {child.last_words()}.")
