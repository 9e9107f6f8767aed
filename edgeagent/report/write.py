"""Writing the report of a run folder beside its data."""

from __future__ import annotations

from pathlib import Path

from edgeagent.record.atomic import write_text
from edgeagent.report.load import load_run
from edgeagent.report.markdown import PICTURE_NAME, tradeoff_markdown
from edgeagent.report.model import Summary
from edgeagent.report.scatter import tradeoff_svg
from edgeagent.report.summary import summarize

REPORT_NAME = "report.md"
SUMMARY_NAME = "summary.json"


def write_report(folder: Path) -> Summary:
    """Analyse a run folder and write `summary.json`, `tradeoff.svg` and `report.md` into it.

    Returns:
        What was written to `summary.json`.

    Raises:
        RunDataError: The run cannot be read or mixes configurations.
        ResourceError: The folder cannot be written; files already there are intact.
    """
    summary = summarize(load_run(folder))
    write_text(folder / SUMMARY_NAME, summary.model_dump_json(indent=2) + "\n")
    write_text(folder / PICTURE_NAME, tradeoff_svg(summary))
    write_text(folder / REPORT_NAME, tradeoff_markdown(summary))
    return summary
