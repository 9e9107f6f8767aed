from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from runtime_tokenizer import runtime_encode
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from edgeagent.errors import DamagedFileError, SourceError, UnsupportedError
from edgeagent.export.tokenizer import TokenizerFiles, patterns, read_folder_tokenizer

Json = dict[str, Any]

DATA = Path(__file__).parents[2] / "data"
REFERENCE = json.loads((DATA / "pretokenizer_reference.json").read_text("utf-8"))
ALPHABET = sorted(ByteLevel.alphabet())
MERGES: list[str] = REFERENCE["merges"]
WORDS = [*ALPHABET, *(merge.replace(" ", "") for merge in MERGES)]
END, TURN, START = range(len(WORDS), len(WORDS) + 3)

BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
AFTER_SPLIT = BYTE_LEVEL | {"use_regex": False}
SPACE = "\u2581"
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}


def split(pattern: str, **changes: object) -> Json:
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return step | changes


def sequence(*steps: Json) -> Json:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def added(index: int, content: str, **changes: object) -> Json:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": index, "content": content, "special": True, **flags, **changes}


def byte_level_document(pre_tokenizer: Json) -> Json:
    return {
        "version": "1.0",
        "added_tokens": [
            added(END, "<|endoftext|>"),
            added(TURN, "<|eom_id|>"),
            added(START, "<|role|>"),
        ],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": BYTE_LEVEL,
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "vocab": {word: index for index, word in enumerate(WORDS)},
            "merges": MERGES,
        },
    }


QWEN = byte_level_document(sequence(split(patterns.QWEN2), AFTER_SPLIT)) | {
    "normalizer": {"type": "NFC"}
}
QWEN_SETTINGS = {
    "tokenizer_class": "Qwen2Tokenizer",
    "bos_token": None,
    "eos_token": "<|eom_id|>",
    "pad_token": "<|endoftext|>",
    "add_bos_token": False,
    "chat_template": "{{ messages }}",
}


def sentencepiece_document() -> Json:
    pieces = [SPACE, "h", "i", "[", "]", f"{SPACE}h", "hi", f"{SPACE}hi", "ih"]
    tokens = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)], *pieces]
    return {
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": SPACE}, REPLACE],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}],
        },
        "decoder": None,
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [["h", "i"], [SPACE, "hi"], [SPACE, "h"], [f"{SPACE}h", "i"], ["i", "h"]],
        },
    }


LLAMA_SETTINGS = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>"}


def read(
    folder: Path,
    document: object,
    settings: object = QWEN_SETTINGS,
    config: Mapping[str, object] | None = None,
    **files: object,
) -> TokenizerFiles:
    contents = {"tokenizer.json": document, "tokenizer_config.json": settings}
    contents |= {name.replace("__", "."): content for name, content in files.items()}
    for name, content in contents.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, "utf-8")
    return read_folder_tokenizer(folder, config or {})


