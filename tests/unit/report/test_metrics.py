"""The expected numbers are worked out by hand from the trace in `agent_trace`."""

from __future__ import annotations

import pytest

from edgeagent.record.spans import SpanKind
from edgeagent.report import load_run
from edgeagent.report.metrics import (
    Rate,
    phases_of,
    pooled,
    task_metrics,
    tokens_of,
    tpot_s,
    ttft_s,
)

ORCHESTRATE, PREFILL, DECODE, TOOL = (
    SpanKind.ORCHESTRATE,
    SpanKind.PREFILL,
    SpanKind.DECODE,
    SpanKind.TOOL,
)


@pytest.fixture
def agent_trace(runs):
    """One agent, two turns, one tool; milliseconds from a start at 1000.

    Turn 1: 100 prompt tokens, 60 of them cached, 200 ms; then five tokens at 1210, 1310, 1310,
    1310, 1410, three of them sampled and two forced by the grammar; the decode lasts 210 ms.
    Tool: 50 ms. Turn 2: 120 prompt tokens, 105 cached, 40 ms; three tokens at 1550, 1600, 1650;
    the decode lasts 130 ms. The task lasts 1000 to 1700.
    """
    return (
        runs.span(0, None, ORCHESTRATE, 1000, 1700),
        runs.span(1, 0, ORCHESTRATE, 1000, 1425),
        runs.span(2, 1, PREFILL, 1000, 1200, tokens_in=100, cached=60),
        runs.span(3, 1, DECODE, 1205, 1415, forced=2, token_ms=(1210, 1310, 1310, 1310, 1410)),
        runs.span(4, 0, TOOL, 1430, 1480),
        runs.span(5, 0, PREFILL, 1480, 1520, tokens_in=120, cached=105),
        runs.span(6, 0, DECODE, 1525, 1655, token_ms=(1550, 1600, 1650)),
    )


def test_ttft_is_from_the_task_start_to_the_first_token(agent_trace) -> None:
    assert ttft_s(agent_trace) == pytest.approx(0.210)


def test_tpot_counts_decode_steps_only(agent_trace) -> None:
    # Turn 1: 200 ms over 3 sampled - 1 = 2 steps; turn 2: 100 ms over 2 steps.
    rate = tpot_s(agent_trace)
    assert (rate.amount, rate.per) == (pytest.approx(0.300), 4)
    assert rate.value == pytest.approx(0.075)


def test_tokens_prefilled_are_prompt_minus_cached(agent_trace) -> None:
    tokens = tokens_of(agent_trace)
    assert (tokens.tokens_in, tokens.cached, tokens.prefilled) == (220, 165, 55)
    assert (tokens.out, tokens.forced, tokens.sampled) == (8, 2, 6)


def test_phases_add_up_to_the_task(agent_trace) -> None:
    phases = phases_of(agent_trace)
    assert phases.prefill_ns == 240_000_000
    assert phases.decode_ns == 340_000_000
    assert phases.tool_ns == 50_000_000
    assert phases.overhead_ns == 70_000_000  # 700 - 630


def test_time_of_a_model_inside_a_tool_counts_once(runs) -> None:
    trace = (
        runs.span(0, None, ORCHESTRATE, 0, 100),
        runs.span(1, 0, TOOL, 10, 90),
        runs.span(2, 1, PREFILL, 20, 50, tokens_in=5),
        runs.span(3, 1, DECODE, 50, 80, token_ms=(60,)),
    )
    phases = phases_of(trace)
    assert phases.tool_ns == 20_000_000
    assert phases.prefill_ns == phases.decode_ns == 30_000_000
    assert phases.overhead_ns == 20_000_000


def test_rates_of_a_task(runs, agent_trace) -> None:
    run = load_run(runs.write([runs.task("a", spans=agent_trace)]))
    metrics = task_metrics(run.tasks[0], run)
    assert metrics.e2e_s == pytest.approx(0.700)
    assert metrics.prefill_tok_per_s.value == pytest.approx(229.1667, rel=1e-5)  # 55 / 0.240
    assert metrics.decode_tok_per_s.value == pytest.approx(17.647, rel=1e-4)  # 6 / 0.340
    assert metrics.tool_calls == 1
    assert metrics.rss_peak_bytes is None
    assert metrics.energy_j is None


