"""N-gram speculation chooses what plain decoding chooses, whatever is guessed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.engine.genai import GenaiEngine
from edgeagent.engine.genai_package import ALL_POSITIONS_NAME
from edgeagent.engine.genai_session import GenaiSession, SessionRuntime
from edgeagent.engine.grammar import SINGLE_BYTES, GrammarMatcher, GrammarTokenizer
from edgeagent.engine.protocol import DecodeParams, TokenEvent
from edgeagent.engine.speculation import Lookahead, draft
from edgeagent.errors import EngineError

# Drafts


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([1, 2, 3, 4, 5, 1, 2], [3, 4, 5, 1]),
        ([1, 2, 3, 1, 2, 4, 1, 2], [4, 1, 2]),  # the latest occurrence counts
        ([7, 7, 7], [7]),  # occurrences may overlap
        ([1, 2, 3, 4], []),
        ([1, 2], []),
        ([1], []),
    ],
)
def test_a_draft_is_what_followed_the_last_time(tokens: list[int], expected: list[int]) -> None:
    assert draft(tokens, NGramSpeculation(ngram_len=2, max_draft_len=4), room=9) == expected


def test_a_draft_is_no_longer_than_there_is_room() -> None:
    assert draft([1, 2, 3, 4, 1], NGramSpeculation(ngram_len=1), room=2) == [2, 3]


def test_the_lookahead_ends_at_the_first_wrong_guess() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    ahead = Lookahead([5, 6], rows)
    assert ahead.logits[0] == 0
    assert ahead.follow(5)
    assert ahead.logits[0] == 2
    assert not ahead.follow(7)
    assert ahead.follow(6)
    assert ahead.logits[0] == 4
    assert not ahead.follow(6)  # everything was used


# Sessions over a model that can be computed


VOCAB = 262  # of the byte tokenizer that the grammar tests use
EOS = 261


class ComputedGenerator:
    """Stands in for the runtime: logits are a function of the last three tokens.

    So what it says repeats itself, and guesses are right for a while.
    """

    def __init__(self, max_len: int) -> None:
        self.history: list[int] = []
        self.calls = 0
        self._max_len = max_len
        self._rows = np.zeros((0, VOCAB), dtype=np.float32)

    def token_count(self) -> int:
        return len(self.history)

    def append_tokens(self, tokens: npt.NDArray[np.int32]) -> None:
        self.calls += 1
        rows = []
        for token in tokens:
            self.history.append(int(token))
            rows.append(_logits(self.history))
        assert len(self.history) <= self._max_len
        self._rows = np.stack(rows)

    def rewind_to(self, length: int) -> None:
        del self.history[length:]

    def get_logits(self) -> npt.NDArray[np.float32]:
        return self._rows[None, -1:]

    def get_output(self, name: str) -> npt.NDArray[np.float32]:
        assert name == "logits"
        return self._rows[None]


def _logits(history: Sequence[int]) -> npt.NDArray[np.float32]:
    seed = zlib.crc32(bytes(token % 3 for token in history[-3:]))
    logits = np.full(VOCAB, -30.0, dtype=np.float32)
    likely = [97, 98, 99, 100, 123, EOS]
    logits[likely] = np.random.default_rng(seed).normal(size=len(likely))
    return logits


class RefusingGenerator(ComputedGenerator):
    """A cache that cannot be rewound."""

    def rewind_to(self, length: int) -> None:
        raise RuntimeError("this cache cannot be rewound")


class Text:
    def decode(self, token_id: int) -> str:
        return chr(token_id)


GRAMMARS = (None, 'start: /[abc]{4,30}/ "{d}" /[abd]*/', 'start: ("abc" | "abd")+ "!"')
_TOKENIZER = GrammarTokenizer(SINGLE_BYTES, None, ())
MAX_LEN = 90


def computed_session(
    speculation: NGramSpeculation | None, made: list[ComputedGenerator], kind: type
) -> GenaiSession:
    def new_generator() -> ComputedGenerator:
        made.append(kind(MAX_LEN))
        return made[-1]

    runtime = SessionRuntime(
        new_generator=new_generator,
        new_stream=Text,
        new_matcher=lambda grammar: GrammarMatcher(_TOKENIZER, grammar),
        eos_ids=frozenset({EOS}),
        vocab_size=VOCAB,
    )
    return GenaiSession(
        runtime, max_context_len=MAX_LEN, prefill_chunk_len=7, speculation=speculation
    )


_TURNS = st.lists(
    st.tuples(
        st.lists(st.integers(97, 100), min_size=1, max_size=9),
        st.sampled_from(GRAMMARS),
        st.sampled_from([0.0, 0.7]),
        st.integers(1, 25),  # tokens generated
        st.integers(0, 12),  # tokens taken back afterwards
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("kind", [ComputedGenerator, RefusingGenerator])
@given(
    turns=_TURNS,
    speculation=st.builds(
        NGramSpeculation, ngram_len=st.integers(1, 3), max_draft_len=st.integers(1, 9)
    ),
)
@settings(max_examples=60, deadline=None)
def test_the_same_tokens_as_without(
    kind: type, turns: Sequence[tuple], speculation: NGramSpeculation
) -> None:
    made: list[ComputedGenerator] = []
    plain = computed_session(None, [], kind)
    guessing = computed_session(speculation, made, kind)
    for appended, grammar, temperature, count, taken_back in turns:
        if len(appended) > plain.room:
            break
        params = DecodeParams(max_new_tokens=count, temperature=temperature, grammar=grammar)
        said: list[list[TokenEvent]] = []
        for session in (plain, guessing):
            session.append(appended)
            said.append([])
            for event in session.decode(params):
                said[-1].append(event)
                assert session.cached_len <= len(session.tokens)
        # The cache holds what it is said to hold, and beyond it nothing but guesses.
        assert made[-1].history[: guessing.cached_len] == guessing.tokens[: guessing.cached_len]
        ids = [[(event.token_id, event.forced) for event in events] for events in said]
        assert ids[0] == ids[1]
        assert plain.tokens == guessing.tokens
        assert not any(event.drafted or event.accepted for event in said[0])
        drafted = sum(event.drafted for event in said[1])
        assert sum(event.accepted for event in said[1]) <= drafted
        for session in (plain, guessing):
            session.rewind(max(1, len(session.tokens) - taken_back))


def test_right_guesses_save_runs() -> None:
    generators: dict[bool, list[ComputedGenerator]] = {False: [], True: []}
    events: list[TokenEvent] = []
    params = DecodeParams(max_new_tokens=60, grammar="start: /[abc]{70}/")  # with no way to end
    for guesses, made in generators.items():
        speculation = NGramSpeculation(ngram_len=3) if guesses else None
        session = computed_session(speculation, made, ComputedGenerator)
        session.append([97, 98, 99, 97, 98, 99, 97, 98])
        events = list(session.decode(params))
    calls = {guesses: made[0].calls for guesses, made in generators.items()}
    accepted = sum(event.accepted for event in events)
    assert accepted > 20
    # The last token is not run in either way.
    assert calls[True] == calls[False] - accepted + events[-1].accepted


# The real model


@pytest.fixture(scope="module")
def guessing(smollm2_package: Path) -> Iterator[GenaiEngine]:
    engine = GenaiEngine(smollm2_package, EngineConfig(speculation=NGramSpeculation()))
    yield engine
    engine.close()


LIST = "\n".join(
    f"{name}: {number} jars" for number, name in enumerate(("plum", "fig", "pear"), 41)
)
PROMPTS = (
    f"Copy this list:\n{LIST}\n\nThe same list:\n",
    "A haiku about the sea:\n",
    "def add(a, b):\n    return a + b\n\ndef subtract(a, b):\n",
)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_real_model_says_what_it_says_without(
    smollm2: GenaiEngine, guessing: GenaiEngine, prompt: str
) -> None:
    """Rows of one run are rounded otherwise than a single row, so near ties may be decided
    differently; each chosen token is within the rounding of the best of plain decoding."""
    session = guessing.open(256)
    session.append(guessing.encode(prompt))
    events = list(session.decode(DecodeParams(max_new_tokens=48)))
    session.close()
    if prompt is PROMPTS[0]:
        assert sum(event.accepted for event in events) > 10
    plain = smollm2.open(256)
    plain.append(smollm2.encode(prompt))
    for event in events:
        logits = plain.next_logits()
        assert float(logits.max() - logits[event.token_id]) < 1.0
        plain.accept(event.token_id)
    plain.close()


def test_a_package_without_the_graph_is_refused(tmp_path: Path, smollm2_package: Path) -> None:
    for file in smollm2_package.iterdir():
        if file.name not in {ALL_POSITIONS_NAME, "manifest.json"}:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(EngineError, match=f"no {ALL_POSITIONS_NAME}, which n-gram speculation"):
        GenaiEngine(tmp_path, EngineConfig(speculation=NGramSpeculation()))
