from __future__ import annotations

import sys
from pathlib import Path

import check
import pytest

PYTEST = ["-m", "pytest", "--numprocesses", str(check.TEST_PROCESSES), "--dist", "loadfile"]


def steps(*arguments: str) -> dict[str, list[str]]:
    own, pytest_arguments = check._split(list(arguments))
    python = Path("env", "bin", "python")
    return check._steps(python, check._parse(own), pytest_arguments)


def test_everything_by_default() -> None:
    commands = steps()
    assert tuple(commands) == check.CHECKS == ("lint", "format", "types", "layers", "tests")
    assert commands["tests"][1:] == PYTEST
    assert commands["layers"][0] == str(Path("env", "bin", "lint-imports"))


def test_extent_of_the_tests() -> None:
    assert steps("--fast")["tests"][1:] == [*PYTEST, "tests/unit"]
    assert steps("--heavy")["tests"][1:] == [*PYTEST, "-m", "heavy or not heavy"]
    chosen = steps("--fast", "--", "-k", "gguf", "--", "x")["tests"]
    assert chosen[-5:] == ["tests/unit", "-k", "gguf", "--", "x"]
    assert tuple(steps("--only", "types", "lint")) == ("types", "lint")
    with pytest.raises(SystemExit):
        steps("--fast", "--heavy")


def test_all_checks_run_and_failures_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    good = [sys.executable, "-c", "print('good')"]
    bad = [sys.executable, "-c", "raise SystemExit('bad')"]
    assert check._run_all({"lint": bad, "types": good, "tests": bad}) == 1
    out, err = capfd.readouterr()
    assert out.endswith("\nFAILED: lint, tests\n")
    assert "== types: passed in" in out
    assert "good" in out
    assert err.split() == ["bad", "bad"]

    assert check._run_all({"lint": good}) == 0
    assert capfd.readouterr().out.endswith("\nall checks passed\n")
