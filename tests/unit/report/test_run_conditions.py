"""Marks of a run: what happened, which task runs it touched, and what nobody can tell."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from edgeagent.record.conditions import ConditionsRecord, HostState, HostWarning
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState
from edgeagent.report.conditions import Mark, RunConditions, run_conditions
from edgeagent.report.sessions import make_sessions

QUANTITIES = {
    "cpu:time": ("cpu_s", SampleKind.COUNTER),
    "cpu:other_load": ("cpu_s", SampleKind.COUNTER),
    "cpu:steal": ("cpu_s", SampleKind.COUNTER),
    "cpu:frequency_max": ("frequency_hz", SampleKind.SAMPLED),
    "cpu:temperature": ("temperature_c", SampleKind.SAMPLED),
    "throttle:package": ("throttle_events", SampleKind.COUNTER),
    "throttle:cooling": ("throttle_state", SampleKind.SAMPLED),
    "process:swap": ("swap_bytes", SampleKind.SAMPLED),
    "system:swapped_in": ("swapped_bytes", SampleKind.COUNTER),
}
S = 1000
"""Milliseconds."""


def info(name: str, **changes: object) -> SourceInfo:
    quantity, kind = QUANTITIES[name]
    found = SourceInfo(source=name, quantity=quantity, kind=kind, scope=Scope.SYSTEM)
    return found.model_copy(update=changes)


def state(t_s: float = 0, **changes: object) -> HostState:
    return HostState.model_validate({"utc": "", "t_ns": round(t_s * 1e9), **changes})


class Bench:
    """A run of four task runs of five seconds each, from 10 s on, 10 s apart."""

    def __init__(self, runs) -> None:
        self.runs = runs
        self.tasks = [
            runs.task(
                name,
                spans=(runs.span(0, None, "orchestrate", start * S, (start + 5) * S),),
            )
            for name, start in (("a", 10), ("b", 20), ("c", 30), ("d", 40))
        ]
        self.records: list[ConditionsRecord] = []
        self.readings: dict[str, Iterable[tuple[float, float]]] = {}
        self.lost: tuple[SourceInfo, ...] = ()

    def every_second(self, source: str, value) -> None:
        """Read `value(t)` from second 0 to 60."""
        self.readings[source] = [(t * S, value(t)) for t in range(61)]

    def states(self, before: HostState, after: HostState | None = None, session: int = 0) -> None:
        self.records.append(
            ConditionsRecord(config=self.runs.config(), session=session, before=before, after=after)
        )

    def judge(self) -> RunConditions:
        sources = (*(info(name) for name in self.readings), *self.lost)
        batch = self.runs.batch(sources, self.readings)
        return run_conditions(self.records, make_sessions([batch], [], []), self.tasks)

    def mark(self, name: str) -> Mark:
        (found,) = [mark for mark in self.judge().marks if mark.id == name]
        return found


@pytest.fixture
def bench(runs) -> Bench:
    return Bench(runs)


def names(mark: Mark) -> list[str]:
    return [ref.task_id for ref in mark.tasks]


def ramp(at: float, height: float):
    return lambda t: height if t > at else 0.0


def test_throttle_events_touch_the_task_runs_that_they_fall_into(bench: Bench) -> None:
    bench.every_second("throttle:package", lambda t: 100 + (7 if t > 22 else 0))
    mark = bench.mark("throttled")
    assert names(mark) == ["b"]
    assert "1 of 4 task runs, 7 events" in mark.sentence
    judged = bench.judge()
    assert (judged.throttle_events, judged.affected, judged.attempts) == (7, 1, 4)


def test_events_between_task_runs_touch_none_and_shared_readings_count_once(bench: Bench) -> None:
    bench.every_second("throttle:package", lambda t: 3.0 if t > 17 else 0.0)
    judged = bench.judge()
    assert judged.marks == ()
    assert judged.throttle_events == 3
    # One reading a minute: the event may have been in any of them, and is still one event.
    bench.readings["throttle:package"] = [(0, 0), (60 * S, 1)]
    judged = bench.judge()
    assert len(judged.marks[0].tasks) == 4
    assert judged.throttle_events == 1


def test_a_state_that_holds_clocks_back(bench: Bench) -> None:
    bench.every_second("throttle:cooling", lambda t: float(31 <= t <= 33))
    assert names(bench.mark("throttled")) == ["c"]
    assert "events" not in bench.mark("throttled").sentence


def test_a_counter_that_was_reset_is_no_event(bench: Bench) -> None:
    bench.every_second("throttle:package", lambda t: 50.0 if t < 22 else 0.0)
    assert bench.judge().marks == ()


def test_a_slower_fastest_core(bench: Bench) -> None:
    bench.every_second("cpu:frequency_max", lambda t: 2.0e9 if 38 < t < 48 else 3.0e9)
    mark = bench.mark("clock_dropped")
    assert names(mark) == ["d"]
    assert "33%" in mark.sentence
    judged = bench.judge()
    assert (judged.frequency_start_hz, judged.frequency_low_hz) == (3.0e9, 2.0e9)


def test_a_drop_within_a_tenth_and_one_while_idle_are_none(bench: Bench) -> None:
    bench.every_second("cpu:frequency_max", lambda t: 1e9 if t in {17, 18, 28} else 2.75e9 + t)
    bench.readings["cpu:frequency_max"] = [
        (at, value if at < 30 * S else value * 0.91)
        for at, value in bench.readings["cpu:frequency_max"]
    ]
    assert bench.judge().marks == ()


def test_others_that_use_the_processor(bench: Bench) -> None:
    bench.every_second("cpu:time", lambda t: 4.0 * t)
    bench.every_second("cpu:other_load", lambda t: 0.04 * t + 0.8 * max(0, min(t, 26) - 20))
    bench.every_second("cpu:steal", lambda t: 0.4 * max(0, min(t, 35) - 30))
    assert names(bench.mark("busy")) == ["b"]
    assert "21%" in bench.mark("busy").sentence
    assert names(bench.mark("steal")) == ["c"]
    judged = bench.judge()
    assert judged.other_load_share == pytest.approx((0.21 + 3 * 0.01) / 4)
    assert judged.steal_share == pytest.approx(0.1 / 4)
    assert judged.affected == 2


def test_a_little_load_of_others_is_no_mark_but_a_figure(bench: Bench) -> None:
    bench.every_second("cpu:time", lambda t: 4.0 * t)
    bench.every_second("cpu:other_load", lambda t: 0.38 * t)
    judged = bench.judge()
    assert judged.marks == ()
    assert judged.other_load_share == pytest.approx(0.095)


def test_swapped_memory(bench: Bench) -> None:
    bench.every_second("process:swap", ramp(38, 5e6))
    bench.every_second("system:swapped_in", lambda t: 4e6 * (t > 12))
    mark = bench.mark("swapped")
    assert names(mark) == ["a", "d"]
    assert "5 MB" in mark.sentence


def test_warming_is_told_and_touches_no_single_task_run(bench: Bench) -> None:
    bench.every_second("cpu:temperature", lambda t: 45.0 + t)
    bench.states(state(temperature_c=44.0, temperature_limit_c=95.0))
    judged = bench.judge()
    (mark,) = judged.marks
    assert mark.id == "warmed"
    assert mark.tasks == ()
    assert "from 44 to 90" in mark.sentence
    assert "95" in mark.sentence
    assert judged.affected == 0
    assert (judged.temperature_start_c, judged.temperature_max_c) == (44.0, 90.0)


def test_the_charger_was_pulled(bench: Bench) -> None:
    bench.every_second("process:swap", lambda _t: 0.0)
    bench.states(state(ac_power=True), state(60, ac_power=False))
    assert names(bench.mark("power_changed")) == ["a", "b", "c", "d"]
    assert bench.judge().ac_power is None


def test_a_resumed_session_with_other_settings_touches_its_own_task_runs(bench: Bench) -> None:
    batches = [
        bench.runs.batch(
            (info("process:swap"),), {"process:swap": [(0, 0), (27 * S, 0)]}, session=0
        ),
        bench.runs.batch(
            (info("process:swap"),), {"process:swap": [(28 * S, 0), (60 * S, 0)]}, session=1
        ),
    ]
    bench.states(state(ac_power=True, governors=("performance",)))
    bench.states(state(28, ac_power=True, governors=("powersave",)), session=1)
    judged = run_conditions(bench.records, make_sessions(batches, [], []), bench.tasks)
    (mark,) = judged.marks
    assert mark.id == "settings_changed"
    assert names(mark) == ["c", "d"]
    assert judged.ac_power is True


def test_the_last_line_of_a_session_counts_and_warnings_are_kept_once(bench: Bench) -> None:
    warning = HostWarning(id="busy", sentence="Other programs are busy.")
    record = ConditionsRecord(
        config=bench.runs.config(), session=0, before=state(ac_power=False), warnings=(warning,)
    )
    bench.records = [record, record.model_copy(update={"after": state(60, ac_power=False)})]
    judged = bench.judge()
    assert judged.warnings == (warning,)
    assert judged.ac_power is False


def test_what_no_source_told_is_said_with_its_reason(bench: Bench) -> None:
    reason = "This system counts no throttle events."
    bench.every_second("process:swap", lambda _t: 0.0)
    bench.lost = (
        info("throttle:package", source="throttle:events", state=SourceState.ABSENT, reason=reason),
    )
    judged = bench.judge()
    assert judged.marks == ()
    assert judged.not_judged[0] == f"It is not known whether clocks were throttled. {reason}"
    assert len(judged.not_judged) == 4
    assert judged.throttle_events is judged.other_load_share is judged.temperature_max_c is None


def test_a_run_without_readings_or_states(bench: Bench) -> None:
    judged = run_conditions([], (), bench.tasks)
    assert judged.marks == ()
    assert judged.attempts == 4
    assert len(judged.not_judged) == 5
    assert RunConditions.model_validate_json(judged.model_dump_json()) == judged
