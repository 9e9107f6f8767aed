"""Energy of spans, phases, agents, task runs and the run, against a device of known power."""

from __future__ import annotations

import pytest
from energy_world import (
    DECODED_TOKENS,
    GAP_W,
    IDLE_W,
    MODULE,
    PREFILL_TOKENS,
    TASK_J,
    TASK_S,
    World,
    day,
    failure,
    package,
    sample,
)

from edgeagent.clock import NS_PER_S
from edgeagent.record.energy import Invalid
from edgeagent.record.run import SampleBatch
from edgeagent.record.samples import Scope, SourceState
from edgeagent.report.energy.attribution import attribute, phase_of
from edgeagent.report.energy.run import energy_of_run
from edgeagent.report.metrics import task_metrics
from edgeagent.report.sessions import make_sessions, session_of
from edgeagent.report.summary import summarize


def _paradigms(run):
    return {paradigm.paradigm: paradigm for paradigm in summarize(run).paradigms}


def _sources(world, kind: str):
    """Return readings and edge readings of a sampled or of a counted source."""
    if kind == "sampled":
        return {MODULE: world.sampled(MODULE)}, {}
    return {package(): world.counted(package())}, {package(): world.edges(package())}


@pytest.mark.parametrize("kind", ["sampled", "counted"])
def test_phases_agents_and_tasks_are_right_to_one_percent(runs, kind: str) -> None:
    world = day(runs)
    readings, edges = _sources(world, kind)
    base, single = (
        paradigm.energy for paradigm in summarize(world.run(readings, edges=edges)).paradigms
    )
    assert base is not None
    assert single is not None
    assert base.total == ("module" if kind == "sampled" else "cpu")
    assert base.energy_j_per_task == pytest.approx(TASK_J, rel=0.01)
    assert single.energy_j_per_task == pytest.approx(1.5 * TASK_J, rel=0.01)
    assert base.energy_j_per_solved_task == pytest.approx(2 * TASK_J, rel=0.01)
    assert base.energy_j_failed == pytest.approx(3 * TASK_J, rel=0.01)
    assert base.power_w == pytest.approx(TASK_J / TASK_S, rel=0.01)
    assert base.edp_js == pytest.approx(TASK_J * TASK_S, rel=0.01)
    joules = {name: part.energy_j_per_task for name, part in base.phases.items()}
    assert joules == {
        "prefill": pytest.approx(1.5 * 12, rel=0.01),
        "decode": pytest.approx(6.1 * 8, rel=0.01),
        "tool": pytest.approx(0.4 * 4, rel=0.01),
    }
    assert base.phases["decode"].power_w == pytest.approx(8, rel=0.01)
    agents = {name: part.energy_j_per_task for name, part in base.agents.items()}
    assert agents == {
        "planner": pytest.approx(1.5 * 12 + 4 * 8, rel=0.01),
        "solver": pytest.approx(0.4 * 4 + 2.1 * 8, rel=0.01),
    }
    assert base.j_per_prefilled_token == pytest.approx(1.5 * 12 / PREFILL_TOKENS, rel=0.01)
    assert base.j_per_decoded_token == pytest.approx(6.1 * 8 / (2 * DECODED_TOKENS), rel=0.01)


@pytest.mark.parametrize("kind", ["sampled", "counted"])
def test_spans_rests_and_what_lies_between_add_up_to_the_run_exactly(runs, kind: str) -> None:
    world = day(runs, tasks=3)
    readings, edges = _sources(world, kind)
    run = world.run(readings, edges=edges)
    (total,) = attribute(run)
    for task in total.tasks:
        assert sum(span.own.energy_nj for span in task.spans) == task.whole.energy_nj
        assert sum(span.own.duration_ns for span in task.spans) == task.whole.duration_ns
    (session,) = total.sessions
    spans_nj = sum(span.own.energy_nj for task in total.tasks for span in task.spans)
    rests_nj = sum(rest.window.energy_nj for rest in session.baselines)
    (found,) = summarize(run).energy_totals
    between_nj = session.whole.energy_nj - spans_nj - rests_nj
    assert found.between_j == between_nj / NS_PER_S
    # Two baselines of 2 W, and a pause behind each of the six task runs.
    assert found.baselines_j == pytest.approx(2 * 5.0 * IDLE_W, rel=0.01)
    assert found.between_j == pytest.approx(6 * 0.73 * GAP_W, rel=0.01)
    assert found.tasks_j == pytest.approx(3 * 2.5 * TASK_J, rel=0.01)
    assert found.run_j == pytest.approx(found.tasks_j + found.baselines_j + found.between_j)


