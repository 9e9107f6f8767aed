"""The program of the confined process: reads code, locks itself in, runs the code.

It ends with 0 (standard output is what was printed, standard error what the code comes to), with
`CODE_FAILED` or with `LAYER_MISSING` (standard error says why), or by a signal.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import time

from edgeagent.agent.tools.sandbox.confine import LayerError, confine
from edgeagent.agent.tools.sandbox.evaluate import Result, evaluate, sentence, write_all
from edgeagent.agent.tools.sandbox.plan import Plan

CODE_FAILED = 1
LAYER_MISSING = 90

_PRELOADED = ("decimal", "zlib")
"""Modules made of libraries that lie outside the standard library's folder on some systems."""


def main() -> None:
    """Run the code on standard input under the plan in the first argument; never returns."""
    try:
        plan, code = _locked_in()
    except LayerError as error:
        os._exit(_told(str(error), LAYER_MISSING))
    except Exception as error:  # nothing of the code has run, and nothing will
        os._exit(_told(f"start: {error}", LAYER_MISSING))
    output = _Output()
    _forget_ourselves(output)
    os._exit(_run(code, output, plan.limits.memory_bytes))


def _locked_in() -> tuple[Plan, str]:
    plan = Plan.from_json(sys.argv[1])
    with open(0, "rb", closefd=False) as stdin:
        code = stdin.read().decode("utf-8", "replace")
    _let_go_of_everything_else()
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):  # a small build; code that needs it is told so
            importlib.import_module(name)
    time.localtime()  # reads the system's time zone, which is a file
    confine(plan)
    return plan, code


class _Output(io.TextIOWrapper):
    """Standard output, which knows whether anything was printed."""

    printed = False

    def __init__(self) -> None:
        raw = io.FileIO(1, "w", closefd=False)
        super().__init__(io.BufferedWriter(raw), encoding="utf-8", errors="replace")

    def write(self, text: str) -> int:
        self.printed = True
        return super().write(text)


def _run(code: str, output: _Output, memory_bytes: int) -> int:
    try:
        try:
            result = evaluate(code)
        except SystemExit as stop:
            result = Result(stop.code if isinstance(stop.code, str) else "")
        output.flush()
        text = result.value or ("" if output.printed else result.variable)
    except BaseException as error:  # whatever untrusted code raises is an answer
        told = sentence(error, code, memory_bytes)
        try:
            output.flush()
        except BaseException:  # what it printed is lost, why it failed is not
            return _told(told, CODE_FAILED)
        return _told(told, CODE_FAILED)
    return _told(text, 0)


def _told(text: str, status: int) -> int:
    write_all(2, text)
    return status


def _let_go_of_everything_else() -> None:
    """Keep the two pipes to the parent, and no file that was ever opened before."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - pathlib is not loaded here
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(int(name))


def _forget_ourselves(output: _Output) -> None:
    """Leave nothing of this package to the code, and give it an input and outputs of its own."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "edgeagent"]:
        del sys.modules[name]
    sys.argv[:] = [""]
    sys.stdin = io.StringIO()
    # Warnings and what is written to the error output are for the model as well.
    sys.stdout = sys.stderr = output
