from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf_files import ARRAY, BOOL, FLOAT32, INT32, STRING, UINT32, GGUFBuilder
from runtime_tokenizer import runtime_encode
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.tokenizer import (
    TokenizerFiles,
    build_tokenizer,
    patterns,
    write_tokenizer,
)
from edgeagent.export.tokenizer.pretokenizers import PRE_TOKENIZERS

DATA = Path(__file__).parents[2] / "data"
REFERENCE = json.loads((DATA / "tokenizer_reference.json").read_text("utf-8"))["cases"]

Keys = dict[str, tuple[int, Any]]
Build = Callable[[Keys], TokenizerFiles]

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def build_from(keys: Keys) -> TokenizerFiles:
        entries = [(f"tokenizer.{key}", *content) for key, content in keys.items()]
        path = tmp_path / "vocab.gguf"
        path.write_bytes(GGUFBuilder(keys=entries).build())
        with GGUFFile.open(path) as gguf:
            return build_tokenizer(gguf)

    return build_from


def byte_level_keys() -> Keys:
    tokens = [*"abcx12", "Ġ", "ab", "abc", "12", "<|im_end|>", "<tool>", "[PAD]", "<|im_start|>"]
    types = [NORMAL] * 10 + [CONTROL, USER, UNUSED, CONTROL]
    return {
        "ggml.model": (STRING, "gpt2"),
        "ggml.pre": (STRING, "smollm"),
        "ggml.tokens": (ARRAY, (STRING, tokens)),
        "ggml.token_type": (ARRAY, (INT32, types)),
        "ggml.merges": (ARRAY, (STRING, ["a b", "ab c", "1 2"])),
        "ggml.eos_token_id": (UINT32, 10),
        "chat_template": (STRING, "{{ messages }}\r\nü"),
    }


def sentencepiece_keys() -> Keys:
    pieces = ["\u2581", "a", "b", "ab", "\u2581ab", "ba"]
    tokens = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)], *pieces]
    return {
        "ggml.model": (STRING, "llama"),
        "ggml.tokens": (ARRAY, (STRING, tokens)),
        "ggml.token_type": (
            ARRAY,
            (INT32, [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces)]),
        ),
        "ggml.scores": (ARRAY, (FLOAT32, [0.0] * 259 + [-9.0, -9.0, -9.0, -2.0, -3.0, -1.0])),
        "ggml.bos_token_id": (UINT32, 1),
        "ggml.eos_token_id": (UINT32, 2),
        "ggml.unknown_token_id": (UINT32, 0),
    }


def assert_like_reference(files: TokenizerFiles, column: str, skip: set[str]) -> None:
    tokenizer = Tokenizer.from_str(files.tokenizer_json)
    for case in REFERENCE:
        if case["text"] in skip:
            continue
        ids = tokenizer.encode(case["text"]).ids
        assert ids == case[column], case["text"]
        assert tokenizer.decode(ids, skip_special_tokens=False) == case["text"]


def test_smollm2_tokenizes_like_llama_cpp(smollm2_gguf: Path) -> None:
    start = time.perf_counter()
    with GGUFFile.open(smollm2_gguf) as gguf:
        files = build_tokenizer(gguf)
    assert time.perf_counter() - start < 2
    assert (files.bos_id, files.eos_ids, files.pad_id, files.add_bos) == (1, (2, 0), 2, False)
    assert files.chat_template is not None
    assert len(REFERENCE) > 70
    assert_like_reference(files, "smollm2", skip=set())


