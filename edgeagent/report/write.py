"""Writing the report of a run folder beside its data."""

from __future__ import annotations

from pathlib import Path

from edgeagent.record.atomic import write_text
from edgeagent.report.energy.spans_file import spans_csv
from edgeagent.report.load import load_run
from edgeagent.report.markdown import PICTURE_NAME, tradeoff_markdown
from edgeagent.report.model import Summary
from edgeagent.report.scatter import tradeoff_svg
from edgeagent.report.summary import summarize

ENERGY_NAME = "energy.csv"
REPORT_NAME = "report.md"
SUMMARY_NAME = "summary.json"


def write_report(folder: Path) -> Summary:
    """Analyse a run folder and write `summary.json`, `tradeoff.svg` and `report.md` into it.

    Where energy was read, `energy.csv` has that of every span.

    Returns:
        What was written to `summary.json`.

    Raises:
        RunDataError: The run cannot be read or mixes configurations.
        ResourceError: The folder cannot be written; files already there are intact.
    """
    run = load_run(folder)
    summary = summarize(run)
    write_text(folder / SUMMARY_NAME, summary.model_dump_json(indent=2) + "\n")
    write_text(folder / PICTURE_NAME, tradeoff_svg(summary))
    if (spans := spans_csv(run)) is not None:
        write_text(folder / ENERGY_NAME, spans)
    write_text(folder / REPORT_NAME, tradeoff_markdown(summary))
    return summary
