"""Comparing runs: what is the same must not be told apart, what is slower must be found."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgeagent.cli.compare import REGRESSION_EXIT_CODE, command
from edgeagent.record import jsonl
from edgeagent.record.reference import REFERENCE_NAME, ReferenceRecord
from edgeagent.record.run import TASKS_NAME
from edgeagent.report.comparison.compare import compare_runs
from edgeagent.report.comparison.model import Comparison
from edgeagent.report.comparison.render import comparison_markdown
from edgeagent.report.comparison.statistics import paired_shift, unpaired_shift
from edgeagent.report.model import Verdict

MS = 1_000_000
TASKS = 48


class Machine:
    """A device whose speed drifts: slow waves within a run, and a level of its own each time."""

    def __init__(self, seed: int, level: float = 1.0, noise: float = 0.02) -> None:
        self._random = np.random.default_rng(seed)
        self._level = level
        self._noise = noise
        self._phase = self._random.uniform(0, 6)

    def slowness(self, order: int) -> float:
        wave = 0.03 * math.sin(order / 9 + self._phase)
        return self._level * math.exp(wave + self._random.normal(0, self._noise))


def write_run(runs, folder: Path, machine: Machine, *, model: float = 1.0, repeat: int = 2) -> Path:
    folder.mkdir()
    config = runs.config(paradigms=("base",), repeat=repeat)
    runs.order = 0
    for order in range(repeat * TASKS):
        task = order % TASKS
        e2e_ms = (200 + 20 * task) * model * machine.slowness(order)
        record = runs.task(f"t{task}", e2e_ms=e2e_ms, repetition=order // TASKS, config=config)
        jsonl.append(folder / TASKS_NAME, record)
        if order % 6 == 0:
            unit = round(5 * MS * machine.slowness(order))
            reference = ReferenceRecord(
                config=config,
                session=0,
                t0_ns=order,
                t1_ns=order + 1,
                threads=2,
                compute_ns=(unit, unit, 9 * unit),
                memory_ns=(unit, unit, unit),
            )
            jsonl.append(folder / REFERENCE_NAME, reference)
    return folder


def verdict(comparison: Comparison) -> Verdict:
    return comparison.runs[0].paradigms[0].ratios["e2e_s"].verdict


def compare(runs, tmp_path: Path, seed: int, **other: float) -> Comparison:
    level, model = other.pop("level", 1.0), other.pop("model", 1.0)
    first = write_run(runs, tmp_path / f"a{seed}", Machine(seed))
    second = write_run(runs, tmp_path / f"b{seed}", Machine(seed + 1000, level), model=model)
    return compare_runs((first, second))


def test_the_same_is_not_distinguishable_and_ten_percent_are_found(runs, tmp_path) -> None:
    same = [verdict(compare(runs, tmp_path, seed)) for seed in range(12)]
    assert same.count(Verdict.NOT_DISTINGUISHABLE) >= 11
    slower = [verdict(compare(runs, tmp_path, 100 + seed, model=1.1)) for seed in range(6)]
    assert slower == [Verdict.WORSE] * 6
    faster = compare(runs, tmp_path, 200, model=1 / 1.1)
    assert verdict(faster) is Verdict.BETTER


def test_a_machine_that_was_slower_is_not_blamed_on_the_model(runs, tmp_path) -> None:
    found = compare(runs, tmp_path, 1, level=1.1)
    ratio = found.runs[0].paradigms[0].ratios["e2e_s"]
    assert ratio.verdict is Verdict.NOT_DISTINGUISHABLE
    assert ratio.machine_explains
    assert ratio.interval is not None
    assert ratio.interval.low > 1.05
    assert found.runs[0].machine.compute == pytest.approx(1.1, abs=0.03)
    both = compare(runs, tmp_path, 2, level=1.1, model=1.15)
    assert verdict(both) is Verdict.WORSE


def test_less_than_the_noise_floor_is_never_called(runs, tmp_path) -> None:
    quiet = [
        write_run(runs, tmp_path / name, Machine(7, noise=1e-4), model=model)
        for name, model in (("a", 1.0), ("b", 1.01))
    ]
    found = compare_runs(quiet).runs[0].paradigms[0].ratios["e2e_s"]
    assert found.interval is not None
    assert found.interval.low > 1
    assert found.verdict is Verdict.NOT_DISTINGUISHABLE


def test_few_tasks_give_a_ratio_and_no_verdict(runs, tmp_path) -> None:
    folders = []
    for name, e2e_ms in (("a", 100.0), ("b", 300.0)):
        (tmp_path / name).mkdir()
        jsonl.append(tmp_path / name / TASKS_NAME, runs.task("only", e2e_ms=e2e_ms))
        folders.append(tmp_path / name)
    found = compare_runs(folders)
    ratio = found.runs[0].paradigms[0].ratios["e2e_s"]
    assert (ratio.value, ratio.interval) == (pytest.approx(3), None)
    assert ratio.verdict is Verdict.NOT_DISTINGUISHABLE
    assert "no record of the reference load" in found.runs[0].notes[0]


def test_other_machines_and_settings_are_said(runs, tmp_path) -> None:
    config = runs.config()
    host = config.host.model_copy(update={"cpu": "Other CPU"})
    other = config.model_copy(update={"host": host, "seed": 8})
    for name, used in (("a", config), ("b", other)):
        (tmp_path / name).mkdir()
        jsonl.append(tmp_path / name / TASKS_NAME, runs.task("only", config=used))
    found = compare_runs((tmp_path / "a", tmp_path / "b")).runs[0]
    assert not found.same_machine
    assert found.differing == ("seed", "host")
    assert "different machines (Other CPU and Test CPU)" in found.notes[0]


def test_the_error_of_correlated_values_is_larger_than_that_of_independent_ones() -> None:
    random = np.random.default_rng(3)
    steps = np.repeat(random.normal(0, 1, 20), 10)
    independent = paired_shift(random.permutation(steps).tolist())
    correlated = paired_shift(steps.tolist())
    assert independent is not None
    assert correlated is not None
    assert correlated.error > 2 * independent.error
    assert paired_shift([0.1] * 5) is None
    assert unpaired_shift([1.0], [1.0, 2.0]) is None


def test_the_command_prints_writes_and_fails_on_request(runs, tmp_path) -> None:
    first = write_run(runs, tmp_path / "a", Machine(1))
    second = write_run(runs, tmp_path / "b", Machine(2), model=1.2)
    report = tmp_path / "out.md"
    arguments = [str(first), str(second)]
    done = CliRunner().invoke(command, [*arguments, "--markdown", str(report)])
    assert done.exit_code == 0, done.output
    assert "seconds per task" in done.output
    assert "more" in done.output
    assert "| base | seconds per task | 1.2" in report.read_text(encoding="utf-8")
    assert report.read_text(encoding="utf-8") == comparison_markdown(compare_runs((first, second)))
    failed = CliRunner().invoke(command, [*arguments, "--fail-on-regression"])
    assert failed.exit_code == REGRESSION_EXIT_CODE
    as_json = CliRunner().invoke(command, [*arguments, "--json", "--fail-on-regression"])
    assert Comparison.model_validate_json(as_json.output).has_regression
    same = CliRunner().invoke(command, [str(first), str(first), "--fail-on-regression"])
    assert same.exit_code == 0