@pytest.mark.skipif("EDGEAGENT_TEST_QWEN_GGUF" not in os.environ, reason="weights not given")
def test_qwen2_tokenizes_like_llama_cpp() -> None:
    start = time.perf_counter()
    with GGUFFile.open(Path(os.environ["EDGEAGENT_TEST_QWEN_GGUF"])) as gguf:
        files = build_tokenizer(gguf)
    assert time.perf_counter() - start < 5
    assert files.eos_ids == (151_645, 151_643)
    # The model's own tokenizer composes characters (NFC) first; llama.cpp does not.
    composed = {case["text"] for case in REFERENCE if "\u0301" in case["text"]}
    composed |= {case["text"] for case in REFERENCE if "\u0300" in case["text"]}
    assert_like_reference(files, "qwen2.5-coder", skip=composed)


def test_byte_level(build: Build) -> None:
    files = build(byte_level_keys())
    tokenizer = Tokenizer.from_str(files.tokenizer_json)
    assert tokenizer.encode("abc ab12").tokens == ["abc", "Ġ", "ab", "1", "2"]
    assert tokenizer.encode("<|im_end|>a<tool>").ids == [10, 0, 11]
    assert tokenizer.decode([10, 0, 11]) == "a<tool>"
    assert tokenizer.token_to_id("[PAD]") is None
    assert (files.bos_id, files.eos_ids, files.pad_id, files.add_bos) == (None, (10,), 10, False)
    assert files.config["tokenizer_class"] == "TokenizersBackend"


def test_end_of_turn_tokens_count_only_as_control_tokens(build: Build) -> None:
    keys = byte_level_keys()
    keys["ggml.eos_token_id"] = (UINT32, 13)
    assert build(keys).eos_ids == (13, 10)
    keys["ggml.token_type"] = (ARRAY, (INT32, [NORMAL] * 10 + [USER, USER, UNUSED, CONTROL]))
    assert build(keys).eos_ids == (13,)


def test_sentencepiece_merges_the_best_score_first(build: Build) -> None:
    files = build(sentencepiece_keys())
    tokenizer = Tokenizer.from_str(files.tokenizer_json)
    assert tokenizer.encode("ab").tokens == ["\u2581ab"]
    assert tokenizer.encode("bab").tokens == ["\u2581", "ba", "b"]
    assert tokenizer.encode("ä").tokens == ["\u2581", "<0xC3>", "<0xA4>"]
    assert tokenizer.decode(tokenizer.encode("ab ä ab").ids) == "ab ä ab"
    assert (files.bos_id, files.eos_ids, files.add_bos) == (1, (2,), True)


def test_sentencepiece_without_a_space_in_front(build: Build) -> None:
    files = build(sentencepiece_keys() | {"ggml.add_space_prefix": (BOOL, False)})
    tokenizer = Tokenizer.from_str(files.tokenizer_json)
    assert tokenizer.encode("ab").tokens == ["ab"]
    assert tokenizer.decode(tokenizer.encode(" ab").ids) == " ab"


PRE_TOKENIZER_REFERENCE = json.loads((DATA / "pretokenizer_reference.json").read_text("utf-8"))


@pytest.mark.parametrize("name", PRE_TOKENIZER_REFERENCE["ids"])
def test_text_is_cut_like_llama_cpp_does(build: Build, tmp_path: Path, name: str) -> None:
    reference = PRE_TOKENIZER_REFERENCE
    merges = reference["merges"]
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(merge.replace(" ", "") for merge in merges), "<|endoftext|>"]
    files = build(
        {
            "ggml.model": (STRING, "gpt2"),
            "ggml.pre": (STRING, name),
            "ggml.tokens": (ARRAY, (STRING, tokens)),
            "ggml.token_type": (ARRAY, (INT32, [NORMAL] * (len(tokens) - 1) + [CONTROL])),
            "ggml.merges": (ARRAY, (STRING, merges)),
            "ggml.bos_token_id": (UINT32, len(tokens) - 1),
            "ggml.eos_token_id": (UINT32, len(tokens) - 1),
        }
    )
    published = Tokenizer.from_str(files.tokenizer_json)
    runtime = runtime_encode(files, tmp_path / "package")
    assert len(reference["texts"]) > 150
    for text, ids in zip(reference["texts"], reference["ids"][name], strict=True):
        assert runtime(text) == ids, text
        # Where llama.cpp approximates classes of letters, the runtime's agreement is enough.
        if name not in {"gpt-4o", "tekken"}:
            assert published.encode(text).ids == ids, text


