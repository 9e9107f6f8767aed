"""Damaged Hugging Face folders: headers, shard maps, configurations, tokenizers, weights."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from damage import (
    HOSTILE_NUMBERS,
    NOT_FINITE,
    Damage,
    Expectation,
    flip,
    put,
    put_number,
    truncations,
)

Files = Mapping[str, bytes]
Case = tuple[str, bytes, Expectation]
Header = dict[str, Any]

_INDEX = "model.safetensors.index.json"
_CONFIG = "config.json"
_TOKENIZER = "tokenizer.json"
_DEEP = b"[" * 50_000 + b"]" * 50_000


def safetensors_damages(files: Files, seed: int) -> Iterator[Damage]:
    """About 150 damaged versions of a sound folder whose weights are bfloat16 in two shards."""
    rng = random.Random(seed)
    shards = sorted(name for name in files if name.endswith(".safetensors"))
    shard = rng.choice(shards)
    groups: dict[str, Iterator[Case]] = {
        shard: _shard(files[shard], rng),
        _INDEX: _index(files[_INDEX], shards, rng),
        _CONFIG: _config(files[_CONFIG], rng),
        _TOKENIZER: _document(files[_TOKENIZER], rng, unreadable="valid"),
    }
    for changed, cases in groups.items():
        for name, content, expectation in cases:
            yield Damage(
                f"safetensors: {changed}: {name}", {**files, changed: content}, expectation
            )
    for absent in (_INDEX, _CONFIG, *shards):
        kept = {name: content for name, content in files.items() if name != absent}
        yield Damage(f"safetensors: {absent} is missing", kept, "refused")
    swapped = dict(zip(shards, (files[name] for name in reversed(shards)), strict=True))
    yield Damage("safetensors: shards swapped", {**files, **swapped}, "refused")
    same = dict.fromkeys(shards, files[shards[0]])
    yield Damage("safetensors: one shard twice", {**files, **same}, "refused")
    quantized = {**json.loads(files[_CONFIG]), "quantization_config": {"quant_method": "gptq"}}
    changed_config = {**files, _CONFIG: json.dumps(quantized).encode()}
    yield Damage("safetensors: quantized by another tool", changed_config, "refused")


def _split(content: bytes) -> tuple[Header, bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _joined(header: Header | bytes, data: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def _shard(content: bytes, rng: random.Random) -> Iterator[Case]:
    length = int.from_bytes(content[:8], "little")
    for name, damaged in truncations(content, rng, 12):
        yield name, damaged, "refused"
    yield "a byte too many", content + b"\0", "refused"
    yield "a web page", b"<!DOCTYPE html><html>" * 1000, "refused"
    for number in (*HOSTILE_NUMBERS, length - 1, length + 1):
        yield f"header length {number}", put_number(content, 0, 8, number), "refused"
    for position in rng.sample(range(8, 8 + length), 16):
        bit = rng.randrange(8)
        yield f"bit {bit} of byte {position} flipped", flip(content, position, bit), "unchanged"
    yield from _header_bytes(content)
    for name, change, expectation in _header_changes(rng):
        header, data = _split(content)
        change(header)
        yield name, _joined(header, data), expectation
    for name, raw in NOT_FINITE.items():
        position = 8 + length + 2 * rng.randrange((len(content) - 8 - length) // 2)
        yield f"a weight is {name}", put(content, position, raw[2:]), "refused"


def _header_bytes(content: bytes) -> Iterator[Case]:
    """Headers that no JSON writer would write."""
    header, data = _split(content)
    raw = json.dumps(header).encode()
    name = next(name for name in header if name != "__metadata__").encode()
    entry = json.dumps(header[name.decode()]).encode()
    for what, damaged in {
        "a name twice": raw[:-1] + b', "' + name + b'": ' + entry + b"}",
        "not UTF-8": raw.replace(name, b"\xff" * len(name), 1),
        "half a character": raw.replace(name, b"\\udc80", 1),
        "deep lists": raw[:-1] + b', "x": ' + _DEEP + b"}",
        "deep objects": raw[:-1] + b', "x": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
        "a million lists": raw[:-1] + b', "x": [' + b"[]," * 1_000_000 + b"[]]}",
        "a long number": raw[:-1] + b', "x": ' + b"9" * 100_000 + b"}",
        "not a number": raw[:-1] + b', "x": NaN}',
        "a second document": raw + raw,
        "a list": b"[" + raw + b"]",
        "a comment": b"/**/" + raw,
        "nothing": b"{}",
    }.items():
        yield what, _joined(damaged, data), "refused"
    # Larger in memory than in the file, by as much as the limit of a header allows.
    notes = {f"{number:x}": "" for number in range(600_000)}
    yield "many notes", _joined({**header, "__metadata__": notes}, data), "unchanged"
    numbers = raw[:-1] + b', "x": [' + b"1e3," * 2_000_000 + b"1]}"
    yield "many numbers", _joined(numbers, data), "refused"


def _header_changes(
    rng: random.Random,
) -> Iterator[tuple[str, Callable[[Header], object], Expectation]]:
    def entry(header: Header) -> dict[str, Any]:
        names = sorted(name for name in header if name.endswith("_proj.weight"))
        chosen: dict[str, Any] = header[rng.choice(names)]
        return chosen

    def setting(key: str, value: object) -> Callable[[Header], object]:
        return lambda header: entry(header).__setitem__(key, value)

    for dtype in ("F32", "F64", "F8_E4M3", "I16", "U8", "BOOL", "F4", "X", "", 5, None, ["F16"]):
        yield f"data type {dtype!r}", setting("dtype", dtype), "refused"
    yield "data type 'F16'", setting("dtype", "F16"), "valid"  # as wide as it was
    for shape in (
        [],
        [1],
        [-128, -128],
        [2**31, 2**33],
        [2**63, 2**63, 4],
        [1.5, 2],
        [True, True],
        ["128", "128"],
        [[128], [128]],
        "128",
        None,
        [1] * 10_000,
    ):
        yield f"shape {str(shape)[:30]}", setting("shape", shape), "refused"
    for offsets in ([0, 0], [8, 0], [-4, 4], [0, 2**63], [0.0, 1e300], [1], [0, 1, 2], {}, None):
        yield f"offsets {offsets}", setting("data_offsets", offsets), "refused"

    def rename(name: str) -> Callable[[Header], object]:
        return lambda header: header.__setitem__(name, header.pop(next(reversed(header))))

    for name in ("", "../../x", "a\nb", "\x1b[2J", "x" * 100_000, "lm_head.weight.bias"):
        yield f"a tensor named {name[:20]!r}", rename(name), "refused"
    yield "a tensor less", lambda header: header.pop(next(reversed(header))), "refused"
    yield "only notes", lambda header: header.update(__metadata__=[1]), "refused"
    yield (
        "an entry is a list",
        lambda header: header.update({next(reversed(header)): []}),
        "refused",
    )

    def swap(header: Header) -> None:
        norm = next(name for name in header if name.endswith("layernorm.weight"))
        wide = next(name for name in header if name.endswith("q_proj.weight"))
        places = header[norm]["data_offsets"], header[wide]["data_offsets"]
        header[wide]["data_offsets"], header[norm]["data_offsets"] = places

    yield "offsets swapped", swap, "refused"


def _index(content: bytes, shards: list[str], rng: random.Random) -> Iterator[Case]:
    yield from _document(content, rng, unreadable="refused")
    names = sorted(json.loads(content)["weight_map"])
    chosen = rng.choice(names)
    for shard in (
        "absent.safetensors",
        "../model.safetensors",
        "/etc/passwd",
        "..",
        "",
        "C:\\x.safetensors",
        "con\0.safetensors",
        "x" * 5000 + ".safetensors",
        "pytorch_model.bin",
        "config.json",
        7,
        None,
        [shards[0]],
    ):
        document = json.loads(content)
        document["weight_map"][chosen] = shard
        yield f"{chosen} in {str(shard)[:30]!r}", json.dumps(document).encode(), "refused"
    document = json.loads(content)
    other = {shards[0]: shards[1], shards[1]: shards[0]}[document["weight_map"][chosen]]
    document["weight_map"][chosen] = other
    yield f"{chosen} in the other shard", json.dumps(document).encode(), "refused"
    document = json.loads(content)
    del document["weight_map"][chosen]
    yield f"{chosen} in no shard", json.dumps(document).encode(), "refused"
    for weight_map in ({}, [], None, "x", {"a": {}}):
        raw = json.dumps({"weight_map": weight_map}).encode()
        yield f"weight_map is {weight_map}", raw, "refused"
    many = {f"t{index}": f"{index}.safetensors" for index in range(50_000)}
    yield "50,000 shards", json.dumps({"weight_map": many}).encode(), "refused"


def _config(content: bytes, rng: random.Random) -> Iterator[Case]:
    yield from _document(content, rng, unreadable="refused")
    numbers = sorted(
        key
        for key, value in json.loads(content).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    for key in numbers:
        for value in rng.sample((0, -1, 3, 2**31, 10**40, 1.5, 1e400, "8", [8], None, True), 2):
            config = {**json.loads(content), key: value}
            yield f"{key} is {str(value)[:20]}", json.dumps(config).encode(), "valid"
    for key, value in (
        ("model_type", "mamba"),
        ("model_type", "\x1b[31mllama"),
        ("model_type", 5),
        ("model_type", None),
        ("rope_parameters", {"rope_type": "yarn", "factor": 1e9}),
        ("rope_parameters", [1]),
        ("rope_parameters", {"rope_type": "llama3", "rope_theta": float("nan")}),
        ("hidden_act", "gelu"),
        ("sliding_window", -4),
        ("layer_types", ["x"] * 100_000),
    ):
        config = {**json.loads(content), key: value}
        yield f"{key} is {str(value)[:40]}", json.dumps(config).encode(), "valid"


def _document(content: bytes, rng: random.Random, unreadable: Expectation) -> Iterator[Case]:
    """A JSON file that cannot be read."""
    for cut in sorted(rng.sample(range(len(content.rstrip()) - 1), 3)):
        yield f"cut to {cut} of {len(content)} bytes", content[:cut], unreadable
    yield "not UTF-8", content.replace(b"e", b"\xff", 1), unreadable
    yield "deep", b'{"a": ' + _DEEP + b"}", unreadable
    yield "a list", b"[]", unreadable
    yield "zeros", bytes(len(content)), unreadable
    yield "a second document", content + content, unreadable
    for position in rng.sample(range(len(content)), 4):
        bit = rng.randrange(8)
        yield f"bit {bit} of byte {position} flipped", flip(content, position, bit), "valid"
