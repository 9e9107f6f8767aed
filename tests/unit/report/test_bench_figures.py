from __future__ import annotations

import pytest
from bench_records import (
    CONFIG,
    DECODE,
    PROMPT,
    SIZES,
    bench_record,
    ceiling,
    cell,
    load,
    prompt,
    steps,
)

from edgeagent.record.bench import Cell, Reading
from edgeagent.record.conditions import HostState, HostWarning
from edgeagent.report.bench import work
from edgeagent.report.bench.model import BenchSummary, CellSummary
from edgeagent.report.bench.summary import summarize_bench


def state(throttle: float = 4, busy: float = 0.0) -> HostState:
    return HostState(utc="", t_ns=0, throttle_events={"package": throttle}, other_load_share=busy)


def by_kind(summary: BenchSummary) -> tuple[CellSummary, CellSummary]:
    prefill, decode = summary.cells
    assert (prefill.cell, decode.cell) == (PROMPT, DECODE)
    return prefill, decode


# What a cell needs at least


def test_positions_are_those_of_a_causal_mask() -> None:
    for first, tokens in ((0, 1), (0, 5), (7, 4)):
        counted = sum(position + 1 for position in range(first, first + tokens))
        assert work.attended_positions(first, tokens) == counted


def test_a_decode_step_reads_weights_and_the_cache_so_far() -> None:
    # Four steps behind 7 tokens attend to 8, 9, 10 and 11 positions.
    assert work.decode_bytes(SIZES, DECODE) == 1_000_000 + 1000 * 9.5


def test_a_prefill_reads_the_weights_once_per_call() -> None:
    # 10 tokens in calls of 8: the second one sees all 10 in the cache.
    expected = 2 * 1_000_000 + 1000 * (8 + 10)
    assert work.prefill_bytes(SIZES, PROMPT, chunk_len=8) == expected
    deeper = Cell(kind="prefill", tokens=8, depth=5)
    assert work.prefill_bytes(SIZES, deeper, chunk_len=8) == 1_000_000 + 1000 * 13


def test_operations_of_a_decode_step() -> None:
    # 2000 weights in products once each; 2 layers x 4 heads x 2 dimensions, two products.
    assert work.decode_ops(SIZES, DECODE) == 2 * 2000 + 4 * 16 * 9.5
    apart = SIZES.model_copy(update={"tied": False, "parameters": 2800})
    assert work.decode_ops(apart, DECODE) == work.decode_ops(SIZES, DECODE)


def test_operations_of_a_prefill() -> None:
    blocks, head, attention = 1200, 800, 4 * 16 * 55
    last = work.prefill_ops(SIZES, PROMPT, chunk_len=8)
    assert last == 2 * blocks * 10 + 2 * head * 2 + attention
    every = SIZES.model_copy(update={"head_rows": "all"})
    assert work.prefill_ops(every, PROMPT, chunk_len=8) == 2 * 2000 * 10 + attention


# Rates


def test_rates_are_those_of_rounds() -> None:
    prefill, decode = by_kind(summarize_bench(bench_record()))
    # Round 0: 20 tokens in 200 ms; round 1: 10 in 200 ms.
    assert (prefill.tok_per_s.mean, prefill.tok_per_s.median) == (75.0, 75.0)
    assert (prefill.tok_per_s.n, prefill.repetitions) == (2, 3)
    assert prefill.ttft_s is not None
    assert prefill.ttft_s.mean == pytest.approx((0.110 + 0.220) / 2)
    assert prefill.tpot_s is None
    # Round 0: 8 tokens in 160 ms; round 1: 4 in 160 ms.
    assert decode.tok_per_s.mean == pytest.approx((50 + 25) / 2)
    assert decode.tpot_s is not None
    assert decode.tpot_s.mean == pytest.approx(0.030)
    assert decode.ttft_s is None


