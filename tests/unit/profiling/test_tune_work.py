"""The piece of work: the same tokens for all settings, weighed as it says."""

from __future__ import annotations

import pytest

from edgeagent.agent.chat.template import ChatTemplate
from edgeagent.config.tuned import Goal
from edgeagent.errors import EngineError
from edgeagent.profiling.tune.work import Work, first_difference, make_work
from edgeagent.record.bench import Reading

MS = 1_000_000


def encode(text: str) -> list[int]:
    return list(text.encode())


def work_for(goal: Goal = "latency", context_len: int = 2048) -> Work:
    return make_work(goal, context_len=context_len, template=ChatTemplate(None), encode=encode)


def prefill(duration_ms: int) -> Reading:
    return Reading(t0_ns=5, t1_ns=5 + duration_ms * MS, prefill_ns=0, ttft_ns=duration_ms * MS)


def answer(*steps_ms: int) -> Reading:
    total = sum(steps_ms) * MS
    return Reading(t0_ns=0, t1_ns=total, step_ns=tuple(step * MS for step in steps_ms))


def test_latency_is_the_weighted_time_of_a_turn() -> None:
    work = work_for()
    cost_s = work.cost_s(
        {
            "prefill of 32": prefill(100),
            "prefill of 256": prefill(500),
            # The first token costs nothing, accepted guesses have steps of 0.
            "copying": answer(9, 20, 0, 0, 20),
            "free text": answer(9, 30, 30),
        }
    )
    assert cost_s == pytest.approx(0.75 * 0.1 + 0.25 * 0.5 + 24 * (0.5 * 0.010 + 0.5 * 0.030))
    assert work.tokens == 0.75 * 32 + 0.25 * 256 + 24


def test_an_answer_that_ends_at_once_does_not_count() -> None:
    work = work_for("throughput")
    readings = {"prefill of 512": prefill(1000), "copying": answer(), "free text": answer(5, 30)}
    assert work.cost_s(readings) == pytest.approx(1.0 + 128 * 0.030)
    with pytest.raises(EngineError, match="ends its turn at once"):
        work.cost_s(readings | {"free text": answer(5)})


def test_work_says_its_weights() -> None:
    assert work_for().description == (
        "prefill of 32 (weight 0.75) or 256 (weight 0.25) tokens, then 24 of answer "
        "(copying 0.5, free text 0.5)"
    )


@pytest.mark.parametrize("goal", ["latency", "throughput", "energy"])
@pytest.mark.parametrize("context_len", [64, 200, 300, 2048])
def test_work_fits_any_context(goal: Goal, context_len: int) -> None:
    work = work_for(goal, context_len)
    assert all(cell.context_len <= context_len for cell in work.cells.values())
    assert work.longest_prompt < context_len
    assert set(work.answers) == {"copying", "free text"}


def test_prompts_are_written_in_the_models_own_template() -> None:
    work = make_work(
        "latency",
        context_len=2048,
        template=ChatTemplate("<<{{ messages[0].content }}>>"),
        encode=encode,
    )
    text = bytes(work.cells["copying"].prompt).decode()
    assert text.startswith("<<Repeat this text word for word:")
    assert text.endswith(">>")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [((), (), None), ((1, 2), (1, 2), None), ((1, 2), (1, 3), 1), ((1, 2), (1,), 1), ((), (1,), 0)],
)
def test_first_difference(one: tuple[int, ...], other: tuple[int, ...], same: int | None) -> None:
    assert first_difference(one, other) == same
