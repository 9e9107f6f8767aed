"""The Python tool: what models write, what they are told."""

from __future__ import annotations

import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from edgeagent.agent.tools.protocol import Grounded, offers
from edgeagent.agent.tools.python import PythonTool, SandboxLimits, support
from edgeagent.agent.tools.python import tool as tool_module
from edgeagent.agent.tools.python.support import Support, find_layers, sandbox_support
from edgeagent.agent.tools.python.tool import answer, plain_code
from edgeagent.agent.tools.sandbox.plan import Layers, Plan
from edgeagent.agent.tools.sandbox.process import Ending, Finished, run_confined
from edgeagent.errors import ResourceError, ToolError

needs_sandbox = pytest.mark.skipif(
    not sandbox_support().offered, reason=f"no sandbox here: {sandbox_support().reason}"
)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Forget what this machine offers, before and after."""
    sandbox_support.cache_clear()
    yield
    sandbox_support.cache_clear()


def run(code: str) -> str:
    return PythonTool().run({"code": code})


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('a')\nprint('b')", "a\nb"),
        ("2 ** 100", str(2**100)),
        ("print('sum:')\nsum([1, 2])", "sum:\n3"),
        ("x = 5 * 3", "x = 15"),
        ("'text'", "text"),
        ("```python\nprint(3)\n```", "3"),
        ("import sys\nprint('w', file=sys.stderr)", "w"),
        ("print('ü€\\ud800')", "ü€?"),
        ("import sys\nsys.exit()\nprint(1)", None),
        ("pass", None),
        (
            "import csv, datetime, decimal, fractions, hashlib, itertools, json, math, random, re\n"
            "import calendar, collections, functools, heapq, statistics, string, textwrap\n"
            "print(statistics.mean([1, 3]), hashlib.sha256(b'').hexdigest()[:4])",
            "2 e3b0",
        ),
        (
            "import os\nopen('a', 'w').write('kept')\nos.mkdir('d'); os.rename('a', 'd/b')\n"
            "print(open('d/b').read(), os.listdir('.'))",
            "kept ['d']",
        ),
    ],
)
def test_what_code_comes_to(code: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ToolError, match=r"end it with print"):
            run(code)
    else:
        assert run(code) == expected


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = 1\nprint(y)", r"^NameError: name 'y' is not defined in line 2: print\(y\)$"),
        ("print(7)\n1/0", r"ZeroDivisionError.* in line 2: 1/0 \(printed before that: 7\)$"),
        ("def f(:", r"^SyntaxError: .* in line 1: def f\(:$"),
        ("import numpy as np", "only Python's standard library is installed"),
        ("input('n? ')", "there is no input"),
        ("open('/etc/hostname')", "no files but those the code makes, no network"),
        ("import socket\nsocket.socket()", "no network"),
        ("bytearray(10**12)", "MemoryError.*256 MiB"),
        ("raise KeyboardInterrupt", "^KeyboardInterrupt in line 1"),
        ("class E(Exception):\n __str__ = None\nraise E", "^E in line 3"),
        ("import sys\nsys.stdout.close()", "^ValueError"),
        ("import os\nos.abort()", "ended by the system"),
        ("import os\nos._exit(1)", "^the code ended with an error$"),
    ],
)
def test_what_is_told_of_an_error(code: str, told: str) -> None:
    with pytest.raises(ToolError, match=told) as caught:
        run(code)
    assert len(str(caught.value)) < 600
    assert "Traceback" not in str(caught.value)


@needs_sandbox
def test_the_same_code_gives_the_same_answer_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first, second = (run("print(sorted(globals()), hash('a'), {'b', 'c', 'd'})") for _ in range(2))
    assert first == second
    assert run("import os; print(os.listdir('.'), sys.argv if 'sys' in dir() else 0)") == "[] 0"
    assert run("import sys; print([m for m in sys.modules if 'edgeagent' in m])") == "[]"
    assert list(tmp_path.iterdir()) == []
    # What it loads itself is paid at every call.
    heavy = "import sys; print({'pydantic', 'numpy', 'psutil', 'dataclasses'} & set(sys.modules))"
    assert run(heavy) == "set()"


@needs_sandbox
def test_limits_are_the_callers() -> None:
    with pytest.raises(ToolError, match=r"did not finish within 0\.5 s"):
        PythonTool(SandboxLimits(wall_s=0.5)).run({"code": "import time\ntime.sleep(60)"})
    shown = PythonTool(SandboxLimits(output_bytes=50)).run({"code": "print('x' * 100)"})
    assert shown == "x" * 50 + "\n(stopped after 50 bytes of output)"


def test_code_is_taken_out_of_fences_and_indentation() -> None:
    assert plain_code("Here:\n```py\nx = 1\nx\n```\nDone.") == "x = 1\nx"
    assert plain_code("```\nx") == "x"
    assert plain_code("    x = 1\n    x") == "x = 1\nx"


@pytest.mark.parametrize("arguments", [{}, {"code": ""}, {"code": 3}, {"code": "x" * 30_000}])
def test_wrong_arguments_are_told(arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError):
        PythonTool().run(arguments)


@pytest.mark.parametrize("ending", Ending)
def test_every_ending_is_told(ending: Ending) -> None:
    finished = Finished(ending, "printed", "message", 1.0)
    if ending in {Ending.DONE, Ending.OUTPUT}:
        assert answer(finished, SandboxLimits()).startswith("printed\nmessage")
    else:
        with pytest.raises(ToolError, match=r"^[a-zA-Z].*"):
            answer(finished, SandboxLimits())


@pytest.mark.parametrize(
    ("question", "offered"),
    [
        ("What is 12 times 7?", True),
        ("How many vowels are in 'strawberry'? Count the letters.", True),
        ("Who wrote the report?", False),
    ],
)
def test_small_models_are_offered_it_for_work_it_can_do(question: str, offered: bool) -> None:
    tool = PythonTool()
    assert isinstance(tool, Grounded)
    found = offers([tool], question, [], narrow=True)
    assert bool(found) == offered
    if found:
        properties = cast("dict[str, Any]", found[0].parameters["properties"])
        pattern = re.compile(properties["code"]["pattern"])
        assert pattern.fullmatch("print(sum(c in 'aeiou' for c in 'banana'))")
        assert not pattern.fullmatch("x = 1\nprint(x)")
        assert not pattern.fullmatch('print("a")')


@needs_sandbox
def test_the_example_is_true() -> None:
    (example,) = PythonTool.examples
    assert (run(str(example.turns[0].calls[0].arguments["code"])),) == example.observations


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("system", ["Darwin", "Windows", "FreeBSD"])
def test_it_is_not_offered_on_other_systems(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    found = sandbox_support()
    assert not found.offered
    assert "use Linux" in found.reason
    with pytest.raises(ToolError, match="cannot be run here"):
        run("print(1)")


@pytest.mark.usefixtures("fresh")
def test_it_is_not_offered_by_a_program_that_is_no_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not sandbox_support().offered


def scripted(monkeypatch: pytest.MonkeyPatch, *runs: Finished | Exception) -> list[Layers]:
    """Let the next runs end like this, and return the layers they were to have."""
    asked: list[Layers] = []
    outcomes = iter(runs)

    def run(code: str, limits: SandboxLimits, layers: Layers) -> Finished:
        asked.append(layers)
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(support, "run_confined", run)
    return asked


def missing(layer: str) -> Finished:
    return Finished(Ending.LAYER_MISSING, "", f"{layer}: Operation not permitted", 0.1)


HOLDS = Finished(Ending.DONE, "[]\n", "", 0.1)


def test_what_a_machine_lacks_is_left_out_down_to_the_least_that_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = scripted(monkeypatch, missing("namespaces"), HOLDS)
    assert find_layers().plan == Layers(namespaces=False)
    assert asked == [Layers(), Layers(namespaces=False)]
    scripted(monkeypatch, missing("landlock"), HOLDS)
    assert find_layers().layers == ("seccomp", "namespaces", "resource limits")
    for runs in (
        [missing("seccomp")],
        [missing("namespaces"), missing("landlock")],
        [missing("limits")],
        [ResourceError("no processes left.")],
        [Finished(Ending.FAILED, "", "no module", 0.1)],
        [Finished(Ending.DONE, "not json", "", 0.1)],
        [Finished(Ending.DONE, '["read files"]', "", 0.1)],
    ):
        scripted(monkeypatch, *runs)
        found = find_layers()
        assert not found.offered
        assert found.reason
        assert found.plan is None
    assert "can read files" in found.reason


@needs_sandbox
def test_code_is_not_run_when_a_layer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Plan(Layers(), SandboxLimits(), "/nowhere", 1).to_json()
    monkeypatch.setattr(Plan, "to_json", lambda plan: wrong)
    finished = run_confined("print(1)", SandboxLimits(), Layers())
    assert finished.ending is Ending.LAYER_MISSING
    assert finished.output == ""
    plan = Support(offered=True, plan=Layers())
    monkeypatch.setattr(tool_module, "sandbox_support", lambda: plan)
    with pytest.raises(ToolError, match="cannot be run here any more"):
        run("print(1)")


def test_a_plan_survives_its_way() -> None:
    plan = Plan(Layers(landlock=False), SandboxLimits(wall_s=1.5), "/tmp/ü", 7)
    assert Plan.from_json(plan.to_json()) == plan
