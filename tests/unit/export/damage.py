"""Seeded damage to model sources: what is broken, and what may come of it.

Every case is a whole source, as the bytes of its files, with the worst outcome that is allowed:

- `refused`: the damage can be seen, so the export must end in an error.
- `unchanged`: the damage may be without effect; then the package must be the one of the sound
  source, byte for byte.
- `valid`: the damage changes values that no check can tell from intended ones (a weight, a
  letter of a token); then the package must load and compute finite numbers.

An error must be an `EdgeAgentError` in each of them. See `damage_worker` for how they are run.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Expectation = Literal["refused", "unchanged", "valid"]

HOSTILE_NUMBERS = (0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
"""Lengths and counts that overflow, allocate, or run backwards where they are trusted."""


@dataclass(frozen=True)
class Damage:
    """A damaged source.

    Attributes:
        name: What was done, for messages.
        files: Bytes of every file by its name; a single file is named `source.gguf`.
        expectation: The worst outcome that is allowed.
        opened: The file that is given to the exporter, "" for the folder.
    """

    name: str
    files: Mapping[str, bytes]
    expectation: Expectation
    opened: str = ""


def flip(content: bytes, position: int, bit: int) -> bytes:
    """The content with one bit flipped."""
    return put(content, position, bytes([content[position] ^ (1 << bit)]))


def put(content: bytes, position: int, new: bytes) -> bytes:
    """The content with bytes overwritten."""
    return content[:position] + new + content[position + len(new) :]


def put_number(content: bytes, position: int, width: int, number: int) -> bytes:
    """The content with a little-endian number overwritten, cut to its width."""
    return put(content, position, (number % 2 ** (8 * width)).to_bytes(width, "little"))


def truncations(content: bytes, rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """The content cut at random places, denser near the start, where the header is."""
    for _ in range(count):
        length = int(len(content) * rng.random() ** 3)
        yield f"cut to {length} of {len(content)} bytes", content[:length]


NOT_FINITE = {
    "nan": struct.pack("<f", float("nan")),
    "infinity": struct.pack("<f", float("inf")),
}
"""Float32; their upper halves are the same as bfloat16."""

NOT_FINITE_HALVES = {"nan": b"\x00\x7e", "infinity": b"\x00\x7c", "minus infinity": b"\x00\xfc"}
"""Float16."""
