"""The command line: `edgeagent COMMAND ...`.

Importing this package must stay light, so that `edgeagent --help` answers at once: commands are
rows of a table here, and their modules are imported when they are used.
"""

from __future__ import annotations

import click

from edgeagent import __version__
from edgeagent.cli.group import LazyGroup

__all__ = ["main"]

COMMANDS = {
    "models": ("edgeagent.cli.models:command", "List, show and download models."),
    "export": ("edgeagent.cli.export:command", "Turn a model into a quantized ONNX package."),
    "run": ("edgeagent.cli.run:command", "Ask a model one question."),
    "profile": ("edgeagent.cli.profile:command", "Measure the paradigms on a suite of tasks."),
    "report": ("edgeagent.cli.report:command", "Show the results of a profile again."),
    "bench": ("edgeagent.cli.bench:command", "Measure raw speed against the device's limits."),
    "tune": ("edgeagent.cli.tune:command", "Find the fastest settings on this device."),
    "compare": ("edgeagent.cli.compare:command", "Compare runs, beyond what the machine did."),
    "memory": ("edgeagent.cli.memory:command", "Look into a memory of answers, and forget."),
    "bundle": ("edgeagent.cli.bundle:command", "Make one archive of a package and its needs."),
    "install": ("edgeagent.cli.install:command", "Verify a bundle and unpack it, offline."),
    "import-power": (
        "edgeagent.cli.import_power:command",
        "Attach a power meter's recording to a run.",
    ),
    "devices": ("edgeagent.cli.devices:command", "List device profiles; which one is this?"),
    "doctor": ("edgeagent.cli.doctor:command", "Check what this device offers and what it lacks."),
}
"""Name: where the click command is, and its line in `edgeagent --help`."""


@click.group(
    cls=LazyGroup,
    commands_table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  edgeagent profile
  edgeagent run smollm2-135m-instruct --paradigm single "What is 17 * 23?"
""",
)
@click.version_option(__version__, prog_name="edgeagent", message="%(prog)s %(version)s")
def main() -> None:
    """Export small language models, run them as agents on this device, and profile them.

    Everything happens on this device; only downloads of models use the network.
    """
