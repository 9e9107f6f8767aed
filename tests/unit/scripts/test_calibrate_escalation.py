from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import calibrate_escalation as calibrate
import pytest
from calibrate_escalation import Answered

ANSWERS = [
    Answered("sure and right", 0.95, False, True, True, 1.0, 4.0),
    Answered("sure and wrong", 0.90, False, False, True, 1.0, 4.0),
    Answered("unsure and wrong", 0.40, False, False, True, 1.0, 4.0),
    Answered("unsure and right", 0.60, False, True, False, 1.0, 4.0),
    Answered("stuck", 0.99, True, False, False, 1.0, 4.0),
    Answered("never asked", None, True, False, True, 0.0, 4.0),
    Answered("nothing told", None, False, True, True, 1.0, 4.0),
]


@pytest.mark.parametrize(
    ("threshold", "asked", "solved", "kept_wrong", "spoiled"),
    [(0.0, 2, 4, 2, 0), (0.5, 3, 5, 1, 0), (0.8, 4, 4, 1, 1), (1.0, 6, 5, 0, 1)],
)
def test_what_a_threshold_does(
    threshold: float, asked: int, solved: int, kept_wrong: int, spoiled: int
) -> None:
    found = calibrate.effect(ANSWERS, threshold)
    assert found.escalated == pytest.approx(asked / 7)
    assert (found.solved, found.kept_wrong, found.spoiled) == (solved, kept_wrong, spoiled)
    assert found.seconds == pytest.approx((6.0 + 4.0 * asked) / 7)


def test_of_thresholds_that_solve_as_much_the_cheapest_is_best() -> None:
    effects = [calibrate.effect(ANSWERS, threshold) for threshold in calibrate.THRESHOLDS]
    found = calibrate.best(effects)
    assert (found.threshold, found.solved) == (0.45, 5)


def test_answers_are_read_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in ANSWERS), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["calibrate", "--read", str(file)])
    calibrate.main()
    *lines, last = capsys.readouterr().out.splitlines()
    assert "The first one alone solves 3 of 7, the stronger one 5." in lines
    assert json.loads(last)["threshold"] == 0.45
