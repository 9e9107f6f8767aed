"""`python -m edgeagent`, for when the scripts folder is not on the PATH."""

from edgeagent.cli import main

main(prog_name="edgeagent")
