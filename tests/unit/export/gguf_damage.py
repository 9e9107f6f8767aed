"""Damaged GGUF files: every field of the header with hostile values, cuts, flips, bad weights."""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from damage import (
    HOSTILE_NUMBERS,
    NOT_FINITE,
    NOT_FINITE_HALVES,
    Damage,
    Expectation,
    flip,
    put,
    put_number,
    truncations,
)

NAME = "source.gguf"
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_STRUCTURE = frozenset(
    {"version", "tensor count", "key count", "key length", "string length", "array count"}
    | {"name length", "rank", "size", "tensor type", "offset"}
)
"""Fields that say where things are; the others hold what the model means."""


@dataclass(frozen=True)
class Field:
    """One field of a header: what it is, where it lies, and to which key or tensor it belongs."""

    kind: str
    start: int
    end: int
    owner: str

    @property
    def width(self) -> int:
        """Bytes."""
        return self.end - self.start


class _Walker:
    """Lists the fields of a sound header; written apart from the reader that it tests."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 4
        self.fields: list[Field] = []
        self._number("version", 4, "")
        tensors = self._number("tensor count", 8, "")
        for _ in range(self._number("key count", 8, "")):
            self._key_value()
        self.keys_end = self._at
        for _ in range(tensors):
            self._tensor()
        self.header_end = self._at
        self.data_start = self._at + -self._at % 32

    def _bytes(self, kind: str, width: int, owner: str) -> bytes:
        self.fields.append(Field(kind, self._at, self._at + width, owner))
        self._at += width
        return self._content[self._at - width : self._at]

    def _number(self, kind: str, width: int, owner: str) -> int:
        return int.from_bytes(self._bytes(kind, width, owner), "little")

    def _key_value(self) -> None:
        length = self._number("key length", 8, "")
        owner = self._content[self._at : self._at + length].decode()
        self._bytes("key", length, owner)
        self._value(self._number("value type", 4, owner), owner)

    def _value(self, kind: int, owner: str) -> None:
        if kind == _STRING:
            self._bytes("string", self._number("string length", 8, owner), owner)
        elif kind == _ARRAY:
            element = self._number("element type", 4, owner)
            for _ in range(self._number("array count", 8, owner)):
                self._value(element, owner)
        else:
            self._bytes("number", _WIDTHS[kind], owner)

    def _tensor(self) -> None:
        length = self._number("name length", 8, "")
        owner = self._content[self._at : self._at + length].decode()
        self._bytes("name", length, owner)
        for _ in range(self._number("rank", 4, owner)):
            self._number("size", 8, owner)
        self._number("tensor type", 4, owner)
        self._number("offset", 8, owner)


def gguf_damages(content: bytes, seed: int) -> Iterator[Damage]:
    """About 160 damaged versions of a sound file."""
    rng = random.Random(seed)
    walker = _Walker(content)
    by_kind = defaultdict(list)
    for field in walker.fields:
        by_kind[field.kind].append(field)
    last_tensor = by_kind["name"][-1].owner

    def case(name: str, damaged: bytes, expectation: Expectation) -> Damage:
        return Damage(f"gguf: {name}", {NAME: damaged}, expectation, NAME)

    for name, damaged in truncations(content, rng, 20):
        yield case(name, damaged, "refused")
    yield case("another magic", b"GGML" + content[4:], "refused")
    yield case("nothing but text", b"<!DOCTYPE html><html>" * 100, "refused")
    for kind in sorted(_STRUCTURE):
        for number in rng.sample(HOSTILE_NUMBERS, 5):
            field = rng.choice(by_kind[kind])
            damaged = put_number(content, field.start, field.width, number)
            if damaged != content:
                name = f"{kind} of {field.owner!r} at {field.start} is {number}"
                yield case(name, damaged, "unchanged")
        field = rng.choice(by_kind[kind])
        bit = rng.randrange(8 * field.width)
        damaged = flip(content, field.start + bit // 8, bit % 8)
        # What follows the last tensor is not looked at, so that it may be shorter.
        expectation: Expectation = "valid" if field.owner == last_tensor else "unchanged"
        name = f"bit {bit} of {kind} of {field.owner!r} at {field.start} flipped"
        yield case(name, damaged, expectation)
    for kind in ("value type", "element type", "number", "key", "string", "name"):
        for _ in range(6):
            field = rng.choice([field for field in by_kind[kind] if field.width])
            bit = rng.randrange(8 * field.width)
            damaged = flip(content, field.start + bit // 8, bit % 8)
            name = f"bit {bit} of {kind} of {field.owner!r} at {field.start} flipped"
            yield case(name, damaged, "valid")
    yield from (case(*each) for each in _hyperparameters(content, by_kind["number"], rng))
    yield from (case(*each) for each in _texts(content, by_kind, rng))
    yield from (case(*each) for each in _weights(content, walker))
    yield from (case(*each) for each in _large(content, walker))


Case = tuple[str, bytes, Expectation]


def _hyperparameters(content: bytes, numbers: list[Field], rng: random.Random) -> Iterator[Case]:
    """Hyperparameters and token ids that contradict the rest or would allocate a lot."""
    single = [field for field in numbers if not field.owner.endswith(("token_type", "scores"))]
    for field in single:
        if field.width != 4:
            continue
        for number in rng.sample((0, 2**16, 2**24, 2**31 - 1, 2**32 - 1), 2):
            yield (
                f"{field.owner} is {number}",
                put_number(content, field.start, 4, number),
                "valid",
            )
    epsilon = next(field for field in numbers if field.owner.endswith("rms_epsilon"))
    for name, raw in NOT_FINITE.items():
        yield f"{epsilon.owner} is {name}", put(content, epsilon.start, raw), "refused"


def _texts(content: bytes, by_kind: dict[str, list[Field]], rng: random.Random) -> Iterator[Case]:
    for kind in ("key", "string", "name"):
        field = rng.choice([field for field in by_kind[kind] if field.width > 1])
        damaged = put(content, field.start, b"\xff")
        yield f"{kind} of {field.owner!r} is not UTF-8", damaged, "refused"
    name = by_kind["name"][1]
    yield "a tensor with a line break", put(content, name.start, b"\n"), "refused"
    yield "a tensor with an escape", put(content, name.start, b"\x1b[2J"), "refused"
    architecture = next(field for field in by_kind["string"] if "architecture" in field.owner)
    yield "an architecture in colour", put(content, architecture.start, b"\x1b[31m"), "refused"


def _weights(content: bytes, walker: _Walker) -> Iterator[Case]:
    offsets = {field.owner: field for field in walker.fields if field.kind == "offset"}
    starts = {
        owner: walker.data_start + struct.unpack_from("<Q", content, field.start)[0]
        for owner, field in offsets.items()
    }
    for owner in ("blk.0.attn_q.weight", "blk.1.ffn_down.weight", "token_embd.weight"):
        for name, raw in NOT_FINITE_HALVES.items():
            yield f"{owner} has a scale of {name}", put(content, starts[owner], raw), "refused"
    for name, raw in NOT_FINITE.items():
        owner = "output_norm.weight"
        yield f"{owner} has a weight of {name}", put(content, starts[owner], raw), "refused"
    first, second = offsets["blk.0.attn_norm.weight"], offsets["blk.0.attn_q.weight"]
    at_first, at_second = (content[field.start : field.end] for field in (first, second))
    swapped = put(put(content, first.start, at_second), second.start, at_first)
    yield "offsets swapped", swapped, "refused"
    yield "two tensors in one place", put(content, second.start, at_first), "refused"
    scale = put(content, starts["blk.0.attn_q.weight"], b"\xff\x7b")  # 65504, the largest
    yield "a scale of 65504", scale, "valid"
    yield (
        "the weights are noise",
        content[: walker.data_start]
        + bytes(random.Random(1).randbytes(len(content) - walker.data_start)),
        "refused",
    )


def _large(content: bytes, walker: _Walker) -> Iterator[Case]:
    """Sound values that are far larger in memory than in a file."""
    emoji = "\N{WAVING HAND SIGN}".encode()
    one, many, empty = 10 << 20, 1_500_000, 3_500_000
    texts = struct.pack("<II", _ARRAY, _STRING)
    nested = struct.pack("<IIQ", _ARRAY, _ARRAY, many)
    for name, value in {
        "one long text": struct.pack("<IQ", _STRING, one + 4) + bytes(one) + emoji,
        "many short texts": texts
        + struct.pack("<Q", many)
        + (struct.pack("<Q", 8) + 2 * emoji) * many,
        "many empty texts": texts + struct.pack("<Q", empty) + bytes(8 * empty),
        "many lists": nested + struct.pack("<IQ", 4, 0) * many,
        "many numbers": struct.pack("<IIQ", _ARRAY, 12, empty) + bytes(8 * empty),
    }.items():
        key = struct.pack("<Q", len(name)) + name.encode() + value
        header = content[: walker.keys_end] + key + content[walker.keys_end : walker.header_end]
        count = struct.unpack_from("<Q", content, 16)[0] + 1
        header = put_number(header, 16, 8, count) + bytes(-len(header) % 32)
        yield name, header + content[walker.data_start :], "unchanged"