def test_every_name_cuts_like_one_that_was_compared() -> None:
    compared = {PRE_TOKENIZERS[name].cuts for name in PRE_TOKENIZER_REFERENCE["ids"]}
    assert {pre.cuts for pre in PRE_TOKENIZERS.values()} == compared
    used = {pattern for cuts in compared for pattern in cuts}
    assert used == patterns.KNOWN


def test_spellings_of_one_pattern() -> None:
    possessive = (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
        r"|\s*[\r\n]|\s+(?!\S)|\s"
    )
    assert patterns.known_pattern(possessive) == patterns.LLAMA3
    assert patterns.known_pattern(patterns.GPT2.removesuffix(r"|\s+")) == patterns.GPT2
    assert patterns.known_pattern(patterns.QWEN2.replace(r"\r\n", "\r\n")) == patterns.QWEN2
    assert patterns.known_pattern(r"\p{N}+") is None
    assert patterns.known_pattern(patterns.LLAMA3.replace("{1,3}", "{1,2}")) is None


def test_runs_of_spaces_of_one_score(build: Build, tmp_path: Path) -> None:
    """SentencePiece joins from the left; the runtime joins all equal pairs at once."""
    keys = sentencepiece_keys()
    runs = ["\u2581" * length for length in range(2, 17)]
    keys["ggml.tokens"][1][1].extend(runs)
    keys["ggml.token_type"][1][1].extend([NORMAL] * len(runs))
    keys["ggml.scores"][1][1].extend([-5.0] * len(runs))
    files = build(keys | {"ggml.add_space_prefix": (BOOL, False)})
    published = Tokenizer.from_str(files.tokenizer_json)
    runtime = runtime_encode(files, tmp_path / "package")
    for length in range(1, 60):
        expected = ["\u2581" * 16] * (length // 16) + ["\u2581" * (length % 16)] * (length % 16 > 0)
        ids = published.encode(" " * length).ids
        assert [published.id_to_token(index) for index in ids] == expected
        assert runtime(" " * length) == ids


def test_carriage_returns_survive_the_runtime(build: Build, tmp_path: Path) -> None:
    keys = sentencepiece_keys()
    keys["ggml.tokens"][1][1].extend(["\r", "\n", "\u2581\r", "\r\n"])
    keys["ggml.token_type"][1][1].extend([NORMAL] * 4)
    keys["ggml.scores"][1][1].extend([-9.0, -9.0, -2.0, -4.0])
    files = build(keys | {"ggml.add_space_prefix": (BOOL, False)})
    runtime = runtime_encode(files, tmp_path / "package")
    tokens = len(keys["ggml.tokens"][1][1])
    assert runtime("a \r\na\r\n") == [260, tokens - 2, tokens - 3, 260, tokens - 1]


@pytest.mark.parametrize(
    ("name", "expected"), [("Phi3", [13, 0]), ("Phi-3-mini", [13, 0]), ("Llama", [13, 6, 0])]
)
def test_special_tokens_of_phi_3_take_white_space_along(
    tmp_path: Path, name: str, expected: list[int]
) -> None:
    path = tmp_path / "vocab.gguf"
    entries = [(f"tokenizer.{key}", *content) for key, content in byte_level_keys().items()]
    path.write_bytes(GGUFBuilder(keys=[("general.name", STRING, name), *entries]).build())
    with GGUFFile.open(path) as gguf:
        files = build_tokenizer(gguf)
    assert Tokenizer.from_str(files.tokenizer_json).encode("<|im_start|> a").ids == expected
    assert runtime_encode(files, tmp_path / "package")("<|im_start|> a") == expected


def test_writes_files_that_load(build: Build, tmp_path: Path) -> None:
    files = build(byte_level_keys())
    folder = tmp_path / "package"
    folder.mkdir()
    written = write_tokenizer(files, folder)
    assert sorted(path.name for path in written) == sorted(p.name for p in folder.iterdir())
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).encode("ab").ids == [7]
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    assert config["eos_token"] == config["pad_token"] == "<|im_end|>"
    assert (folder / "chat_template.jinja").read_bytes().decode() == "{{ messages }}\r\nü"


