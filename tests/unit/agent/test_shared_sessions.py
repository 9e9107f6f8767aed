from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import pytest

from edgeagent.agent import sessions as sessions_module
from edgeagent.agent.models import Model, model_of
from edgeagent.agent.paradigms.multi import Multi
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.sessions import MARGIN_SHARE, available_bytes
from edgeagent.agent.stops import Limits
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.turns import TurnRequest
from edgeagent.config.run import Budget
from edgeagent.engine.protocol import DecodeParams
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.record.outcome import Outcome, StepKind
from edgeagent.record.spans import Recorder, SpanKind

CONTEXT_LEN = 32768
KV_BYTES = 10
SESSION_BYTES = CONTEXT_LEN * KV_BYTES
QUESTION = "What is 12 times 14?"


def engine_of(reply: Callable[[str], str] = lambda _: "It is 168.") -> ScriptedEngine:
    engine = ScriptedEngine(
        reply, context_len=CONTEXT_LEN, adapters={"finance": lambda _: "By the adapter."}
    )
    engine.info = dataclasses.replace(engine.info, kv_bytes_per_token=KV_BYTES)
    return engine


def runtime_of(
    sessions: Literal["own", "shared"] | None = None,
    memory: Sequence[int] | int = 1 << 40,
    reply: Callable[[str], str] = lambda _: "It is 168.",
    open_model: Callable[[str], Model] | None = None,
) -> Runtime:
    """A runtime on a device with this much memory, asked again and again."""
    budget = Budget(max_context_len=CONTEXT_LEN, grounding=True, sessions=sessions)
    left = [memory] * 99 if isinstance(memory, int) else list(memory)
    return Runtime(
        engine_of(reply),
        [Calculator()],
        budget,
        "compact",
        available=lambda: left.pop(0),
        open_model=open_model,
    )


def say(runtime: Runtime, role: str, text: str) -> None:
    runtime.conversation(role).turn(
        TurnRequest([{"role": "user", "content": text}], params=DecodeParams(max_new_tokens=20)),
        recorder=Recorder(),
        limits=Limits(60),
        on_text=lambda _text: None,
    )


def test_each_role_has_its_own_session_where_memory_allows() -> None:
    runtime = runtime_of()
    for role in ("a", "b", "c"):
        runtime.conversation(role)
    assert len(runtime.sessions()) == 3
    assert not runtime.shares_sessions
    assert runtime.conversation("a").session is not runtime.conversation("b").session
    assert runtime.kv_cache_bytes() == 3 * SESSION_BYTES
    runtime.close()


def test_roles_share_the_first_session_when_the_next_would_not_fit() -> None:
    # Systems show a cache as used only when it is written, so opened ones are counted here.
    runtime = runtime_of(memory=2 * SESSION_BYTES)
    for role in ("a", "b", "c", "d"):
        runtime.conversation(role)
    assert len(runtime.sessions()) == 2
    assert runtime.shares_sessions
    assert runtime.conversation("c").session is runtime.conversation("a").session
    assert runtime.conversation("d").session is runtime.conversation("a").session
    runtime.close()


def test_memory_that_others_take_meanwhile_is_noticed() -> None:
    runtime = runtime_of(memory=[9 * SESSION_BYTES, SESSION_BYTES // 2])
    runtime.conversation("a")
    runtime.conversation("b")
    assert runtime.shares_sessions
    runtime.close()


@pytest.mark.parametrize(("sessions", "opened"), [("own", 3), ("shared", 1)])
def test_the_user_decides(sessions: Literal["own", "shared"], opened: int) -> None:
    runtime = runtime_of(sessions, memory=0 if sessions == "own" else 1 << 40)
    for role in ("a", "b", "c"):
        runtime.conversation(role)
    assert len(runtime.sessions()) == opened
    assert runtime.shares_sessions is (sessions == "shared")
    runtime.close()


def test_what_belongs_to_another_model_or_adapter_is_never_shared() -> None:
    def open_model(_name: str) -> Model:
        return model_of(engine_of(), "compact", grounded=True)

    runtime = runtime_of("shared", open_model=open_model)
    for model, adapter in ((None, None), (None, "finance"), ("large", None), ("large", "finance")):
        for role in ("a", "b"):
            runtime.conversation(role, model=model, adapter=adapter)
    assert len(runtime.sessions()) == 4
    runtime.close()


def test_a_role_of_the_same_name_with_another_model_is_another_conversation() -> None:
    def open_model(_name: str) -> Model:
        return model_of(engine_of(), "compact", grounded=True)

    runtime = runtime_of(open_model=open_model)
    large = runtime.with_model("large")
    assert runtime.conversation("agent").session is not large.conversation("agent").session
    assert large.conversation("agent") is runtime.conversation("agent", model="large")
    assert large.main is runtime.model("large")
    runtime.close()


def test_a_shared_session_is_rewound_to_what_two_roles_have_in_common() -> None:
    runtime = runtime_of("shared")
    say(runtime, "a", "The harbour opens at six.")
    before = list(runtime.sessions()[0].tokens)
    say(runtime, "b", "The harbour opens at nine.")
    after = list(runtime.sessions()[0].tokens)
    common = len("[user]The harbour opens at ")
    assert before[:common] == after[:common]
    assert bytes(after).decode().startswith("[user]The harbour opens at nine.")
    runtime.close()


def test_only_the_first_prefix_of_a_shared_session_is_warmed_up() -> None:
    runtime = runtime_of("shared")
    first, second = runtime.conversation("a"), runtime.conversation("b")
    first.warm_up(TurnRequest([{"role": "system", "content": "You are a."}]))
    held = list(first.session.tokens)
    second.warm_up(TurnRequest([{"role": "system", "content": "You are b."}]))
    assert list(first.session.tokens) == held
    runtime.close()


def run_multi(sessions: Literal["own", "shared"]) -> tuple[Outcome, int, tuple[str, ...]]:
    runtime = runtime_of(sessions, reply=lambda _: "Thought: I must use ")
    paradigm = Multi(runtime)
    paradigm.warm_up()
    prefilled = 0
    for question in (QUESTION, "What is 5 times 9?"):
        task = TaskRun(60)
        outcome = paradigm.run(question, task)
        spans = [span for span in task.recorder.trace() if span.kind is SpanKind.PREFILL]
        prefilled += sum(span.tokens_in - span.tokens_cached for span in spans)
    agents = tuple(dict.fromkeys(span.agent for span in spans))
    runtime.close()
    return outcome, prefilled, agents


def test_answers_are_the_same_and_only_work_is_more() -> None:
    own, own_prefilled, own_agents = run_multi("own")
    shared, shared_prefilled, shared_agents = run_multi("shared")
    assert own.answer == shared.answer
    assert own.steps == shared.steps
    assert StepKind.ROUTE in {step.kind for step in own.steps}
    assert own_agents == shared_agents  # spans tell roles apart that share a session
    assert shared_prefilled > 2 * own_prefilled


def test_a_margin_stays_free_and_limits_of_containers_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Memory:
        total = 1000
        available = 600

    monkeypatch.setattr(sessions_module.psutil, "virtual_memory", Memory)
    monkeypatch.setattr(sessions_module, "memory_limit_bytes", lambda: None)
    monkeypatch.setattr(sessions_module, "memory_headroom_bytes", lambda: None)
    assert available_bytes() == 600 - MARGIN_SHARE * 1000
    monkeypatch.setattr(sessions_module, "memory_limit_bytes", lambda: 400)
    monkeypatch.setattr(sessions_module, "memory_headroom_bytes", lambda: 250)
    assert available_bytes() == 250 - MARGIN_SHARE * 400
