"""Marks of a run: what happened to the machine meanwhile, and which task runs it touched.

Everything is derived from `conditions.jsonl` and the readings of the run. A mark says that figures
of the task runs named may be worse than the device's; it never removes them. What no source could
tell is listed as not judged: silence there is not a good sign.
"""

from edgeagent.report.conditions.derive import run_conditions
from edgeagent.report.conditions.model import Mark, RunConditions, TaskRef

__all__ = ["Mark", "RunConditions", "TaskRef", "run_conditions"]