def changed(key: str, kind: int, content: object) -> Keys:
    return byte_level_keys() | {key: (kind, content)}


DAMAGED = {
    "no tokens": (changed("ggml.tokens", ARRAY, (STRING, [])), "has 0 tokens"),
    "types too few": (changed("ggml.token_type", ARRAY, (INT32, [1])), "and 1 token types"),
    "unknown type": (changed("ggml.token_type", ARRAY, (INT32, [9] * 14)), "no token type 9"),
    "token twice": (changed("ggml.tokens", ARRAY, (STRING, ["a"] * 14)), "0 and 1 are both 'a'"),
    "empty token": (changed("ggml.tokens", ARRAY, (STRING, [""] * 14)), "token 0 is empty"),
    "merge of unknown": (changed("ggml.merges", ARRAY, (STRING, ["a b", "q x"])), "merge 1"),
    "merge into unknown": (changed("ggml.merges", ARRAY, (STRING, ["a x"])), "merge 0"),
    "merge of one": (changed("ggml.merges", ARRAY, (STRING, ["ab"])), "merge 0"),
    "merge of three": (changed("ggml.merges", ARRAY, (STRING, ["a b c"])), "merge 0"),
    "eos out of range": (changed("ggml.eos_token_id", UINT32, 14), "there are 14 tokens"),
    "eos negative": (changed("ggml.eos_token_id", INT32, -1), "there are 14 tokens"),
    "eos unused": (changed("ggml.eos_token_id", UINT32, 12), "marked as unused"),
    "bos missing": (changed("ggml.add_bos_token", BOOL, True), "there is no BOS token"),
    "template not text": (changed("chat_template", UINT32, 1), "chat_template is not a string"),
    "scores too few": (
        sentencepiece_keys() | {"ggml.scores": (ARRAY, (FLOAT32, [0.0]))},
        "as many finite scores",
    ),
    "score not finite": (
        sentencepiece_keys() | {"ggml.scores": (ARRAY, (FLOAT32, [float("nan")] * 265))},
        "as many finite scores",
    ),
    "byte tokens missing": (
        byte_level_keys()
        | {"ggml.model": (STRING, "llama"), "ggml.scores": (ARRAY, (FLOAT32, [0.0] * 14))},
        "256 byte tokens",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_tokenizers_are_refused(build: Build, case: str) -> None:
    keys, message = DAMAGED[case]
    with pytest.raises(DamagedFileError, match=message) as caught:
        build(keys)
    assert "vocab.gguf" in str(caught.value)


def test_no_end_of_answer_is_refused(build: Build) -> None:
    keys = byte_level_keys()
    del keys["ggml.eos_token_id"]
    keys["ggml.token_type"] = (ARRAY, (INT32, [NORMAL] * 14))
    with pytest.raises(DamagedFileError, match="no token ends an answer"):
        build(keys)


def test_unknown_kinds_are_named(build: Build) -> None:
    with pytest.raises(UnsupportedError, match="pre-tokenizer 'klingon'"):
        build(changed("ggml.pre", STRING, "klingon"))
    without = byte_level_keys()
    del without["ggml.pre"]
    with pytest.raises(UnsupportedError, match="does not say how its tokenizer cuts text"):
        build(without)
    with pytest.raises(UnsupportedError, match="kind 'bert'"):
        build(changed("ggml.model", STRING, "bert"))
