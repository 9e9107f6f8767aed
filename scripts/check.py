"""Run every check of this project: lint, format, types, import layers, tests.

    python3 scripts/check.py [--fast | --heavy] [--only CHECK ...] [-- PYTEST ARGUMENTS]

Needs nothing but Python: the tools are installed into the virtual environment `.venv` beside
`pyproject.toml` first. All checks run even if one fails; the exit status is 1 if any did.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from environment import ROOT, SetupError, child_environment, fail, prepare

TEST_PROCESSES = min(4, os.cpu_count() or 1)
CHECKS = ("lint", "format", "types", "layers", "tests")
"""In order of cost."""


def main() -> int:
    """Run the checks and return the exit status."""
    # A shell starts background jobs with Ctrl-C ignored, which tests of Ctrl-C would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own, pytest_arguments = _split(sys.argv[1:])
    options = _parse(own)
    try:
        python = prepare(groups=("dev", "questions"))
        return _run_all(_steps(python, options, pytest_arguments))
    except SetupError as error:
        fail(error)
    except KeyboardInterrupt:
        return 130


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Divide the arguments at the first `--`."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="check.py",
        description="Run lint, format, type, layer checks and the tests.",
        epilog="What follows -- goes to pytest, as in: check.py -- -k tokenizer -x",
    )
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--fast", action="store_true", help="of the tests, only tests/unit")
    extent.add_argument("--heavy", action="store_true", help="also the tests marked heavy")
    parser.add_argument(
        "--only", nargs="+", choices=CHECKS, metavar="CHECK", help=f"of {', '.join(CHECKS)}"
    )
    return parser.parse_args(arguments)


def _steps(
    python: Path, options: argparse.Namespace, pytest_arguments: list[str]
) -> dict[str, list[str]]:
    """Return the commands by name."""
    # Tests of one file stay in one process: many share what their module made.
    tests = ["pytest", "--numprocesses", str(TEST_PROCESSES), "--dist", "loadfile"]
    if options.fast:
        tests.append("tests/unit")
    if options.heavy:
        tests += ["-m", "heavy or not heavy"]
    commands = {
        "lint": ["ruff", "check"],
        "format": ["ruff", "format", "--check"],
        "types": ["mypy"],
        "layers": ["lint-imports"],
        "tests": tests + pytest_arguments,
    }
    chosen = options.only or CHECKS
    return {name: [*_program(python, commands[name][0]), *commands[name][1:]] for name in chosen}


def _program(python: Path, name: str) -> list[str]:
    """Return how to start a tool; by module where it can, which survives long paths."""
    if name == "lint-imports":  # its cache misses modules that appear
        return [str(python.with_name(name + python.suffix)), "--no-logo", "--no-cache"]
    return [str(python), "-m", name]


def _run_all(steps: dict[str, list[str]]) -> int:
    failed = []
    for name, command in steps.items():
        print(f"\n== {name}", flush=True)
        t0_s = time.monotonic()
        status = subprocess.run(command, cwd=ROOT, env=child_environment(), check=False).returncode
        took_s = time.monotonic() - t0_s
        print(f"== {name}: {'passed' if status == 0 else 'FAILED'} in {took_s:.1f} s", flush=True)
        if status != 0:
            failed.append(name)
    print(f"\nFAILED: {', '.join(failed)}" if failed else "\nall checks passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
