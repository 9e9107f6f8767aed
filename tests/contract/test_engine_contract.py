"""What every Engine and Session promises, asked of the scripted engine and of the real one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.engine.genai import GenaiEngine
from edgeagent.engine.protocol import Cancelled, DecodeParams, Engine, Session, TokenEvent
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import EngineError, ResourceError

SCRIPT = "Paris, and the river is the Seine. It was founded long ago."
PROMPT = "The capital of France is"
CONTEXT_LEN = 256


class RowEngine:
    """An engine whose sessions are rows of groups: what holds for a session holds for a row."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def open(self, max_context_len: int, adapter: str | None = None) -> Session:
        group = self.engine.open_group(2, max_context_len, adapter)
        group.sessions[0].append(self.engine.encode("x")[:max_context_len])
        return group.sessions[1]


@pytest.fixture(params=["scripted", "genai", "genai row"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "scripted":
        return ScriptedEngine(lambda _conversation: SCRIPT)
    real: GenaiEngine = request.getfixturevalue("smollm2")
    return RowEngine(real) if request.param == "genai row" else real


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    session = engine.open(CONTEXT_LEN)
    yield session
    session.close()


def run(session: Session, **params: object) -> list[TokenEvent]:
    return list(session.decode(DecodeParams(**params)))  # type: ignore[arg-type]


def text_of(events: Sequence[TokenEvent]) -> str:
    return "".join(event.text for event in events)


def ids_of(events: Sequence[TokenEvent]) -> list[int]:
    return [event.token_id for event in events]


def check(session: Session) -> None:
    """What holds between any two calls."""
    assert 0 <= session.cached_len <= len(session.tokens) <= session.max_context_len


# Text


@pytest.mark.parametrize(
    "text",
    ["", "a", PROMPT, "  two  spaces\n\n\ttab ", "Grüße, 東京 🗼 — naïve", "x" * 3000, "1,234.5 €"],
)
def test_text_survives_encoding(engine: Engine, text: str) -> None:
    assert engine.decode(engine.encode(text)) == text


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "\0", "\udfff"])
def test_text_after_a_character_that_cannot_be_encoded_is_not_lost(
    engine: Engine, text: str
) -> None:
    marked = engine.encode(f"before{text}after")
    assert engine.decode(marked).startswith("before")
    assert engine.decode(marked).endswith("after")


def test_encoding_adds_nothing(engine: Engine) -> None:
    assert engine.encode("") == []
    whole = engine.encode("one two three")
    assert engine.encode("one two") == whole[: len(engine.encode("one two"))]


def test_control_tokens_are_single_tokens_and_not_shown(engine: Engine) -> None:
    for token in engine.control_tokens:
        assert len(engine.encode(token)) == 1
        assert engine.decode(engine.encode(token)) in ("", token)
        assert engine.decode(engine.encode(f"a{token}b")) in ("ab", f"a{token}b")


# The conversation


def test_appending_runs_and_keeps_the_tokens(engine: Engine, session: Session) -> None:
    ids = engine.encode(PROMPT)
    session.append(ids)
    assert list(session.tokens) == ids
    assert session.cached_len == len(ids)
    session.append([])
    assert list(session.tokens) == ids


def test_generated_tokens_belong_to_the_conversation(engine: Engine, session: Session) -> None:
    ids = engine.encode(PROMPT)
    session.append(ids)
    events = run(session, max_new_tokens=6)
    assert len(events) == 6
    assert list(session.tokens) == ids + ids_of(events)
    assert len(ids) <= session.cached_len <= len(session.tokens)
    assert engine.decode(ids_of(events)) == text_of(events)
    times = [event.t_ns for event in events]
    assert times == sorted(times)
    more = engine.encode(" Also")
    session.append(more)
    assert list(session.tokens) == ids + ids_of(events) + more
    assert session.cached_len == len(session.tokens)


def test_rewinding_forgets_the_rest(engine: Engine, session: Session) -> None:
    ids = engine.encode(PROMPT)
    session.append(ids)
    first = run(session, max_new_tokens=5)
    session.rewind(len(ids))
    assert list(session.tokens) == ids
    check(session)
    assert ids_of(run(session, max_new_tokens=5)) == ids_of(first)
    session.rewind(0)
    assert list(session.tokens) == []
    assert session.cached_len == 0
    session.append(ids)
    assert ids_of(run(session, max_new_tokens=5)) == ids_of(first)


