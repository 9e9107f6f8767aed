"""Reports: every metric derived from the records of a run, with intervals and a verdict.

Needs no inference runtime: a run folder measured on a device opens on any machine::

    from pathlib import Path
    from edgeagent.report import load_run, summarize

    summary = summarize(load_run(Path("runs/jetson")))
    print(summary.recommendation.reason)
"""

from __future__ import annotations

from edgeagent.report.load import Run, load_run
from edgeagent.report.model import Summary
from edgeagent.report.summary import summarize
from edgeagent.report.write import write_report

__all__ = ["Run", "Summary", "load_run", "summarize", "write_report"]