def test_what_a_span_contains_counts_for_its_children(runs) -> None:
    world = day(runs, tasks=1)
    (total,) = attribute(world.run({MODULE: world.sampled(MODULE)}))
    root, *leaves = total.tasks[0].spans
    assert phase_of(root.span) == "overhead"
    assert root.own.energy_nj == 0
    assert root.own.duration_ns == 0
    assert all(leaf.own.energy_nj > 0 for leaf in leaves)


def test_net_energy_is_gross_less_idle_power(runs) -> None:
    world = day(runs, after_w=IDLE_W * 1.03)
    summary = summarize(world.run({MODULE: world.sampled(MODULE)}))
    energy = summary.paradigms[0].energy
    assert energy is not None
    idle_w = IDLE_W * 1.015
    assert energy.net_j_per_task == pytest.approx(TASK_J - idle_w * TASK_S, rel=0.01)
    assert energy.net_j_per_solved_task == pytest.approx(2 * energy.net_j_per_task)
    (idle,) = summary.energy_totals[0].idle
    assert (idle.before_w, idle.after_w) == (pytest.approx(2.0), pytest.approx(2.06, rel=1e-3))
    assert idle.power_w == pytest.approx(idle_w, rel=1e-3)


def test_idle_power_that_drifted_is_not_subtracted(runs) -> None:
    world = day(runs, after_w=IDLE_W * 1.08)
    energy = summarize(world.run({MODULE: world.sampled(MODULE)})).paradigms[0].energy
    assert energy is not None
    assert energy.energy_j_per_task is not None
    assert energy.net_j_per_task is None
    assert energy.net_note.startswith("idle power drifted by +8.")


def test_negative_net_energy_is_a_result(runs) -> None:
    world = day(runs, tasks=2)
    readings = [
        sample(MODULE, t, 9.0 if world.power_w(t) == IDLE_W else 8.0) for t in world.times()
    ]
    energy = summarize(world.run({MODULE: readings})).paradigms[0].energy
    assert energy is not None
    assert energy.net_j_per_task == pytest.approx(-1.0 * TASK_S, rel=0.02)


@pytest.mark.parametrize("missing", ["before", "after", "both", "model"])
def test_without_both_baselines_there_is_no_net_energy(runs, missing: str) -> None:
    world = day(runs, tasks=2)
    for index, when in ((1, "after"), (0, "before")):
        if missing in (when, "both"):
            del world.baselines[index]
        elif missing == "model":
            unloaded = world.baselines[index].model_copy(update={"model_loaded": False})
            world.baselines[index] = unloaded
    energy = summarize(world.run({MODULE: world.sampled(MODULE)})).paradigms[0].energy
    assert energy is not None
    assert energy.net_j_per_task is None
    assert "was not measured" in energy.net_note
    assert energy.energy_j_per_task == pytest.approx(TASK_J, rel=0.01)


def test_a_failed_reading_costs_the_task_run_that_it_hits_and_no_other(runs) -> None:
    world = day(runs)
    hit = world.tasks[2].spans[0]
    at_s = (hit.t0_ns + hit.t1_ns) / 2 / NS_PER_S
    run = world.run({MODULE: world.sampled(MODULE)}, failures=(failure(MODULE, at_s),))
    (total,) = attribute(run)
    assert [task.reason for task in total.tasks if task.reason] == [Invalid.READ_FAILED]
    assert total.tasks[2].reason is Invalid.READ_FAILED
    summary = summarize(run)
    base = summary.paradigms[0].energy
    assert base is not None
    assert base.attempts == 5
    assert base.energy_j_per_task == pytest.approx(TASK_J, rel=0.01)
    (found,) = summary.energy_totals
    assert found.unknown == {"read_failed": 1}
    assert found.holes["read_failed"].count == 1
    assert (found.run_j, found.tasks_j, found.between_j) == (None, None, None)
    assert "Energy was measured for 11 of 12 task runs" in summary.energy_note
    assert "readings failed (1 task run)" in summary.energy_note


def test_a_failed_reading_of_a_counter_costs_nothing(runs) -> None:
    world = day(runs, tasks=2)
    readings, edges = _sources(world, "counted")
    failures = tuple(failure(package(), world.start_s + t_s) for t_s in (7.123, 9.4, 20.0))
    summary = summarize(world.run(readings, edges=edges, failures=failures))
    assert summary.energy_note == ""
    assert summary.paradigms[0].energy.energy_j_per_task == pytest.approx(TASK_J, rel=0.01)