@pytest.mark.parametrize("length", [-1, 100])
def test_rewinding_to_what_is_not_there_is_refused(
    engine: Engine, session: Session, length: int
) -> None:
    session.append(engine.encode(PROMPT))
    before = list(session.tokens)
    with pytest.raises(ValueError, match="rewind"):
        session.rewind(length)
    assert list(session.tokens) == before


@settings(max_examples=12, deadline=None)
@given(
    actions=st.lists(
        st.tuples(st.sampled_from(["append", "decode", "rewind"]), st.integers(0, 9)), max_size=8
    )
)
@pytest.mark.parametrize("kind", ["scripted", "genai", "genai row"])
def test_any_order_of_calls_keeps_the_books(
    request: pytest.FixtureRequest, kind: str, actions: list[tuple[str, int]]
) -> None:
    engine: Engine = (
        ScriptedEngine(lambda _conversation: SCRIPT)
        if kind == "scripted"
        else request.getfixturevalue("smollm2")
    )
    if kind == "genai row":
        engine = RowEngine(engine)
    session = engine.open(64)
    expected: list[int] = []
    for action, amount in [("append", 3), *actions]:
        if action == "append":
            new = (engine.encode(SCRIPT) * 2)[:amount]
            if len(new) > session.max_context_len - len(expected):
                continue
            session.append(new)
            expected += new
            assert session.cached_len == len(expected)
        elif action == "decode" and expected:
            expected += ids_of(run(session, max_new_tokens=amount))
        elif action == "rewind":
            del expected[max(0, len(expected) - amount) :]
            session.rewind(len(expected))
        assert list(session.tokens) == expected
        check(session)
    session.close()


# Limits


def test_too_long_a_prompt_is_refused_without_side_effects(
    engine: Engine, session: Session
) -> None:
    ids = engine.encode(PROMPT)
    session.append(ids)
    cached_len = session.cached_len
    with pytest.raises(ResourceError, match=str(CONTEXT_LEN)):
        session.append(ids * 100)
    assert list(session.tokens) == ids
    assert session.cached_len == cached_len
    assert run(session, max_new_tokens=2)


def test_generation_ends_when_the_context_is_full(engine: Engine) -> None:
    ids = engine.encode(PROMPT)
    session = engine.open(len(ids) + 3)
    session.append(ids)
    assert len(run(session, max_new_tokens=50)) == 3
    assert len(session.tokens) == session.max_context_len
    assert run(session, max_new_tokens=50) == []
    with pytest.raises(ResourceError):
        session.append(ids[:1])
    session.close()


def test_a_prompt_may_fill_the_context_to_the_last_token(engine: Engine) -> None:
    ids = engine.encode(PROMPT)
    session = engine.open(len(ids))
    session.append(ids)
    assert session.cached_len == len(ids)
    session.close()


def test_a_longer_context_than_the_models_is_refused(engine: Engine) -> None:
    with pytest.raises(ResourceError, match=str(engine.info.context_len)):
        engine.open(engine.info.context_len + 1)
    with pytest.raises(ValueError, match="0 tokens"):
        engine.open(0)


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_the_limit_of_new_tokens_is_kept(engine: Engine, session: Session, limit: int) -> None:
    session.append(engine.encode(PROMPT))
    assert len(run(session, max_new_tokens=limit)) == limit


def test_the_end_of_a_turn_is_neither_reported_nor_kept() -> None:
    engine = ScriptedEngine(lambda _conversation: "Hi")
    session = engine.open(64)
    session.append(engine.encode("x"))
    assert text_of(run(session, max_new_tokens=50)) == "Hi"
    assert engine.decode(session.tokens) == "xHi"


def test_the_real_models_end_of_turn_is_neither_reported_nor_kept(smollm2: GenaiEngine) -> None:
    session = smollm2.open(128)
    session.append(
        smollm2.encode("<|im_start|>user\nSay: Hello.<|im_end|>\n<|im_start|>assistant\n")
    )
    events = run(session, max_new_tokens=100)
    (end,) = smollm2.encode("<|im_end|>")
    assert 0 < len(events) < 100
    assert end not in ids_of(events)
    assert session.tokens[-1] == events[-1].token_id
    session.close()


# Stopping


