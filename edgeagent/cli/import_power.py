"""`edgeagent import-power`: attach what an external power meter recorded to a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

_EXAMPLES = """\b
Examples:
  edgeagent profile --load-pulse --out runs/kitchen      (while the meter records)
  edgeagent import-power runs/kitchen meter.csv
  edgeagent import-power runs/kitchen usb.csv --scope system --name usb-tester --json
"""


@click.command("import-power", epilog=_EXAMPLES)
@click.argument("run_dir", metavar="RUNDIR", type=click.Path(path_type=Path))
@click.argument("recording", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--scope",
    type=click.Choice(["wall", "system"]),
    default="wall",
    show_default=True,
    help="In front of the power supply, or behind it.",
)
@click.option("--name", default="meter", show_default=True, help="What to call the meter.")
@click.option("--column", help="Name of the power column, if several may be meant.")
@click.option("--json", "as_json", is_flag=True, help="Print what was attached as JSON.")
def command(
    *, run_dir: Path, recording: Path, scope: str, name: str, column: str | None, as_json: bool
) -> None:
    """Attach the recording of an external power meter to a run.

    RUNDIR was profiled with --load-pulse while the meter recorded; FILE is the meter's table of
    time and power as CSV. The load pulses tell where in the recording the run is and how far the
    meter's clock is off. Nothing that was measured changes; the same FILE can be imported again.
    """
    from edgeagent.profiling.attach import attach_power
    from edgeagent.record.samples import Scope

    found = attach_power(run_dir, recording, name=name, scope=Scope(scope), column=column)
    if as_json:
        facts = {
            "source": found.source.model_dump(mode="json"),
            "samples": found.samples,
            "mean_power_w": found.mean_power_w,
            "alignments": [
                record.model_dump(mode="json", exclude={"config"}) for record in found.alignments
            ],
            "notes": found.notes,
        }
        click.echo(json.dumps(facts, indent=2))
        return
    for record in found.alignments:
        skew = (
            "rate of its clock unknown (only one group of pulses is in the recording)"
            if record.skew_ppm is None
            else f"its clock is off by {record.skew_ppm:+.0f} ppm"
        )
        click.echo(
            f"load pulses found: correlation {record.correlation:.2f}, times right to "
            f"{record.uncertainty_s * 1000:.0f} ms, {skew}"
        )
    for note in found.notes:
        click.echo(note)
    click.echo(
        f"{found.samples} readings of {found.source.source} attached, mean "
        f"{found.mean_power_w:.2f} W; `edgeagent report {run_dir}` shows them"
    )
