"""Markup in grammars: the vocabulary's own token where there is one, text elsewhere."""

from __future__ import annotations

import json

import pytest

from edgeagent.engine.decoding import decode_steps
from edgeagent.engine.grammar import SINGLE_BYTES, GrammarMatcher, GrammarTokenizer
from edgeagent.engine.protocol import DecodeParams
from edgeagent.engine.sampling import Logits
from edgeagent.errors import EngineError

np = pytest.importorskip("numpy")

EOS, OPEN, CLOSE, THINK, UNTHINK = 256, 257, 258, 259, 260
ADDED = {EOS: "<eos>", OPEN: "[TOOL_CALLS]", CLOSE: "<|/tool_call|>", THINK: "<think>"}
VOCAB_SIZE = 261


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


def byte_chars() -> list[str]:
    """The characters by which byte-level vocabularies write the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def tokenizer() -> GrammarTokenizer:
    """A vocabulary of bytes and a few added tokens, two of them ordinary, two special."""
    added = {**ADDED, UNTHINK: "</think>"}
    content = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": token_id,
                "content": text,
                "special": token_id in (EOS, OPEN),
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for token_id, text in added.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {**BYTE_LEVEL, "use_regex": False},
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "vocab": {char: index for index, char in enumerate(byte_chars())},
            "merges": [],
        },
    }
    return GrammarTokenizer(json.dumps(content), VOCAB_SIZE, (EOS,))


@pytest.fixture(scope="module")
def vocabulary() -> GrammarTokenizer:
    return tokenizer()


def allows(found: GrammarTokenizer, grammar: str, *parts: int | str) -> bool:
    ids = [one for part in parts for one in ([part] if isinstance(part, int) else part.encode())]
    try:
        GrammarMatcher(found, grammar).consume(ids)
    except EngineError:
        return False
    return True


CALL = 'start: markup_open " [1]"\nmarkup_open: "[TOOL_CALLS]"'


def test_markup_is_the_token_where_there_is_one(vocabulary: GrammarTokenizer) -> None:
    assert allows(vocabulary, CALL, OPEN, " [1]")
    assert not allows(vocabulary, CALL, "[TOOL_CALLS]")
    plain = GrammarTokenizer(SINGLE_BYTES, None, ())
    assert allows(plain, CALL, "[TOOL_CALLS] [1]")


def test_markup_is_forced_as_its_token(vocabulary: GrammarTokenizer) -> None:
    assert GrammarMatcher(vocabulary, CALL).forced()[0] == OPEN


def test_other_literals_stay_text(vocabulary: GrammarTokenizer) -> None:
    grammar = 'start: "[TOOL_CALLS]" | args\nargs: %json {"enum": ["<think>", "[TOOL_CALLS]"]}'
    assert allows(vocabulary, grammar, "[TOOL_CALLS]")
    assert allows(vocabulary, grammar, '"[TOOL_CALLS]"')
    assert allows(vocabulary, grammar, '"<think>"')
    assert not allows(vocabulary, grammar, OPEN)


THOUGHT = "\n".join(
    [
        'start: markup_think markup_thought "!"',
        'markup_think: "<think>"',
        "WORDS: /(?s:.{0,9})/",
        'markup_thought[lazy, max_tokens=4]: WORDS "</think>"',
    ]
)


def test_words_before_markup_are_counted_in_tokens(vocabulary: GrammarTokenizer) -> None:
    assert allows(vocabulary, THOUGHT, THINK, "abc", UNTHINK, "!")
    assert allows(vocabulary, THOUGHT, THINK, UNTHINK, "!")
    assert not allows(vocabulary, THOUGHT, THINK, "abcdefg", UNTHINK, "!")
    matcher = GrammarMatcher(vocabulary, THOUGHT)
    matcher.consume([THINK, *b"abcd"])
    mask = matcher.mask(np.zeros(VOCAB_SIZE, dtype=np.float32))
    assert np.flatnonzero(np.isfinite(mask)).tolist() == [UNTHINK]


def test_words_before_text_are_limited_by_their_characters() -> None:
    plain = GrammarTokenizer(SINGLE_BYTES, None, ())
    assert allows(plain, THOUGHT, "<think>abcdefg</think>!")
    assert not allows(plain, THOUGHT, "<think>abcdefghij</think>!")
    matcher = GrammarMatcher(plain, THOUGHT)
    matcher.consume(list(b"<think>abcdefghi"))
    assert bytes(matcher.forced()).startswith(b"</think>!")


class _Speaker:
    """Says certain tokens."""

    room = 99
    drafted_len = 0

    def __init__(self, *ids: int) -> None:
        self._ids = list(ids)

    def next_logits(self) -> Logits:
        logits = np.zeros(VOCAB_SIZE, dtype=np.float32)
        logits[self._ids[0] if self._ids else EOS] = 1
        return logits

    def accept(self, token_id: int) -> bool:
        if self._ids and self._ids[0] == token_id:
            self._ids.pop(0)
        return False


class _Hidden:
    """A detokenizer that leaves out control tokens, as runtimes do."""

    def decode(self, token_id: int) -> str:
        return chr(token_id) if token_id < EOS else ""


def test_markup_is_part_of_the_text_also_where_the_tokenizer_hides_it(
    vocabulary: GrammarTokenizer,
) -> None:
    steps = decode_steps(
        _Speaker(OPEN, *b" [1]"),
        DecodeParams(),
        matcher=GrammarMatcher(vocabulary, CALL),
        eos_ids=(EOS,),
        stream=_Hidden(),
    )
    assert "".join(event.text for event in steps if event is not None) == "[TOOL_CALLS] [1]"