def test_a_stop_string_ends_generation_also_across_tokens(engine: Engine, session: Session) -> None:
    ids = engine.encode(PROMPT)
    session.append(ids)
    whole = text_of(run(session, max_new_tokens=12))
    for width in (1, 3, 6):
        stop = whole[8 : 8 + width]
        session.rewind(len(ids))
        events = run(session, max_new_tokens=12, stop=("never", stop))
        shown = text_of(events)
        assert stop in shown
        assert stop not in text_of(events[:-1])
        assert whole.startswith(shown)
        assert list(session.tokens) == ids + ids_of(events)


def test_a_cancelled_prefill_keeps_what_was_done(engine: Engine, session: Session) -> None:
    session.append(engine.encode(PROMPT))
    reported = run(session, max_new_tokens=3)
    before = list(session.tokens)
    assert before[-1] == reported[-1].token_id
    with pytest.raises(Cancelled):
        session.append(engine.encode(SCRIPT), should_stop=lambda: True)
    assert list(session.tokens) == before
    check(session)
    assert run(session, max_new_tokens=3)


def test_generation_stops_on_request(engine: Engine, session: Session) -> None:
    session.append(engine.encode(PROMPT))
    asked = iter([False, False, True])
    events = list(session.decode(DecodeParams(max_new_tokens=50), should_stop=lambda: next(asked)))
    assert len(events) == 2
    assert list(session.tokens)[-2:] == ids_of(events)


def test_a_caller_that_stops_listening_leaves_exactly_what_it_heard(
    engine: Engine, session: Session
) -> None:
    ids = engine.encode(PROMPT)
    for grammar in (None, 'start: "The answer is: " /[a-z]+/'):
        session.rewind(0)
        session.append(ids)
        stream = session.decode(DecodeParams(max_new_tokens=50, grammar=grammar))
        heard = [next(stream).token_id for _ in range(2)]
        stream.close()  # type: ignore[attr-defined]
        assert list(session.tokens) == ids + heard
        session.append(engine.encode(" and"))
        assert session.cached_len == len(session.tokens)


def test_progress_counts_up_to_the_total(engine: Engine, session: Session) -> None:
    calls: list[tuple[int, int]] = []
    ids = engine.encode(SCRIPT)
    session.append(ids, on_progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(ids), len(ids))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    run(session, max_new_tokens=2)
    pending = len(session.tokens) - session.cached_len
    calls.clear()
    session.append(ids, on_progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(ids) + pending, len(ids) + pending)


# Grammars


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        ("start: /[0-9]{3}-[a-f]{2}/", r"[0-9]{3}-[a-f]{2}"),
        ('start: "yes" | "no"', r"yes|no"),
        ('start: "Thought: " /[^\\n]{1,20}/ "\\n" "Answer: " /[A-Z][a-z]{0,8}/', None),
        ("start: /(é|ü|東){4}/", r"(é|ü|東){4}"),
    ],
)
def test_generation_obeys_the_grammar(
    engine: Engine, session: Session, grammar: str, pattern: str | None
) -> None:
    session.append(engine.encode(PROMPT))
    text = text_of(run(session, max_new_tokens=80, grammar=grammar))
    assert re.fullmatch(pattern or r"Thought: [^\n]{1,20}\nAnswer: [A-Z][a-z]{0,8}", text)


def test_generation_obeys_a_json_schema(engine: Engine, session: Session) -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "minLength": 1, "maxLength": 12},
            "kind": {"enum": ["river", "town"]},
            "size": {"type": "integer", "minimum": 0, "maximum": 99},
        },
        "required": ["city", "kind", "size"],
        "additionalProperties": False,
        "x-guidance": {"whitespace_flexible": False},
    }
    session.append(engine.encode(PROMPT))
    value = json.loads(
        text_of(run(session, max_new_tokens=120, grammar=f"start: %json {json.dumps(schema)}"))
    )
    assert set(value) == {"city", "kind", "size"}
    assert 1 <= len(value["city"]) <= 12
    assert value["kind"] in ("river", "town")
    assert 0 <= value["size"] <= 99