def test_readings_that_do_not_resolve_a_phase_leave_it_without_a_figure(runs) -> None:
    """At 1 Hz a prefill of 1.5 s has one or two readings; six of them have too few."""
    world = day(runs, tasks=4)
    slow = MODULE.model_copy(update={"interval_s": 1.0})
    run = world.run({slow: world.sampled(slow, interval_s=1.0)})
    base = _paradigms(run)["base"].energy
    assert base is not None
    assert base.note == ""
    assert base.energy_j_per_task is not None  # 32 s and as many readings
    assert base.phases["tool"].energy_j_per_task is None
    assert base.phases["tool"].note == "insufficient_resolution"
    assert base.phases["prefill"].note == "insufficient_resolution"
    assert base.j_per_prefilled_token is None
    assert base.phases["decode"].energy_j_per_task is not None
    # No single task run of 8 s has ten readings; pooled over the paradigm they do.
    assert task_metrics(run.tasks[0], run).energy_j is None
    # So means are compared over all tasks, not over those that happen to be long enough.
    single = _paradigms(run)["single"]
    assert single.energy is not None
    assert single.energy.energy_j_per_task is not None
    gain = single.energy.energy_j_per_task - base.energy_j_per_task
    assert single.differences["energy_j"].mean == pytest.approx(gain)
    assert single.differences["energy_j"].tasks == 4


def test_repetitions_pool_what_one_run_does_not_resolve(runs) -> None:
    world = World(runs, config=runs.config(repeat=3, paradigms=("base",)))
    for repetition in range(3):
        for index in range(2):
            world.task(f"t{index}", repetition=repetition)
    slow = MODULE.model_copy(update={"interval_s": 1.0})
    run = world.run({slow: world.sampled(slow, interval_s=1.0)})
    (total,) = attribute(run)
    assert not any(task.whole.is_resolved for task in total.tasks)
    by_task = energy_of_run(run).by_task("base")
    assert by_task == {"t0": pytest.approx(TASK_J, rel=0.06), "t1": pytest.approx(TASK_J, rel=0.06)}


def test_counter_edges_that_miss_the_spans_resolve_only_what_is_long_enough(runs) -> None:
    """Without readings at span edges a prefill of 1.5 s has edges within 2 * 50 ms: 7 %."""
    world = day(runs, tasks=4)
    base = _paradigms(world.run({package(): world.counted(package())}))["base"].energy
    assert base is not None
    assert base.phases["prefill"].energy_j_per_task is not None
    assert base.phases["tool"].energy_j_per_task is None  # 0.4 s
    assert base.energy_j_per_task == pytest.approx(TASK_J, rel=0.01)


def test_a_counter_that_moved_by_few_steps_is_not_resolved(runs) -> None:
    coarse = package(resolution=10.0)
    world = day(runs, tasks=2)
    base = _paradigms(
        world.run({coarse: world.counted(coarse)}, edges={coarse: world.edges(coarse)})
    )["base"].energy
    assert base is not None
    # Two runs of 68 J are 14 steps, and the rounding of two windows needs 10 * sqrt(2).
    assert base.phases["prefill"].note == "insufficient_resolution"
    assert base.phases["tool"].note == "insufficient_resolution"


def test_widest_total_speaks_and_the_others_stand_beside_it(runs) -> None:
    world = day(runs)
    sockets = {
        package(n): world.counted(package(n), share=share) for n, share in ((0, 0.4), (1, 0.2))
    }
    summary = summarize(world.run({**sockets, MODULE: world.sampled(MODULE)}))
    assert [(t.total, t.is_headline) for t in summary.energy_totals] == [
        ("module", True),
        ("cpu", False),
    ]
    base = summary.paradigms[0]
    assert base.energy.energy_j_per_task == pytest.approx(TASK_J, rel=0.01)
    (cpu,) = base.energy_others
    assert (cpu.total, cpu.scope) == ("cpu", Scope.PACKAGE)
    assert cpu.energy_j_per_task == pytest.approx(0.6 * TASK_J, rel=0.01)


def test_a_wider_total_with_a_hole_gives_way_to_one_that_knows_every_task_run(runs) -> None:
    world = day(runs)
    hit_s = world.tasks[3].spans[0].t0_ns / NS_PER_S + 1
    readings = {package(): world.counted(package()), MODULE: world.sampled(MODULE)}
    summary = summarize(world.run(readings, failures=(failure(MODULE, hit_s),)))
    assert [t.total for t in summary.energy_totals] == ["cpu", "module"]
    assert summary.energy_note == ""


def test_a_socket_that_cannot_be_read_makes_the_sum_unknown(runs) -> None:
    world = day(runs, tasks=2)
    denied = package(1, state=SourceState.PERMISSION, reason="Not allowed.", remedy="Ask.")
    summary = summarize(world.run({package(0): world.counted(package(0)), denied: []}))
    assert summary.paradigms[0].energy is None
    assert summary.energy_totals[0].unknown == {"unreadable": 4}
    assert "rapl:package-1: Not allowed. Ask." in summary.energy_note