def test_intervals_are_over_rounds_only() -> None:
    prefill, _ = by_kind(summarize_bench(bench_record()))
    assert prefill.tok_per_s.interval is not None
    # Resampling two values gives their means: 50, 75 or 100.
    assert (prefill.tok_per_s.interval.low, prefill.tok_per_s.interval.high) == (50.0, 100.0)
    one_round = bench_record(cells=(cell(0, PROMPT, *[prompt(90 + i, 100) for i in range(20)]),))
    (only,) = summarize_bench(one_round).cells
    assert only.repetitions == 20
    assert only.tok_per_s.interval is None, "20 repetitions of one process are one measurement"


def test_joules_per_token_need_all_rounds() -> None:
    prefill, decode = by_kind(summarize_bench(bench_record()))
    assert prefill.energy_j_per_token == pytest.approx(9.0 / 30)
    assert decode.energy_j_per_token == pytest.approx(2.0 / 12)
    cells = bench_record().cells
    holed = (*cells[:3], cells[3].model_copy(update={"energy_j": None}))
    prefill, decode = by_kind(summarize_bench(bench_record(cells=holed)))
    assert prefill.energy_j_per_token is None
    assert decode.energy_j_per_token is not None


# Limits


def test_the_best_kernel_is_the_limit() -> None:
    summary = summarize_bench(bench_record())
    assert summary.bandwidth is not None
    assert (summary.bandwidth.kernel, summary.bandwidth.rate.mean) == ("read:a", 75e6)
    assert summary.int8_rate is not None
    assert (summary.int8_rate.kernel, summary.int8_rate.rate.mean) == ("matmul:u8s8", 3e6)
    assert summary.kernel_rate is not None
    assert (summary.kernel_rate.kernel, summary.kernel_rate.rate.mean) == ("matmul:nbits4", 1.5e6)


def test_a_round_is_held_against_its_own_limits() -> None:
    """The machine was half as fast in the second round, so nothing changes."""
    _, decode = by_kind(summarize_bench(bench_record()))
    expected = 1_009_500 / 0.020 / 100e6
    assert decode.mbu is not None
    assert decode.mbu.mean == pytest.approx(expected)
    assert decode.mbu.interval is not None
    assert decode.mbu.interval.high - decode.mbu.interval.low < 1e-12
    assert decode.bound == "memory"
    assert decode.limit_share == decode.mbu


def test_utilization_of_a_prefill() -> None:
    prefill, _ = by_kind(summarize_bench(bench_record()))
    ops = work.prefill_ops(SIZES, PROMPT, 8)
    assert prefill.mfu is not None
    assert prefill.kernel_share is not None
    assert prefill.mfu.mean == pytest.approx(ops / 0.100 / 4e6)
    assert prefill.kernel_share.mean == pytest.approx(2 * prefill.mfu.mean)


def test_what_takes_longer_bounds() -> None:
    slow = tuple(
        ceiling(name, round_, rate)
        for round_ in (0, 1)
        for name, rate in (("read:a", 1e12), ("matmul:u8s8", 1e6))
    )
    prefill, decode = by_kind(summarize_bench(bench_record(ceilings=slow)))
    assert (prefill.bound, decode.bound) == ("compute", "compute")
    assert decode.limit_share == decode.mfu


def test_limits_on_paper_stand_beside_the_measured_ones() -> None:
    prefill, decode = by_kind(summarize_bench(bench_record()))
    assert decode.mbu_spec == pytest.approx(1_009_500 * 37.5 / 150e6)
    assert prefill.mfu_spec == pytest.approx(work.prefill_ops(SIZES, PROMPT, 8) / 10 * 75 / 8e6)
    prefill, decode = by_kind(summarize_bench(bench_record(spec=None)))
    assert (prefill.mfu_spec, decode.mbu_spec) == (None, None)


def test_nothing_is_invented_where_nothing_was_measured() -> None:
    summary = summarize_bench(bench_record(ceilings=(), energy_source=None, loads=()))
    assert (summary.bandwidth, summary.int8_rate, summary.kernel_rate) == (None, None, None)
    assert (summary.load_cold, summary.load_warm) == (None, None)
    for found in summary.cells:
        assert (found.mbu, found.mfu, found.kernel_share, found.bound) == (None, None, None, None)
        assert found.mbu_spec is not None, "the stated limit is still there"
    without = summarize_bench(bench_record(sizes=None))
    assert all(found.mbu is None and found.mbu_spec is None for found in without.cells)
    assert without.kv_cache_bytes is None
    assert any("no utilization" in note for note in without.notes)