def test_forced_tokens_are_marked_and_not_run_one_by_one(engine: Engine, session: Session) -> None:
    ids = engine.encode(PROMPT)
    session.append(ids)
    literal = "The only thing that can be said here"
    events = run(session, max_new_tokens=60, grammar=f'start: "{literal}"')
    assert text_of(events) == literal
    assert list(session.tokens) == ids + ids_of(events)
    forced = [event for event in events if event.forced]
    # How the last token of a literal is cut may be the model's choice.
    assert len(forced) >= len(events) - 2
    if len(forced) == len(events):
        assert session.cached_len == len(ids)


def test_forced_tokens_count_towards_the_limit(engine: Engine, session: Session) -> None:
    session.append(engine.encode(PROMPT))
    events = run(session, max_new_tokens=3, grammar='start: "The only thing that can be said"')
    assert len(events) == 3


@pytest.mark.parametrize("grammar", ["", "nonsense (", "start: missing_rule", "start: %json {"])
def test_a_grammar_that_is_not_valid_is_refused(
    engine: Engine, session: Session, grammar: str
) -> None:
    session.append(engine.encode(PROMPT))
    with pytest.raises(EngineError, match="grammar"):
        run(session, grammar=grammar)
    assert run(session, max_new_tokens=2)


# Sampling


def test_a_seed_repeats_what_was_sampled(engine: Engine, session: Session) -> None:
    ids = engine.encode(PROMPT)
    said = []
    for seed in (7, 7, 8, 9):
        session.rewind(0)
        session.append(ids)
        said.append(ids_of(run(session, max_new_tokens=16, temperature=1.5, seed=seed)))
    assert said[0] == said[1]
    assert said[0] != said[2] or said[0] != said[3]


def test_a_tiny_nucleus_or_temperature_is_greedy(engine: Engine, session: Session) -> None:
    ids = engine.encode(PROMPT)
    session.append(ids)
    greedy = ids_of(run(session, max_new_tokens=6))
    for params in ({"temperature": 1.0, "top_p": 1e-9}, {"temperature": 1e-300}):
        session.rewind(len(ids))
        assert ids_of(run(session, max_new_tokens=6, **params)) == greedy


# Adapters


def test_an_engine_without_adapters_says_so(engine: Engine) -> None:
    assert engine.adapters == ()
    with pytest.raises(EngineError, match="no adapter 'nurse'"):
        engine.open(64, "nurse")
    with pytest.raises(EngineError, match="no adapter ''"):
        engine.open(64, adapter="")


def test_an_adapter_changes_only_the_sessions_that_have_it() -> None:
    engine = ScriptedEngine(
        lambda _conversation: SCRIPT,
        adapters={"pirate": lambda _conversation: "Arr.", "nurse": lambda _conversation: "Rest."},
    )
    assert engine.adapters == ("nurse", "pirate")
    for adapter, said in (("nurse", "Rest."), (None, SCRIPT), ("pirate", "Arr.")):
        session = engine.open(CONTEXT_LEN, adapter)
        session.append(engine.encode(PROMPT))
        assert text_of(run(session)) == said
        session.rewind(0)
        session.append(engine.encode(PROMPT))
        assert text_of(run(session)) == said
    with pytest.raises(EngineError, match="nurse, pirate"):
        engine.open(CONTEXT_LEN, "doctor")


# Lifetime


def test_there_is_nothing_to_continue_before_a_prompt(session: Session) -> None:
    with pytest.raises(EngineError, match="appended yet"):
        session.decode(DecodeParams())


def test_a_closed_session_says_so_and_closes_twice(engine: Engine) -> None:
    session = engine.open(32)
    session.append(engine.encode("a b"))
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.append(engine.encode("c"))
    with pytest.raises(EngineError, match="closed"):
        session.decode(DecodeParams())


def test_sessions_do_not_share_anything(engine: Engine) -> None:
    first, second = engine.open(64), engine.open(64)
    first.append(engine.encode(PROMPT))
    alone = ids_of(run(first, max_new_tokens=4))
    first.rewind(len(engine.encode(PROMPT)))
    second.append(engine.encode("Completely different words about farming"))
    run(second, max_new_tokens=4)
    assert ids_of(run(first, max_new_tokens=4)) == alone
    first.close()
    second.close()


def test_the_engine_says_what_it_is(engine: Engine) -> None:
    info = engine.info
    assert info.name
    assert info.version
    assert info.ep == "cpu"
    assert info.vocab_size > max(engine.encode(SCRIPT))
    assert info.context_len >= CONTEXT_LEN