def test_two_readers_of_one_total_are_alternatives(runs) -> None:
    world = day(runs, tasks=2)
    psys = package(source="rapl:psys", scope=Scope.SYSTEM, total="system", counter_range=None)
    battery = MODULE.model_copy(
        update={"source": "battery:BAT0", "scope": Scope.SYSTEM, "total": "system"}
    )
    summary = summarize(world.run({psys: world.counted(psys), battery: world.sampled(battery)}))
    assert [t.sources for t in summary.energy_totals] == [("battery:BAT0",), ("rapl:psys",)]
    assert summary.paradigms[0].energy.energy_j_per_task == pytest.approx(TASK_J, rel=0.01)


def test_a_meter_outside_the_device_is_the_widest(runs) -> None:
    world = day(runs)
    wall = MODULE.model_copy(
        update={"source": "csv:meter", "scope": Scope.WALL, "total": "wall", "max_power_w": None}
    )
    run = world.run(
        {package(): world.counted(package())}, external={wall: world.sampled(wall, share=1.25)}
    )
    base = _paradigms(run)["base"].energy
    assert (base.total, base.scope) == ("wall", Scope.WALL)
    assert base.energy_j_per_task == pytest.approx(1.25 * TASK_J, rel=0.01)


def test_estimates_have_a_field_of_their_own_and_compare_nothing(runs) -> None:
    world = day(runs)
    summary = summarize(world.run(world.estimated()))
    single = summary.paradigms[1]
    assert single.energy is None
    assert "energy_j" not in single.differences
    assert summary.energy_totals == ()
    found = single.energy_estimate
    assert found.energy_j_estimate_per_task == pytest.approx(1.5 * TASK_J, rel=0.1)
    assert found.low_j_per_task == pytest.approx(0.25 * found.energy_j_estimate_per_task)
    assert found.high_j_per_task == pytest.approx(1.75 * found.energy_j_estimate_per_task)
    assert summary.energy_note == "Energy was not measured. No source of energy or power was found."


def test_an_estimate_without_bounds_is_not_shown(runs) -> None:
    world = day(runs, tasks=1)
    readings = {i: r for i, r in world.estimated().items() if i.source != "estimate:low"}
    assert summarize(world.run(readings)).paradigms[0].energy_estimate is None


def test_runs_from_before_totals_had_names_keep_their_figures(runs) -> None:
    world = day(runs)
    old = package(total=None, max_power_w=None, resolution=None, counter_range=60_000.0)
    base = _paradigms(world.run({old: world.counted(old)}))["base"].energy
    assert base.total == "cpu"
    assert base.energy_j_per_task == pytest.approx(TASK_J, rel=0.01)


def test_differences_and_intervals_are_over_tasks(runs) -> None:
    world = day(runs, tasks=8)
    summary = summarize(world.run({MODULE: world.sampled(MODULE)}))
    single = summary.paradigms[1]
    difference = single.differences["energy_j"]
    assert difference.mean == pytest.approx(0.5 * TASK_J, rel=0.01)
    assert (difference.tasks, difference.verdict) == (8, "worse")
    per_solved = single.energy.energy_j_per_solved_task_interval
    assert per_solved.low < single.energy.energy_j_per_solved_task < per_solved.high
    interval = single.energy.energy_j_per_task_interval
    assert interval.low <= single.energy.energy_j_per_task <= interval.high
    assert "energy" not in summary.recommendation.reason


def test_an_outside_recording_of_a_whole_day_does_not_blur_sessions(runs) -> None:
    """It covers both sessions; which of them a task run belongs to, the device's readings tell."""

    def batch(info, session: int, *times_s: float):
        return SampleBatch(
            config=runs.config(),
            session=session,
            sources=(info,),
            samples=tuple(sample(info, t_s, 5.0) for t_s in times_s),
            largest_gap_ns=0,
        )

    wall = MODULE.model_copy(update={"source": "external:plug", "total": "wall"})
    sessions = make_sessions(
        device=[batch(package(), 0, 10.0, 20.0), batch(package(), 1, 40.0, 50.0)],
        external=[batch(wall, 0, 0.0, 100.0), batch(wall, 1, 0.0, 100.0)],
        baselines=[],
    )
    found = session_of(sessions, 42 * NS_PER_S, 43 * NS_PER_S)
    assert found is not None
    assert found.number == 1
    assert set(found.samples) == {"rapl:package-0", "external:plug"}
    assert session_of(sessions, 30 * NS_PER_S, 31 * NS_PER_S) is None
