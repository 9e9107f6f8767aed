"""What is said about a search: never a gain that was not checked."""

from __future__ import annotations

import pytest

from edgeagent.record.run import HostRecord
from edgeagent.record.tuning import Candidate, Comparison, Trial, TuningRecord, Verdict
from edgeagent.report.tuning import HEAD, rows, sentences

HOST = HostRecord(
    os="Linux 6.8",
    machine="aarch64",
    cpu="Cortex-A76",
    cores_physical=4,
    cores_usable=4,
    memory_bytes=8 * 10**9,
    python="3.11.9",
)
CONFIRMED = Comparison(
    stage="threads and spinning",
    phase="confirm",
    candidate=1,
    against=0,
    pairs=8,
    cost_ratio=0.75,
    low=0.7,
    high=0.81,
    verdict=Verdict.BETTER,
)
CHECKED = CONFIRMED.model_copy(
    update={"stage": "result", "phase": "check", "cost_ratio": 0.8, "low": 0.78, "high": 0.82}
)


def record(*comparisons: Comparison, goal: str = "latency", chosen: int = 0) -> TuningRecord:
    return TuningRecord(
        model_id="m",
        package_sha256="0" * 64,
        runtime="onnxruntime-genai 0.18.0",
        ep="cpu",
        edgeagent_version="0.1.0",
        host=HOST,
        created_utc="2026-01-01T00:00:00+00:00",
        goal=goal,
        cost_unit="J" if goal == "energy" else "s",
        work="some work",
        work_tokens=640,
        seed=1,
        context_len=2048,
        max_minutes=5,
        elapsed_s=100,
        ended="complete" if chosen else "time is up",
        candidates=(
            Candidate(label="4 threads", settings={}),
            Candidate(label="2 threads", settings={}),
        ),
        trials=tuple(
            Trial(
                order=order,
                stage="result",
                phase="check",
                round=order // 2,
                candidate=order % 2,
                cost=8.0 if order % 2 else 10.0,
                parts={},
                t0_ns=0,
                t1_ns=1,
                rss_peak_bytes=500_000_000 + order,
            )
            for order in range(4)
        ),
        comparisons=comparisons,
        chosen=chosen,
    )


@pytest.mark.parametrize(
    ("goal", "gain", "cost"),
    [
        ("latency", "20.0% less time", "8 s instead of 10 s"),
        (
            "throughput",
            "25.0% more tokens per second",
            "8 s (80.0 tokens per second) instead of 10 s (64.0 tokens per second)",
        ),
        ("energy", "20.0% less energy", "8 J instead of 10 J"),
    ],
)
def test_the_gain_is_that_of_the_check(goal: str, gain: str, cost: str) -> None:
    first, second = sentences(record(CONFIRMED, CHECKED, goal=goal, chosen=1))
    assert first.startswith(f"2 threads: {gain} than the default (4 threads), cost 0.800")
    assert "0.780 to 0.820, 8 fresh pairs" in first.replace("95 % interval ", "").replace("(", "")
    assert second == f"A piece of work costs {cost}."


@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        (Verdict.UNDECIDED, "could not be checked in time"),
        (Verdict.NOT_DISTINGUISHABLE, "not distinguishable from it when measured afresh"),
    ],
)
def test_without_a_passed_check_the_default_stays(verdict: Verdict, why: str) -> None:
    check = CHECKED.model_copy(update={"verdict": verdict})
    first, last = sentences(record(CONFIRMED, check))
    assert first.startswith("The default stays: 4 threads;")
    assert why in first
    assert "--max-minutes 10" in last


def test_rows_show_every_verdict_with_its_figures() -> None:
    rejected = Comparison(
        stage="speculation",
        phase="screen",
        candidate=1,
        against=0,
        pairs=0,
        verdict=Verdict.REJECTED,
        reason="the copying answer differs",
    )
    shown = rows(record(CONFIRMED, rejected, CHECKED, chosen=1))
    assert all(len(row) == len(HEAD) for row in shown)
    assert shown[0] == (
        "threads and spinning",
        "2 threads",
        "0.750",
        "0.700 to 0.810",
        "8",
        "500 MB",
        "better",
    )
    assert shown[1][0] == "speculation, screening"
    assert shown[1][2:5] == ("-", "-", "-")
    assert shown[1][-1] == "rejected: the copying answer differs"
    assert shown[2][0] == "against the default"
