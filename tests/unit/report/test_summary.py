from __future__ import annotations

import pytest

from edgeagent.record.outcome import FailureMode
from edgeagent.report import Summary, load_run, summarize
from edgeagent.report.model import ParadigmSummary, Verdict


def _by_name(summary: Summary) -> dict[str, ParadigmSummary]:
    return {paradigm.paradigm: paradigm for paradigm in summary.paradigms}


def _summary(runs, tasks, batches=()) -> Summary:
    return summarize(load_run(runs.write(tasks, batches)))


def test_counts_rates_and_times_of_one_paradigm(runs, rss) -> None:
    tasks = [
        runs.task("a", e2e_ms=1000, turns=1),
        runs.task("b", e2e_ms=2000, solved=False, failure=FailureMode.TURN_LIMIT, fell_back=True),
        runs.task("c", e2e_ms=6000, category="lookup", turns=4),
        runs.task("d", e2e_ms=3000, solved=False, answer=" ", failure=FailureMode.TIMEOUT, turns=2),
    ]
    summary = _summary(runs, tasks, [runs.batch((rss,), {})])
    base = summary.paradigms[0]
    assert (base.tasks, base.attempts, base.solved, base.solved_rate) == (4, 4, 2, 0.5)
    assert (base.completed_rate, base.completed_unaided_rate) == (0.75, 0.5)
    assert base.failure_modes == {"turn_limit": 1, "timeout": 1}
    assert base.e2e_s.mean == pytest.approx(3.0)
    assert base.e2e_s.median == pytest.approx(2.5)
    assert base.e2e_s_per_solved_task == pytest.approx(6.0)  # 12 s for 2 solved
    assert base.turns_per_task == pytest.approx(2.0)
    assert {name: (r.solved, r.attempts) for name, r in base.categories.items()} == {
        "arithmetic": (1, 3),
        "lookup": (1, 1),
    }
    assert base.ttft_s is None
    assert base.differences == {}
    assert summary.recommendation.paradigm is None


def test_repetitions_are_averaged_by_task_and_do_not_narrow_the_interval(runs) -> None:
    config = runs.config(repeat=3, paradigms=("base",))
    once = _summary(runs, [runs.task("a"), runs.task("b", solved=False)])
    runs.folder = runs.folder.with_name("repeated")
    thrice = _summary(
        runs,
        [
            runs.task(name, solved=solved, repetition=repetition, config=config)
            for repetition in range(3)
            for name, solved in (("a", True), ("b", False))
        ],
    )
    assert (thrice.paradigms[0].tasks, thrice.paradigms[0].attempts) == (2, 6)
    assert thrice.paradigms[0].solved_interval == once.paradigms[0].solved_interval
    assert not any("run once" in note for note in thrice.notes)


def test_gain_and_cost_are_paired_by_task(runs) -> None:
    tasks = []
    for index in range(20):
        tasks.append(runs.task(f"t{index}", solved=index < 2, e2e_ms=1000))
        tasks.append(runs.task(f"t{index}", "single", solved=index < 14, e2e_ms=2500 + 10 * index))
    summary = _summary(runs, tasks)
    single = _by_name(summary)["single"]
    solved, seconds = single.differences["solved_rate"], single.differences["e2e_s"]
    assert solved.mean == pytest.approx(0.6)
    assert solved.verdict is Verdict.BETTER
    assert seconds.mean == pytest.approx(1.595)  # 1.5 s + 10 ms * mean(0..19)
    assert seconds.verdict is Verdict.WORSE
    assert "energy_j" not in single.differences
    assert summary.recommendation.paradigm == "single"
    assert (
        "it solves 14/20, base 2/20 (+60 points, 95 % interval +" in summary.recommendation.reason
    )
    assert "2.6 times the seconds per task" in summary.recommendation.reason


def test_gain_within_noise_keeps_the_base(runs) -> None:
    tasks = []
    for index in range(20):
        tasks.append(runs.task(f"t{index}", solved=index < 10))
        tasks.append(runs.task(f"t{index}", "single", solved=index < 12))
    recommendation = _summary(runs, tasks).recommendation
    assert recommendation.paradigm == "base"
    assert (
        "no other paradigm solves more tasks beyond noise (single 12/20)" in recommendation.reason
    )


def test_cheaper_per_solved_task_of_two_that_cannot_be_told_apart_is_chosen(runs) -> None:
    config = runs.config(paradigms=("base", "single", "multi"))
    tasks = []
    for index in range(20):
        tasks.append(runs.task(f"t{index}", solved=False, config=config))
        tasks.append(
            runs.task(f"t{index}", "single", solved=index < 14, e2e_ms=2000, config=config)
        )
        tasks.append(runs.task(f"t{index}", "multi", solved=index < 15, e2e_ms=4000, config=config))
    recommendation = _summary(runs, tasks).recommendation
    assert recommendation.paradigm == "single"
    assert (
        # 20 tasks * 4 s / 15 solved over 20 * 2 s / 14 solved: 5.33 / 2.86
        "multi (15/20) cannot be told apart from it by solved tasks and takes 1.9 times the "
        "seconds per solved task." in recommendation.reason
    )


