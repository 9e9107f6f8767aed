"""What every SessionGroup promises: rows that decode together say what each says by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.engine.protocol import DecodeParams, Engine, SessionGroup, TokenEvent
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import EngineError, ResourceError

PROMPTS = (
    "The capital of France is",
    "Once upon a time there was a king who lived in a castle on a hill, and he",
    "2 + 2 =",
    "Dogs and cats",
)
CONTEXT_LEN = 128
ROWS = len(PROMPTS)


def say(conversation: str) -> str:
    return f"{len(conversation)} letters so far; and then some more of them."


@pytest.fixture(params=["scripted", "genai"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "scripted":
        return ScriptedEngine(say)
    real: Engine = request.getfixturevalue("smollm2")
    return real


@pytest.fixture
def group(engine: Engine) -> Iterator[SessionGroup]:
    group = engine.open_group(ROWS, CONTEXT_LEN)
    yield group
    group.close()


def fill(engine: Engine, group: SessionGroup) -> list[list[int]]:
    prompts = [engine.encode(prompt) for prompt in PROMPTS]
    for session, prompt in zip(group.sessions, prompts, strict=True):
        session.append(prompt)
    return prompts


def together(
    group: SessionGroup,
    requests: dict[int, DecodeParams],
    should_stop: Callable[[], bool] | None = None,
) -> dict[int, list[TokenEvent]]:
    said: dict[int, list[TokenEvent]] = defaultdict(list)
    ended = []
    for row, event in group.decode(requests, should_stop=should_stop):
        assert row not in ended
        if event is None:
            ended.append(row)
        else:
            said[row].append(event)
    assert sorted(ended) == ([] if should_stop else sorted(requests))
    return said


def ids_of(events: list[TokenEvent]) -> list[int]:
    return [event.token_id for event in events]


def alone(engine: Engine, prompt: list[int], params: DecodeParams) -> list[TokenEvent]:
    session = engine.open(CONTEXT_LEN)
    try:
        session.append(prompt)
        return list(session.decode(params))
    finally:
        session.close()


MIXED = {
    0: DecodeParams(max_new_tokens=12),
    1: DecodeParams(max_new_tokens=9, grammar='start: "Answer: " /[a-z ]{3,9}/ " and no more"'),
    2: DecodeParams(max_new_tokens=14, temperature=1.2, top_p=0.9, seed=5),
    3: DecodeParams(max_new_tokens=5, grammar="start: /[0-9]{2}/ | /[x-z]{9}/"),
}


def test_rows_say_together_what_each_says_alone(engine: Engine, group: SessionGroup) -> None:
    prompts = fill(engine, group)
    said = together(group, MIXED)
    for row, params in MIXED.items():
        expected = alone(engine, prompts[row], params)
        assert ids_of(said[row]) == ids_of(expected)
        assert [event.forced for event in said[row]] == [event.forced for event in expected]
        assert "".join(e.text for e in said[row]) == "".join(e.text for e in expected)
        assert list(group.sessions[row].tokens) == prompts[row] + ids_of(expected)


def test_rows_that_are_not_named_stay_as_they_are(engine: Engine, group: SessionGroup) -> None:
    prompts = fill(engine, group)
    params = DecodeParams(max_new_tokens=6)
    said = together(group, {0: params, 3: params})
    assert set(said) == {0, 3}
    for row in (1, 2):
        assert list(group.sessions[row].tokens) == prompts[row]
        assert group.sessions[row].cached_len == len(prompts[row])
    said |= together(group, {1: params, 2: params})
    for row in range(ROWS):
        assert ids_of(said[row]) == ids_of(alone(engine, prompts[row], params))


def test_a_fork_goes_its_own_way(engine: Engine, group: SessionGroup) -> None:
    first, second = group.sessions[:2]
    prompt, more = engine.encode(PROMPTS[1]), engine.encode(" said that he")
    first.append(prompt)
    second.append([*prompt[:3], *engine.encode("something else altogether, and longer")])
    group.fork(0, 1)
    assert list(second.tokens) == prompt
    assert second.cached_len == first.cached_len
    second.append(more)
    params = DecodeParams(max_new_tokens=8)
    said = together(group, {0: params, 1: params})
    assert ids_of(said[0]) == ids_of(alone(engine, prompt, params))
    assert ids_of(said[1]) == ids_of(alone(engine, prompt + more, params))


def test_forks_of_what_was_generated_go_on_alike(engine: Engine, group: SessionGroup) -> None:
    prompt = engine.encode(PROMPTS[1])
    params = DecodeParams(max_new_tokens=5)
    for events in (5, 2):
        group.sessions[0].rewind(0)
        group.sessions[0].append(prompt)
        stream = group.sessions[0].decode(params)
        begun = [next(stream).token_id for _ in range(events)]
        for target in (2, 3, 0):
            group.fork(0, target)
        said = together(group, dict.fromkeys((3, 0, 2), params))
        expected = ids_of(alone(engine, prompt + begun, params))
        assert [ids_of(said[row]) for row in (0, 2, 3)] == [expected] * 3


def test_rows_of_one_prompt_are_sampled_apart(engine: Engine, group: SessionGroup) -> None:
    prompt = engine.encode(PROMPTS[0])
    group.sessions[0].append(prompt)
    for row in range(1, ROWS):
        group.fork(0, row)
    requests = {
        row: DecodeParams(max_new_tokens=12, temperature=1.5, seed=row // 2) for row in range(ROWS)
    }
    said = {row: ids_of(events) for row, events in together(group, requests).items()}
    assert said[0] == said[1] == ids_of(alone(engine, prompt, requests[0]))
    assert said[2] == said[3] == ids_of(alone(engine, prompt, requests[3]))
    assert said[0] != said[2]


def test_a_stop_string_ends_its_row_only(engine: Engine, group: SessionGroup) -> None:
    prompts = fill(engine, group)
    whole = "".join(e.text for e in alone(engine, prompts[1], DecodeParams(max_new_tokens=12)))
    stop = whole[6:9]
    said = together(
        group,
        {
            0: DecodeParams(max_new_tokens=12),
            1: DecodeParams(max_new_tokens=12, stop=(stop,)),
        },
    )
    assert len(said[0]) == 12
    assert stop in "".join(event.text for event in said[1])
    assert stop not in "".join(event.text for event in said[1][:-1])


def test_a_full_row_ends_and_the_others_go_on(engine: Engine) -> None:
    prompt = engine.encode(PROMPTS[2])
    group = engine.open_group(2, len(prompt) + 10)
    try:
        group.sessions[0].append(prompt)
        group.sessions[1].append(prompt + prompt[: 10 - 3])
        params = DecodeParams(max_new_tokens=8)
        said = together(group, {0: params, 1: params})
        assert len(said[0]) == 8
        assert len(said[1]) == 10 - len(prompt[:7])
        with pytest.raises(ResourceError):
            group.sessions[1].append(prompt)
    finally:
        group.close()


def test_a_listener_that_leaves_keeps_what_it_heard(engine: Engine, group: SessionGroup) -> None:
    prompts = fill(engine, group)
    stream = group.decode(dict.fromkeys(range(ROWS), DecodeParams(max_new_tokens=20)))
    heard: dict[int, list[int]] = defaultdict(list)
    for _ in range(10):
        row, event = next(stream)
        if event is not None:
            heard[row].append(event.token_id)
    stream.close()  # type: ignore[attr-defined]
    for row, session in enumerate(group.sessions):
        assert list(session.tokens) == prompts[row] + heard[row]
        session.append(engine.encode(" and"))
        assert session.cached_len == len(session.tokens)


def test_a_request_to_stop_ends_all_rows(engine: Engine, group: SessionGroup) -> None:
    fill(engine, group)
    asked = iter([False, False, True])
    requests = dict.fromkeys(range(ROWS), DecodeParams(max_new_tokens=20))
    said = together(group, requests, lambda: next(asked))
    assert 0 < sum(map(len, said.values())) <= 2 * ROWS


def test_wrong_requests_are_refused_before_anything_is_said(
    engine: Engine, group: SessionGroup
) -> None:
    with pytest.raises(EngineError, match="appended yet"):
        group.decode({0: DecodeParams()})
    prompts = fill(engine, group)
    with pytest.raises(EngineError, match="grammar"):
        group.decode({0: DecodeParams(), 1: DecodeParams(grammar="nonsense (")})
    assert [list(session.tokens) for session in group.sessions] == prompts


def test_a_group_is_opened_within_limits(engine: Engine) -> None:
    for rows, length in ((0, 8), (-1, 8), (2, 0)):
        with pytest.raises(ValueError, match="nothing"):
            engine.open_group(rows, length)
    with pytest.raises(ResourceError, match=str(engine.info.context_len)):
        engine.open_group(2, engine.info.context_len + 1)
    with pytest.raises(EngineError, match="no adapter 'nurse'"):
        engine.open_group(2, 8, "nurse")


def test_a_closed_group_says_so_and_closes_twice(engine: Engine) -> None:
    group = engine.open_group(2, 32)
    row = group.sessions[0]
    row.append(engine.encode("a b"))
    group.close()
    group.close()
    for use in (
        lambda: group.fork(0, 1),
        lambda: group.decode({0: DecodeParams()}),
        lambda: row.append(engine.encode("c")),
        lambda: row.decode(DecodeParams()),
    ):
        with pytest.raises(EngineError, match="closed"):
            use()


def test_the_likelihood_of_tokens_is_told_on_request(engine: Engine, group: SessionGroup) -> None:
    fill(engine, group)
    grammar = 'start: "The one thing to be said: " /[a-z]/'
    requests = {
        0: DecodeParams(max_new_tokens=6, logprobs=True),
        1: DecodeParams(max_new_tokens=60, logprobs=True, grammar=grammar),
        2: DecodeParams(max_new_tokens=6),
    }
    said = together(group, requests)
    assert all(event.logprob is not None and event.logprob <= 0 for event in said[0])
    assert [event.logprob is None for event in said[1]] == [event.forced for event in said[1]]
    assert all(event.logprob is None for event in said[2])


@settings(max_examples=8, deadline=None)
@given(
    actions=st.lists(
        st.tuples(
            st.sampled_from(["append", "decode", "rewind", "fork"]),
            st.integers(0, 2),
            st.integers(0, 9),
        ),
        max_size=8,
    )
)
@pytest.mark.parametrize("kind", ["scripted", "genai"])
def test_any_order_of_calls_keeps_the_books_of_all_rows(
    request: pytest.FixtureRequest, kind: str, actions: list[tuple[str, int, int]]
) -> None:
    engine: Engine = request.getfixturevalue("smollm2") if kind == "genai" else ScriptedEngine(say)
    group = engine.open_group(3, 64)
    expected: list[list[int]] = [[], [], []]
    for action, row, amount in [("append", 0, 3), ("append", 2, 4), *actions]:
        session = group.sessions[row]
        if action == "append":
            new = engine.encode(PROMPTS[1])[:amount]
            if len(new) <= 64 - len(expected[row]):
                session.append(new)
                expected[row] += new
        elif action == "fork":
            group.fork(row, amount % 3)
            expected[amount % 3] = list(expected[row])
        elif action == "rewind":
            del expected[row][max(0, len(expected[row]) - amount) :]
            session.rewind(len(expected[row]))
        else:
            params = DecodeParams(max_new_tokens=amount)
            asked = {at: params for at, tokens in enumerate(expected) if tokens and at != row}
            for at, event in group.decode(asked):
                if event is not None:
                    expected[at].append(event.token_id)
        for one, tokens in zip(group.sessions, expected, strict=True):
            assert list(one.tokens) == tokens
            assert 0 <= one.cached_len <= len(tokens)
    group.close()