# As they stand in published files, and the record of llama.cpp for the same way to cut.
PUBLISHED = {
    "qwen2": sequence(split(patterns.QWEN2), AFTER_SPLIT),
    "llama-bpe": sequence(split(patterns.LLAMA3), AFTER_SPLIT),
    "smollm": sequence({"type": "Digits", "individual_digits": True}, BYTE_LEVEL),
    "gpt-2": BYTE_LEVEL,
    "tekken": sequence(split(patterns.TEKKEN, behavior="Removed", invert=True), AFTER_SPLIT),
    "gpt-4o": sequence(split(patterns.GPT4O, behavior="Removed", invert=True), AFTER_SPLIT),
    "deepseek-v3": sequence(
        split(r"\p{N}{1,3}"),
        split("[一-龥\u3040-ゟ\u30a0-ヿ]+"),
        split(patterns.DEEPSEEK3.replace(r"\r\n", "\r\n")),
        AFTER_SPLIT,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_runtime_cuts_published_files_as_they_say(tmp_path: Path, name: str) -> None:
    document = byte_level_document(PUBLISHED[name])
    files = read(tmp_path, document)
    runtime = runtime_encode(files, tmp_path / "package")
    published = Tokenizer.from_str(json.dumps(document))
    ours = Tokenizer.from_str(files.tokenizer_json)
    for text, ids in zip(REFERENCE["texts"], REFERENCE["ids"][name], strict=True):
        assert runtime(text) == ids, text
        expected = published.encode(text, add_special_tokens=False).ids
        assert ours.encode(text).ids == expected, text
        if name not in {"gpt-4o", "tekken"}:  # llama.cpp approximates their classes of letters
            assert expected == ids, text


def test_special_tokens_and_template(tmp_path: Path) -> None:
    config = {"bos_token_id": END, "eos_token_id": TURN, "vocab_size": END + 8}
    files = read(
        tmp_path, QWEN, config=config, generation_config__json={"eos_token_id": [TURN, END]}
    )
    assert (files.bos_id, files.eos_ids, files.pad_id) == (END, (TURN, END), END)
    assert (files.add_bos, files.chat_template) == (False, "{{ messages }}")
    assert files.config["tokenizer_class"] == "TokenizersBackend"
    runtime = runtime_encode(files, tmp_path / "package")
    assert runtime("<|role|>\n<|eom_id|>") == [START, WORDS.index("Ċ"), TURN]


def test_ids_may_come_from_the_configurations_alone(tmp_path: Path) -> None:
    config = {"eos_token_id": [TURN], "pad_token_id": START}
    files = read(tmp_path, QWEN, {}, config)
    assert (files.bos_id, files.eos_ids, files.pad_id) == (None, (TURN, END), START)
    assert files.chat_template is None


def test_tokens_without_an_embedding_are_left_out(tmp_path: Path) -> None:
    """Gemma 3 lists a token for images that its text model has no row for."""
    assert "<|role|>" in read(tmp_path, QWEN).tokenizer_json
    files = read(tmp_path, QWEN, config={"vocab_size": START})
    assert "<|role|>" not in files.tokenizer_json
    with pytest.raises(DamagedFileError, match=f"beyond the {END - 1} rows"):
        read(tmp_path, QWEN, config={"vocab_size": END - 1})


def test_tokens_that_only_the_settings_list(tmp_path: Path) -> None:
    document = QWEN | {"added_tokens": QWEN["added_tokens"][:2]}
    listed = {str(item["id"]): {**item, "id": None} for item in QWEN["added_tokens"]}
    for item in listed.values():
        del item["id"]
    files = read(tmp_path, document, QWEN_SETTINGS | {"added_tokens_decoder": listed})
    assert Tokenizer.from_str(files.tokenizer_json).encode("<|role|>").ids == [START]


@pytest.mark.parametrize("text", ["hi", "hi hi", " hi", "[hi]\r\nhi ü", "<s>hi</s> hi"])
def test_sentencepiece(tmp_path: Path, text: str) -> None:
    document = sentencepiece_document()
    files = read(tmp_path, document, LLAMA_SETTINGS)
    expected = Tokenizer.from_str(json.dumps(document | {"post_processor": None})).encode(text).ids
    assert runtime_encode(files, tmp_path / "package")(text) == expected
    assert (files.bos_id, files.eos_ids, files.pad_id, files.add_bos) == (1, (2,), 2, True)


def test_sentencepiece_like_gemma(tmp_path: Path) -> None:
    cut = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}
    document = sentencepiece_document() | {
        "normalizer": REPLACE,
        "pre_tokenizer": cut | {"invert": False},
    }
    files = read(tmp_path, document, LLAMA_SETTINGS)
    tokens = Tokenizer.from_str(json.dumps(document | {"post_processor": None}))
    runtime = runtime_encode(files, tmp_path / "package")
    for text in ("hi", "hi hi", " hi", "<s>hi  h"):
        assert runtime(text) == tokens.encode(text).ids


def test_sentencepiece_like_mistral(tmp_path: Path) -> None:
    cut = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False}
    document = sentencepiece_document() | {"normalizer": None, "pre_tokenizer": cut}
    published = Tokenizer.from_str(json.dumps(document | {"post_processor": None}))
    files = read(tmp_path, document, LLAMA_SETTINGS | {"chat_template": "<s>{{ messages }}"})
    runtime = runtime_encode(files, tmp_path / "chat")
    for text in ("<s>[hi] hi", "<s>hi</s> hi"):
        assert runtime(text) == published.encode(text).ids
    files = read(tmp_path, document, LLAMA_SETTINGS)
    assert runtime_encode(files, tmp_path / "raw")("hi hi") == published.encode("hi hi").ids


