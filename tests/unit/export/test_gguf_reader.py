from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf_files import ARRAY, BOOL, FLOAT32, INT32, STRING, UINT32, GGUFBuilder, Tensor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent.errors import DamagedFileError, EdgeAgentError, SourceError, UnsupportedError
from edgeagent.export.checkpoint.blocks import dequantize
from edgeagent.export.checkpoint.gguf.header import MAX_ELEMENTS
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.checkpoint.types import BlockType

F32, F16, Q8_0, IQ2_XS = 0, 1, 8, 17


def valid() -> GGUFBuilder:
    return GGUFBuilder(
        keys=[
            ("general.architecture", STRING, "llama"),
            ("llama.block_count", UINT32, 2),
            ("llama.eps", FLOAT32, 0.5),
            ("flag", BOOL, True),
            ("names", ARRAY, (STRING, ["a", "", "ü"])),
            ("numbers", ARRAY, (INT32, [1, -2, 3])),
            ("scores", ARRAY, (FLOAT32, [0.0, -1.5])),
            ("flags", ARRAY, (BOOL, [True, False])),
            ("nested", ARRAY, (ARRAY, [(INT32, [1]), (STRING, ["x"])])),
        ],
        tensors=[
            Tensor("norm", (4,), F32, np.arange(4, dtype="<f4").tobytes()),
            Tensor("linear", (3, 64), Q8_0, bytes(range(204))),
        ],
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[[GGUFBuilder | bytes], Path]:
    def write_file(content: GGUFBuilder | bytes) -> Path:
        path = tmp_path / "model.gguf"
        path.write_bytes(content if isinstance(content, bytes) else content.build())
        return path

    return write_file


Write = Callable[[GGUFBuilder | bytes], Path]


@pytest.mark.parametrize("version", [2, 3])
def test_reads_metadata_and_tensors(write: Write, version: int) -> None:
    builder = valid()
    builder.version = version
    with GGUFFile.open(write(builder)) as gguf:
        assert gguf.architecture == "llama"
        assert gguf.get_int("llama.block_count") == 2
        assert gguf.get_float("llama.eps") == 0.5
        assert gguf.get_bool("flag") is True
        assert gguf.get_strings("names") == ["a", "", "ü"]
        assert gguf.get_ints("numbers") == [1, -2, 3]
        assert gguf.get_floats("scores") == [0.0, -1.5]
        assert gguf.metadata["flags"] == [True, False]
        assert gguf.metadata["nested"] == [[1], ["x"]]
        assert gguf.size_bytes == gguf.path.stat().st_size
        assert list(gguf.tensors) == ["norm", "linear"]
        linear = gguf.tensors["linear"]
        assert (linear.shape, linear.type, linear.nbytes) == ((3, 64), BlockType.Q8_0, 204)
        assert gguf.raw("norm").view("<f4").tolist() == [[0, 1, 2, 3]]
        assert gguf.raw("linear").shape == (3, 68)
        assert gguf.raw("linear").tobytes() == bytes(range(204))


def test_raw_is_a_read_only_view_that_outlives_close(write: Write) -> None:
    gguf = GGUFFile.open(write(valid()))
    view = gguf.raw("linear")
    assert not view.flags.owndata
    assert not view.flags.writeable
    gguf.close()
    gguf.close()
    assert view[0, 0] == 0
    with pytest.raises(ValueError, match="closed"):
        gguf.raw("norm")


def test_getters_return_defaults_only_for_missing_keys(write: Write) -> None:
    with GGUFFile.open(write(valid())) as gguf:
        assert gguf.get_int("missing", None) is None
        assert gguf.get_int("missing", 7) == 7
        assert gguf.get_float("missing", 1.5) == 1.5
        assert gguf.get_strings("missing", None) is None
        assert gguf.get_float("llama.block_count") == 2.0
        for getter in (gguf.get_str, gguf.get_int, gguf.get_float, gguf.get_bool, gguf.get_ints):
            with pytest.raises(DamagedFileError, match=r"model\.gguf has no metadata key missing"):
                getter("missing")
        with pytest.raises(DamagedFileError, match=r"general\.architecture is not an integer"):
            gguf.get_int("general.architecture", 1)
        with pytest.raises(DamagedFileError, match="flag is not an integer"):
            gguf.get_int("flag")
        with pytest.raises(DamagedFileError, match="flags is not an array of integers"):
            gguf.get_ints("flags")
        with pytest.raises(DamagedFileError, match="numbers is not an array of strings"):
            gguf.get_strings("numbers")
        with pytest.raises(DamagedFileError, match="no tensor absent"):
            gguf.raw("absent")


def test_a_number_that_is_not_finite_is_refused(write: Write) -> None:
    builder = valid()
    builder.keys.append(("theta", FLOAT32, float("nan")))
    gguf = GGUFFile.open(write(builder))
    with gguf, pytest.raises(DamagedFileError, match="theta is not a finite number"):
        gguf.get_float("theta")


def test_a_type_that_cannot_be_unpacked_still_opens(write: Write) -> None:
    tensor = Tensor("w", (1, 256), IQ2_XS, bytes(74))
    with GGUFFile.open(write(GGUFBuilder(tensors=[tensor]))) as gguf:
        assert str(gguf.tensors["w"].type) == "IQ2_XS (type 17)"


def test_outer_axes_of_size_one_are_dropped(write: Write) -> None:
    shapes = {"a": (1, 1, 1, 8), "b": (1, 2, 1, 4), "c": (1,), "d": (1, 1), "e": (8, 1)}
    tensors = [Tensor(name, shape, F32, bytes(32)) for name, shape in shapes.items()]
    with GGUFFile.open(write(GGUFBuilder(tensors=tensors))) as gguf:
        found = {name: tensor.shape for name, tensor in gguf.tensors.items()}
        assert found == {"a": (8,), "b": (2, 1, 4), "c": (1,), "d": (1,), "e": (8, 1)}
        assert gguf.raw("b").shape == (2, 16)


def test_tensors_lie_where_the_alignment_of_the_file_says(write: Write) -> None:
    builder = valid()
    builder.alignment = 4096
    builder.keys.append(("general.alignment", UINT32, 4096))
    with GGUFFile.open(write(builder)) as gguf:
        assert [tensor.offset for tensor in gguf.tensors.values()] == [4096, 8192]
        assert gguf.raw("linear").tobytes() == bytes(range(204))


@pytest.mark.parametrize("kind", ["F64", "I8", "I16", "I32", "I64"])
def test_numbers_that_are_no_weights_still_open(write: Write, kind: str) -> None:
    block = BlockType[kind]
    data = bytes(range(2 * 3 * block.block_bytes))
    with GGUFFile.open(
        write(GGUFBuilder(tensors=[Tensor("w", (2, 3), int(block.identity), data)]))
    ) as gguf:
        assert gguf.tensors["w"].type is block
        assert gguf.raw("w").tobytes() == data
        with pytest.raises(UnsupportedError, match=f"w is stored as {kind}"):
            dequantize(gguf.raw("w"), block, 3, source="w")


def test_a_vocabulary_of_a_quarter_million_tokens_opens_quickly(write: Write) -> None:
    tokens = [f"t{index}" for index in range(262_144)]
    merges = [f"{token} {token}" for token in tokens] * 2
    keys = [("tokens", ARRAY, (STRING, tokens)), ("merges", ARRAY, (STRING, merges))]
    path = write(GGUFBuilder(keys=keys))
    start = time.perf_counter()
    with GGUFFile.open(path) as gguf:
        seconds = time.perf_counter() - start
        assert gguf.get_strings("merges")[-1] == "t262143 t262143"
    assert seconds < 5  # it takes half a second; a shared machine may be slow


def test_what_cannot_be_opened(tmp_path: Path, write: Write) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        GGUFFile.open(tmp_path / "absent.gguf")
    with pytest.raises(SourceError, match="not a regular file"):
        GGUFFile.open(tmp_path)
    with pytest.raises(SourceError, match=r"does not exist|cannot be read"):
        GGUFFile.open(tmp_path / "null\0byte")
    with pytest.raises(DamagedFileError, match="is empty"):
        GGUFFile.open(write(b""))
    with pytest.raises(DamagedFileError, match="is not a GGUF file"):
        GGUFFile.open(write(b"PK\x03\x04" + bytes(100)))
    with pytest.raises(DamagedFileError, match="ends within the header"):
        GGUFFile.open(write(b"GGUF\x03\0\0\0"))
    with pytest.raises(UnsupportedError, match="big-endian"):
        GGUFFile.open(write(b"GGUF\0\0\0\x03" + bytes(100)))
    with pytest.raises(UnsupportedError, match="version 1"):
        GGUFFile.open(write(b"GGUF\x01\0\0\0" + bytes(100)))


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user who can be refused"
)
def test_a_file_without_permission_is_refused(write: Write) -> None:
    path = write(valid())
    path.chmod(0)
    with pytest.raises(SourceError, match="cannot be read: Permission denied"):
        GGUFFile.open(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes exist on POSIX only")
def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="not a regular file"):
        GGUFFile.open(tmp_path / "pipe")