def test_limits_of_other_rounds_do_not_count() -> None:
    only_first = tuple(found for found in bench_record().ceilings if found.round == 0)
    _, decode = by_kind(summarize_bench(bench_record(ceilings=only_first)))
    assert decode.mbu is not None
    assert decode.mbu.n == 1
    assert decode.tok_per_s.n == 2


# Loads, memory, notes


def test_loads_are_told_apart() -> None:
    summary = summarize_bench(bench_record())
    assert summary.load_cold is not None
    assert summary.load_warm is not None
    assert (summary.load_cold.load_s.n, summary.load_cold.load_s.mean) == (1, 0.4)
    assert summary.load_cold.storage_read_bytes == 3_000_000
    assert summary.load_warm.load_s.mean == pytest.approx(0.2)
    assert summary.load_warm.first_token_s.mean == pytest.approx(0.207)
    assert summary.kv_cache_bytes == 12 * 1000


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"complete": False}, "ended early, in round 2 of 2", id="early"),
        pytest.param({"cache_bytes": 2_000_000}, "fit the processor's caches", id="in cache"),
        pytest.param(
            {"warnings": (HostWarning(id="hot", sentence="It is hot.", remedy="Wait."),)},
            "Before: It is hot. Wait.",
            id="warned",
        ),
        pytest.param(
            {"before": state(throttle=4), "after": state(throttle=9)},
            "throttled during the benchmark (5 events)",
            id="throttled",
        ),
        pytest.param(
            {"before": state(), "after": state(busy=0.4)}, "other programs use 40 %", id="busy"
        ),
        pytest.param(
            {"cells": (cell(0, PROMPT, prompt(5, 6)),)},
            "The energy of prefill 10 is not known",
            id="coarse",
        ),
        pytest.param(
            {"loads": (load(cold=False, load_ms=5, share=0.5),)}, "less than 90 %", id="not warm"
        ),
        pytest.param(
            {"ceilings": (ceiling("read:a", 0, 1e6),)}, "utilization above 100 %", id="too much"
        ),
    ],
)
def test_what_a_reader_must_know(changes: dict[str, object], word: str) -> None:
    assert any(word in note for note in summarize_bench(bench_record(**changes)).notes)
    assert not any(word in note for note in summarize_bench(bench_record()).notes)


def test_guessed_tokens_are_no_steps_of_the_model() -> None:
    guessed = steps(40, 1, 1, 40).model_copy(update={"drafted": 4, "accepted": 2})
    summary = summarize_bench(
        bench_record(cells=(cell(0, DECODE, guessed), cell(0, PROMPT, prompt(9, 9))))
    )
    prefill, decode = by_kind(summary)
    assert decode.tpot_s is not None
    assert (decode.mbu, decode.mfu, decode.bound) == (None, None, None)
    assert prefill.mfu is not None
    assert any("50 % of the guesses were right" in note for note in summary.notes)


def test_an_answer_without_a_token_is_no_figure() -> None:
    text = Cell(kind="text", tokens=8, prompt=(1, 2))
    silent = cell(0, text, Reading(t0_ns=0, t1_ns=5, prefill_ns=5))
    spoke = cell(1, text, steps(10, 30))
    assert summarize_bench(bench_record(cells=(silent,))).cells == ()
    (found,) = summarize_bench(bench_record(cells=(silent, spoke))).cells
    assert found.tok_per_s.mean == pytest.approx(50)
    assert found.mbu is None


def test_the_seed_makes_intervals_repeatable() -> None:
    record = bench_record(
        cells=tuple(cell(round_, DECODE, steps(10 + 7 * round_)) for round_ in range(5))
    )
    assert summarize_bench(record) == summarize_bench(record)
    other = record.model_copy(update={"config": CONFIG.model_copy(update={"seed": 2})})
    assert (
        summarize_bench(other).cells[0].tok_per_s.mean
        == summarize_bench(record).cells[0].tok_per_s.mean
    )