def test_pooled_rate_divides_sums(runs) -> None:
    # 10 tokens in 1 s and 10 tokens in 4 s are 4 tok/s, not the mean of 10 and 2.5.
    assert pooled([Rate(10, 1), Rate(10, 4)]) == pytest.approx(4.0)
    assert pooled([Rate(0, 0)]) is None
    assert pooled([]) is None


def test_task_without_tokens_has_no_ttft_and_no_rates(runs) -> None:
    trace = (runs.span(0, None, ORCHESTRATE, 0, 5), runs.span(1, 0, DECODE, 1, 2))
    run = load_run(runs.write([runs.task("a", spans=trace)]))
    metrics = task_metrics(run.tasks[0], run)
    assert metrics.ttft_s is None
    assert metrics.tpot_s.value is None
    assert metrics.prefill_tok_per_s.value is None


def test_ttft_skips_a_decode_that_wrote_nothing(runs) -> None:
    trace = (
        runs.span(0, None, ORCHESTRATE, 0, 50),
        runs.span(1, 0, DECODE, 1, 2),
        runs.span(2, 0, DECODE, 10, 30, token_ms=(20, 30)),
    )
    assert ttft_s(trace) == pytest.approx(0.020)


def _two_tasks(runs):
    return [
        runs.task(name, spans=(runs.span(0, None, ORCHESTRATE, t0_ms, t1_ms),))
        for name, t0_ms, t1_ms in (("a", 1000, 2000), ("b", 3000, 4000))
    ]


def test_peak_rss_is_the_largest_reading_within_the_task(runs, rss) -> None:
    readings = [(900, 9e9), (1000, 1e8), (1500, 3e8), (2000, 2e8), (2500, 8e9), (3500, 4e8)]
    folder = runs.write(_two_tasks(runs), [runs.batch((rss,), {"process:rss": readings})])
    run = load_run(folder)
    assert [task_metrics(task, run).rss_peak_bytes for task in run.tasks] == [3e8, 4e8]


def test_energy_interpolates_window_edges_and_wraps_of_the_counter(runs, package) -> None:
    # 1000 to 2000: 4/5 of 10 J, then 60 J, then 5/6 of 30 J; the edges miss readings by 20 ms
    # at the start and 10 ms at the end. 3000 to 4000: 370 J, then 130 J with the wrap in it.
    readings = [(980, 99_500.0), (1080, 99_510.0), (1950, 99_570.0), (2010, 99_600.0)]
    readings += [(3000, 99_600.0), (3600, 99_970.0), (4000, 100.0)]
    batch = runs.batch((package,), {"rapl:package-0": readings})
    run = load_run(runs.write(_two_tasks(runs), [batch]))
    first, second = (task_metrics(task, run).energy_j for task in run.tasks)
    assert first == pytest.approx(8 + 60 + 25)
    assert second == pytest.approx(370 + 130)


def test_energy_of_a_window_that_readings_do_not_cover_is_not_measured(runs, package) -> None:
    batch = runs.batch((package,), {"rapl:package-0": [(1000, 1.0), (2000, 3.0), (3500, 4.0)]})
    run = load_run(runs.write(_two_tasks(runs), [batch]))
    assert [task_metrics(task, run).energy_j is None for task in run.tasks] == [False, True]


def test_readings_of_two_sessions_are_not_joined(runs, rss, package) -> None:
    sources = (rss, package)
    before = runs.batch(
        sources, {"process:rss": [(1500, 1e8)], "rapl:package-0": [(980, 10.0), (2020, 20.4)]}
    )
    after = runs.batch(
        sources,
        {"process:rss": [(3500, 2e8)], "rapl:package-0": [(2980, 1.0), (4020, 21.8)]},
        session=1,
    )
    run = load_run(runs.write(_two_tasks(runs), [before, after]))
    metrics = [task_metrics(task, run) for task in run.tasks]
    assert [found.energy_j for found in metrics] == [pytest.approx(10.0), pytest.approx(20.0)]
    assert [found.rss_peak_bytes for found in metrics] == [1e8, 2e8]


def test_window_that_two_sessions_claim_is_not_measured(runs, rss) -> None:
    sessions = [
        runs.batch((rss,), {"process:rss": [(1000, 1e8), (2000, 1e8)]}, session=number)
        for number in (0, 1)
    ]
    run = load_run(runs.write(_two_tasks(runs), sessions))
    assert task_metrics(run.tasks[0], run).rss_peak_bytes is None