def raw_key(kind: int, body: bytes) -> bytes:
    """A file with one key `k` whose value bytes are given."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
    return head + struct.pack("<I", kind) + body + bytes(64)


def with_keys(*keys: tuple[str, int, object]) -> bytes:
    return GGUFBuilder(keys=list(keys)).build()


def with_tensors(*tensors: Tensor, **fields: int) -> bytes:
    return GGUFBuilder(tensors=list(tensors), **fields).build()  # type: ignore[arg-type]


def f32(name: str = "t", shape: tuple[int, ...] = (8,), **fields: int) -> Tensor:
    return Tensor(name, shape, fields.pop("type_id", F32), bytes(32), **fields)


def five_deep() -> object:
    content: object = (INT32, [1])
    for _ in range(5):
        content = (ARRAY, [content])
    return content


HOSTILE = {
    "absurd tensor count": (with_tensors(f32(), tensor_count=2**63), "list of .* tensors"),
    "absurd key count": (GGUFBuilder(key_count=2**62).build(), "metadata keys"),
    "string beyond the end": (raw_key(STRING, struct.pack("<Q", 2**40)), "'k'"),
    "too many elements": (raw_key(ARRAY, struct.pack("<IQ", 0, MAX_ELEMENTS + 1)), "elements"),
    "numbers beyond the end": (raw_key(ARRAY, struct.pack("<IQ", 10, 1000)), "at least 8000"),
    "strings beyond the end": (raw_key(ARRAY, struct.pack("<IQ", 8, 1000)), "at least 8000"),
    "element beyond the end": (
        raw_key(ARRAY, struct.pack("<IQQ", 8, 2, 2**63)),
        "ends within element 0",
    ),
    "many arrays": (raw_key(ARRAY, struct.pack("<IQ", 9, 10_001)), "more than 10000 arrays"),
    "arrays beyond the end": (raw_key(ARRAY, struct.pack("<IQ", 9, 1000)), "at least 12000"),
    "unknown value type": (raw_key(99, b""), "unknown value type 99"),
    "unknown element type": (raw_key(ARRAY, struct.pack("<IQ", 99, 1)), "element type 99"),
    "boolean that is neither": (raw_key(BOOL, b"\x02"), "stored as 2"),
    "array boolean that is neither": (
        raw_key(ARRAY, struct.pack("<IQB", BOOL, 1, 5)),
        "neither 0 nor 1",
    ),
    "string not UTF-8": (with_keys(("k", STRING, b"\xff\xfe")), "not valid UTF-8"),
    "element not UTF-8": (with_keys(("k", ARRAY, (STRING, ["a", b"\xff"]))), "element 1 of"),
    "deep nesting": (with_keys(("k", ARRAY, five_deep())), "nests arrays"),
    "key twice": (with_keys(("k", UINT32, 1), ("k", UINT32, 1)), "listed twice"),
    "alignment of three": (with_keys(("general.alignment", UINT32, 3)), "power of two"),
    "alignment of zero": (with_keys(("general.alignment", UINT32, 0)), "power of two"),
    "alignment of another type": (with_keys(("general.alignment", STRING, "x")), "power of two"),
    "tensor twice": (with_tensors(f32("a"), f32("a")), "listed twice"),
    "tensors overlap": (with_tensors(f32("a"), f32("b", offset=0)), "'b' starts at byte 0 of"),
    "a gap": (with_tensors(f32("a"), f32("b", offset=64)), "'b' starts at byte 64 .* not at 32"),
    "tensors swapped": (with_tensors(f32("a", offset=32), f32("b", offset=0)), "'a' starts at"),
    "tensor beyond the end": (with_tensors(f32(offset=1 << 40)), "starts at byte 1099511627776"),
    "tensor too long": (with_tensors(f32(shape=(16,))), "and the file at"),
    "tensor at an odd place": (with_tensors(f32(offset=4)), "starts at byte 4 of"),
    "a smaller type": (
        with_tensors(Tensor("a", (16,), F16, bytes(64)), f32("b")),
        "'b' starts at byte 64 .* not at 32",
    ),
    "product overflows": (with_tensors(f32(shape=(2**62, 2**62, 8))), "and the file at"),
    "no axis": (with_tensors(f32(shape=())), "has 0 axes"),
    "five axes": (with_tensors(f32(shape=(1, 1, 1, 1, 8))), "has 5 axes"),
    "axis of size 0": (with_tensors(f32(shape=(0, 8))), "axis of size 0"),
    "part of a block": (with_tensors(f32(shape=(33,), type_id=Q8_0)), "multiple of the 32"),
    "tensor name with a line break": (with_tensors(f32("a\nb")), r"'a\\nb' is not the name"),
    "empty tensor name": (with_tensors(f32("")), "'' is not the name"),
    "long tensor name": (with_tensors(f32("n" * 65)), "more than the 64 allowed"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_damaged_files(case: str, write: Write) -> None:
    content, message = HOSTILE[case]
    with pytest.raises(DamagedFileError, match=message) as caught:
        GGUFFile.open(write(content))
    assert "model.gguf" in str(caught.value)


def test_unknown_tensor_type_and_split_file_are_unsupported(write: Write) -> None:
    with pytest.raises(UnsupportedError, match="'t' with the unknown type 4"):
        GGUFFile.open(write(with_tensors(f32(type_id=4))))
    with pytest.raises(UnsupportedError, match="one of 3 parts"):
        GGUFFile.open(write(with_keys(("split.count", UINT32, 3))))


def test_every_truncation_is_found(write: Write) -> None:
    content = valid().build()
    end = content.rindex(bytes([203])) + 1  # what follows is padding
    for length in range(end):
        with pytest.raises(EdgeAgentError):
            GGUFFile.open(write(content[:length]))


def open_or_refuse(path: Path) -> None:
    """Open and touch everything; nothing but an EdgeAgentError may come out."""
    try:
        gguf = GGUFFile.open(path)
    except EdgeAgentError:
        return
    with gguf:
        for name, tensor in gguf.tensors.items():
            assert gguf.raw(name).size == tensor.nbytes <= gguf.size_bytes


def test_mutated_files_open_or_are_refused(write: Write) -> None:
    rng = random.Random(20240517)
    original = valid().build()
    start = time.perf_counter()
    tracemalloc.start()
    try:
        for _ in range(3000):
            content = bytearray(original)
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(content))
                if rng.random() < 0.5:
                    content[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
                else:
                    width = rng.choice((4, 8))
                    number = rng.choice((0, 1, 2**31, 2**63, 2**64 - 1, rng.getrandbits(64)))
                    content[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
            open_or_refuse(write(bytes(content)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20
    assert time.perf_counter() - start < 60


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_open_or_are_refused(write: Write, content: bytes, with_magic: bool) -> None:
    open_or_refuse(write((b"GGUF\x03\0\0\0" if with_magic else b"") + content))


def test_real_file(smollm2_gguf: Path) -> None:
    start = time.perf_counter()
    with GGUFFile.open(smollm2_gguf) as gguf:
        assert time.perf_counter() - start < 0.5
        assert gguf.architecture == "llama"
        assert len(gguf.tensors) == 272
        assert len(gguf.get_strings("tokenizer.ggml.tokens")) == 49_152
        embedding = gguf.tensors["token_embd.weight"]
        assert (embedding.shape, embedding.type) == ((49_152, 576), BlockType.Q8_0)
        assert gguf.raw("token_embd.weight").shape == (49_152, 576 // 32 * 34)