def test_white_space_that_a_special_token_takes_along(tmp_path: Path) -> None:
    document = sentencepiece_document()
    document["added_tokens"][2] = added(2, "</s>", rstrip=True)
    files = read(tmp_path, document, LLAMA_SETTINGS)
    hi = document["model"]["vocab"][f"{SPACE}hi"]
    assert runtime_encode(files, tmp_path / "package")("</s>\nhi") == [2, hi]


TEMPLATES = {
    "jinja file": ({"chat_template__jinja": "a"}, {"chat_template": "b"}, "a"),
    "json file": ({"chat_template__json": {"chat_template": "a"}}, {"chat_template": "b"}, "a"),
    "named": (
        {},
        {
            "chat_template": [
                {"name": "tool_use", "template": "b"},
                {"name": "default", "template": "a"},
            ]
        },
        "a",
    ),
    "named otherwise": ({}, {"chat_template": [{"name": "rag", "template": "b"}]}, None),
}


@pytest.mark.parametrize("case", TEMPLATES)
def test_chat_templates(tmp_path: Path, case: str) -> None:
    files, settings, expected = TEMPLATES[case]
    read_files = read(tmp_path, QWEN, QWEN_SETTINGS | settings, **files)
    assert read_files.chat_template == expected


def test_bos_from_the_post_processor(tmp_path: Path) -> None:
    single = [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A"}}]
    steps = [BYTE_LEVEL, {"type": "TemplateProcessing", "single": single}]
    document = QWEN | {"post_processor": {"type": "Sequence", "processors": steps}}
    settings = {"bos_token": "<|endoftext|>", "eos_token": "<|eom_id|>"}
    assert read(tmp_path, document, settings).add_bos
    assert not read(tmp_path, QWEN, settings).add_bos
    assert not read(tmp_path, document, settings | {"add_bos_token": False}).add_bos
    assert not read(tmp_path, document, settings | {"bos_token": "<|role|>"}).add_bos


def changed(path: str, value: object, document: Json = QWEN) -> Json:
    document = copy.deepcopy(document)
    *parents, last = path.split(".")
    parent = document
    for key in parents:
        parent = parent[key]
    parent[last] = value
    return document


UNSUPPORTED = {
    "kind": (changed("model.type", "Unigram"), "is of the kind Unigram"),
    "suffix": (changed("model.end_of_word_suffix", "</w>"), "sets end_of_word_suffix"),
    "normalizer": (changed("normalizer", {"type": "NFKC"}), "normalizes text with NFKC"),
    "pattern": (
        changed("pre_tokenizer", sequence(split(r"\s?\p{L}+"), AFTER_SPLIT)),
        r"cuts text with the step \{'type': 'Split'",
    ),
    "behavior": (
        changed(
            "pre_tokenizer",
            sequence(split(patterns.QWEN2, behavior="MergedWithNext"), AFTER_SPLIT),
        ),
        "MergedWithNext",
    ),
    "digits": (
        changed(
            "pre_tokenizer", sequence({"type": "Digits", "individual_digits": False}, BYTE_LEVEL)
        ),
        "'Digits'",
    ),
    "prefix": (changed("pre_tokenizer", BYTE_LEVEL | {"add_prefix_space": True}), "prefix_space"),
    "no bytes": (changed("pre_tokenizer", {"type": "Whitespace"}), "cuts text with Whitespace"),
    "none": (changed("pre_tokenizer", None), "cuts text with nothing"),
    "lstrip": (changed("added_tokens", [added(END, "<mask>", lstrip=True)]), "sets lstrip"),
    "always": (
        sentencepiece_document()
        | {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": SPACE}},
        "'Metaspace'",
    ),
    "lowercase": (
        sentencepiece_document() | {"normalizer": {"type": "Lowercase"}},
        "normalizes text with Lowercase",
    ),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_the_runtime_would_read_differently_is_refused(tmp_path: Path, case: str) -> None:
    document, message = UNSUPPORTED[case]
    settings = LLAMA_SETTINGS if "<s>" in document["model"]["vocab"] else QWEN_SETTINGS
    with pytest.raises(UnsupportedError, match=message) as caught:
        read(tmp_path, document, settings)
    assert "tokenizer.json" in str(caught.value)


DAMAGED = {
    "not JSON": ("{", "not valid JSON"),
    "deep": ("[" * 100_000, "not valid JSON"),
    "a list": ("[]", "not a JSON object"),
    "no model": ({"model": {"type": "BPE"}}, "no vocabulary"),
    "ids are text": (changed("model.vocab", {"a": "1"}), "beyond the"),
    "one id twice": (changed("model.vocab", {"a": 1, "b": 1}), "have one id"),
    "merge of unknown": (changed("model.merges", ["a qq"]), "merge 0"),
    "merge of three": (changed("model.merges", ["a b c"]), "merge 0"),
    "merge of numbers": (changed("model.merges", [[1, 2]]), "merge 0"),
    "merge of nothing": (changed("model.merges", [None]), "merge 0"),
    "merges missing": (changed("model.merges", None), "no merges"),
    "added without id": (changed("added_tokens", [{"content": "x"}]), "has no id"),
    "added is text": (changed("added_tokens", ["x"]), "has no id"),
    "added twice": (changed("added_tokens", [added(0, "x")]), "has two ids"),
    "added with a gap": (
        changed("added_tokens", [added(END, "<|eom_id|>"), added(END + 5, "qqq")]),
        "does not follow",
    ),
    "half a character": (
        json.dumps(QWEN).replace('"<|role|>"', '"\\ud83d"'),
        "tokenizers library rejects|does not follow",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused(tmp_path: Path, case: str) -> None:
    document, message = DAMAGED[case]
    with pytest.raises(DamagedFileError, match=message) as caught:
        read(tmp_path, document)
    assert "tokenizer.json" in str(caught.value)


def test_damaged_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"tokenizer_config\.json is not valid JSON"):
        read(tmp_path, QWEN, "{")
    with pytest.raises(DamagedFileError, match="chat template"):
        read(tmp_path, QWEN, QWEN_SETTINGS | {"chat_template": 1})
    with pytest.raises(DamagedFileError, match="chat template"):
        read(tmp_path, QWEN, json.dumps(QWEN_SETTINGS).replace("{{ mess", "\\ud83d"))
    with pytest.raises(DamagedFileError, match="no token ends an answer"):
        read(tmp_path, QWEN | {"added_tokens": []}, {"eos_token": "<none>"})
    (tmp_path / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(DamagedFileError, match="not UTF-8"):
        read_folder_tokenizer(tmp_path, {})


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(41 * 2**20)
    with pytest.raises(DamagedFileError, match="larger than 40 MiB"):
        read_folder_tokenizer(tmp_path, {})


def test_folders_without_tokenizer_json(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no tokenizer\.json"):
        read_folder_tokenizer(tmp_path, {})
    (tmp_path / "tokenizer.model").touch()
    with pytest.raises(SourceError, match=r"has tokenizer\.model and .*save_pretrained"):
        read_folder_tokenizer(tmp_path, {})
