from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from edgeagent.engine.scripted import BYTES, EOS_ID, ScriptedEngine, ScriptedSession, replies
from edgeagent.errors import ResourceError
from edgeagent.profiling.bench.cells import CellRunner
from edgeagent.record.bench import Cell, MemoryReading


class WatchedEngine(ScriptedEngine):
    """Keeps the sessions that it opened."""

    def __init__(self, reply: Callable[[str], str], **options: object) -> None:
        super().__init__(reply, **options)  # type: ignore[arg-type]
        self.sessions: list[ScriptedSession] = []

    def open(self, max_context_len: int, adapter: str | None = None) -> ScriptedSession:
        self.sessions.append(super().open(max_context_len, adapter))
        return self.sessions[-1]


@pytest.fixture
def engine() -> WatchedEngine:
    return WatchedEngine(replies("never asked"))


def decode(depth: int, tokens: int) -> Cell:
    return Cell(kind="decode", depth=depth, tokens=tokens)


def prefill(tokens: int, depth: int = 0) -> Cell:
    return Cell(kind="prefill", tokens=tokens, depth=depth)


def test_a_decode_has_all_its_steps_though_the_model_wants_to_stop(engine: WatchedEngine) -> None:
    # The scripted model prefers the end of a turn at once, which ends a decode of a session.
    (reading,) = CellRunner(engine, seed=1).measure(decode(5, 7))
    session = engine.sessions[0]
    assert len(reading.step_ns) == 7
    assert session.tokens[6:] == [EOS_ID] * 7
    assert session.prefilled == 5 + 7, "each step runs one token, the last choice is not run"
    assert reading.t1_ns - reading.t0_ns == sum(reading.step_ns)
    assert reading.prefill_ns is None


def test_a_prefill_runs_the_whole_prompt_every_time(engine: WatchedEngine) -> None:
    readings = CellRunner(engine, seed=1).measure(prefill(20), repeat=3)
    assert engine.sessions[0].prefilled == 3 * 20
    for reading in readings:
        assert reading.prefill_ns is not None
        assert reading.ttft_ns is not None
        assert 0 < reading.prefill_ns <= reading.ttft_ns == reading.t1_ns - reading.t0_ns


def test_only_what_is_missing_of_a_depth_is_prefilled(engine: WatchedEngine) -> None:
    runner = CellRunner(engine, seed=1, context_len=100)
    runner.measure(prefill(20))
    session = engine.sessions[0]
    runner.measure(decode(50, 3))
    assert session.prefilled == 20 + 30 + 3
    runner.measure(decode(10, 3))
    assert session.prefilled == 53 + 3, "a smaller depth needs nothing"
    runner.measure(decode(50, 3), repeat=2)
    # The decode at 10 ran the eleventh token and overwrote what followed.
    assert session.prefilled == 56 + 39 + 2 * 3
    assert len(engine.sessions) == 1


def test_the_depth_of_a_prefill_is_not_measured_but_there(engine: WatchedEngine) -> None:
    runner = CellRunner(engine, seed=1)
    runner.measure(prefill(4, depth=9), repeat=2)
    assert engine.sessions[0].prefilled == 9 + 4 + 4
    assert len(engine.sessions[0].tokens) == 13


def test_tokens_depend_on_the_seed_only(engine: WatchedEngine) -> None:
    def tokens(seed: int, *cells: Cell) -> list[int]:
        runner = CellRunner(engine, seed=seed)
        for cell in cells:
            runner.measure(cell)
        return list(engine.sessions[-1].tokens)

    assert tokens(3, prefill(40)) == tokens(3, prefill(7), decode(9, 2), prefill(40))
    assert tokens(3, prefill(40)) != tokens(4, prefill(40))


def test_control_tokens_are_not_drawn(engine: WatchedEngine) -> None:
    engine.control_tokens = frozenset({"a", "b", "longer"})
    engine.info = dataclasses.replace(engine.info, vocab_size=ord("d"))
    runner = CellRunner(engine, seed=0)
    runner.measure(prefill(2000))
    drawn = set(engine.sessions[0].tokens)
    assert drawn == set(range(ord("d"))) - {ord("a"), ord("b")}
    assert max(drawn) < BYTES


def test_it_repeats_until_both_limits_are_reached(engine: WatchedEngine) -> None:
    runner = CellRunner(engine, seed=0)
    assert len(runner.measure(prefill(3), repeat=4)) == 4
    readings = runner.measure(prefill(3), min_ns=2_000_000)
    assert sum(reading.t1_ns - reading.t0_ns for reading in readings) >= 2_000_000
    assert len(readings) > 1


def test_a_text_goes_through_the_sessions_own_decode() -> None:
    engine = WatchedEngine(replies("yes", "no"))
    prompt = tuple(b"Is it?")
    cell = Cell(kind="text", tokens=10, prompt=prompt)
    first, second = CellRunner(engine, seed=0).measure(cell, repeat=2)
    assert (len(first.step_ns), len(second.step_ns)) == (3, 2), "the end of the turn stops it"
    assert first.ttft_ns is not None
    assert first.prefill_ns is not None
    assert first.prefill_ns <= first.ttft_ns
    assert engine.sessions[0].tokens == list(prompt + tuple(b"no"))


def test_a_longer_cell_opens_a_longer_session(engine: WatchedEngine) -> None:
    runner = CellRunner(engine, seed=0)
    readings = [runner.measure(prefill(tokens))[0] for tokens in (5, 3, 50)]
    assert [reading.open_ns is None for reading in readings] == [False, True, False]
    assert [session.max_context_len for session in engine.sessions] == [6, 51]
    with pytest.raises(Exception, match="closed"):
        engine.sessions[0].append([1])


def test_what_does_not_fit_is_said(engine: WatchedEngine) -> None:
    runner = CellRunner(engine, seed=0, context_len=20)
    runner.measure(decode(10, 9))
    with pytest.raises(ResourceError, match="decode at 10 needs a context of 21 tokens"):
        runner.measure(decode(10, 10))
    with pytest.raises(ResourceError, match="longer than the model"):
        CellRunner(engine, seed=0).measure(prefill(9000))


def test_memory_is_read_around_each_repetition(engine: WatchedEngine) -> None:
    calls: list[str] = []

    class Memory:
        def start_phase(self) -> int | None:
            calls.append("start")
            return None

        def end_phase(self) -> MemoryReading:
            calls.append("end")
            return MemoryReading(rss_peak_bytes=len(calls))

    readings = CellRunner(engine, seed=0, memory=Memory()).measure(prefill(2), repeat=2)
    assert calls == ["start", "end"] * 2
    assert [reading.memory.rss_peak_bytes for reading in readings if reading.memory] == [2, 4]