def test_better_one_is_chosen_though_slower_if_the_gain_is_clear(runs) -> None:
    config = runs.config(paradigms=("base", "single", "multi"))
    tasks = []
    for index in range(30):
        for paradigm, limit, e2e_ms in (
            ("base", 0, 500),
            ("single", 10, 2000),
            ("multi", 25, 9000),
        ):
            tasks.append(
                runs.task(f"t{index}", paradigm, solved=index < limit, e2e_ms=e2e_ms, config=config)
            )
    assert _summary(runs, tasks).recommendation.paradigm == "multi"


@pytest.mark.parametrize(
    ("paradigms", "reason"),
    [
        (("base",), "Only base was run"),
        (("base", "single"), "No paradigm solved any task"),
    ],
)
def test_run_that_tells_nothing_recommends_nothing(runs, paradigms, reason) -> None:
    config = runs.config(paradigms=paradigms)
    tasks = [runs.task("a", name, solved=False, config=config) for name in paradigms]
    recommendation = _summary(runs, tasks).recommendation
    assert recommendation.paradigm is None
    assert reason in recommendation.reason


def test_run_without_the_base_has_no_reference(runs) -> None:
    config = runs.config(paradigms=("single", "multi"))
    summary = _summary(runs, [runs.task("a", name, config=config) for name in config.paradigms])
    assert summary.reference is None
    assert all(paradigm.differences == {} for paradigm in summary.paradigms)
    assert "base model was not run" in summary.recommendation.reason


def test_energy_per_solved_task_carries_the_failed_attempts(runs, package) -> None:
    # Tasks last 1 s from 0 and from 1000 s; the counter runs at 10 W, then at 30 W.
    tasks = [runs.task("a"), runs.task("b", solved=False)]
    readings = [(0, 100.0), (1000, 110.0), (999_000, 110.0), (1_000_000, 110.0), (1_001_000, 140.0)]
    batch = runs.batch((package,), {"rapl:package-0": readings})
    summary = _summary(runs, tasks, [batch])
    energy = summary.paradigms[0].energy
    assert energy is not None
    assert energy.attempts == 2
    assert energy.energy_j_per_task == pytest.approx(20.0)
    assert energy.energy_j_per_solved_task == pytest.approx(40.0)
    assert energy.energy_j_failed == pytest.approx(30.0)
    assert summary.energy_note == ""


def test_missing_sensor_gives_reason_and_remedy_and_no_number(runs, no_package) -> None:
    summary = _summary(runs, [runs.task("a")], [runs.batch((no_package,), {})])
    assert summary.paradigms[0].energy is None
    assert summary.energy_note == (
        "Energy was not measured. rapl:package: There is no counter here. "
        "Measure on the bare device."
    )


def test_partly_covered_energy_says_for_how_many(runs, package) -> None:
    batch = runs.batch((package,), {"rapl:package-0": [(0, 1.0), (1000, 6.0)]})
    summary = _summary(runs, [runs.task("a"), runs.task("b")], [batch])
    energy = summary.paradigms[0].energy
    assert energy is not None
    assert (energy.attempts, energy.energy_j_per_task) == (1, pytest.approx(5.0))
    assert summary.energy_note.startswith("Energy was measured for 1 of 2 task runs")


def test_notes_tell_of_an_unfinished_run_and_of_gaps_in_sampling(runs, rss) -> None:
    tasks = [runs.task("a"), runs.task("b"), runs.task("a", "single")]
    batch = runs.batch((rss,), {"process:rss": [(500, 1e8)]}, gap_ms=2500)
    notes = " ".join(_summary(runs, tasks, [batch]).notes)
    assert "3 of at least 4 task runs are finished" in notes
    assert "paused for up to 2.5 s" in notes
    assert "Every task was run once" in notes


def test_summary_survives_json(runs, no_package) -> None:
    summary = _summary(runs, [runs.task("a")], [runs.batch((no_package,), {})])
    assert Summary.model_validate_json(summary.model_dump_json()) == summary


@pytest.mark.parametrize("grounding", [True, False])
def test_grounded_agents_are_not_credited_alone(runs, grounding: bool) -> None:
    config = runs.config(budget={"max_turns": 5, "grounding": grounding})
    summary = _summary(runs, [runs.task("a").model_copy(update={"config": config})])
    assert any("harness" in note for note in summary.notes) == grounding
