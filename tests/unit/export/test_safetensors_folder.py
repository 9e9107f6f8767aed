"""Hugging Face folders: what is read, and what is refused with which words."""

from __future__ import annotations

import json
import os
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors_files import Entry, config, safetensors, write_folder, write_sharded

from edgeagent.errors import DamagedFileError, EdgeAgentError, SourceError, UnsupportedError
from edgeagent.export.checkpoint.blocks import dequantize
from edgeagent.export.checkpoint.safetensors import HFConfig, SafetensorsFolder
from edgeagent.export.checkpoint.safetensors.header import MAX_HEADER_BYTES
from edgeagent.export.checkpoint.types import BlockType

NORM = Entry("model.norm.weight", "F32", (4,), np.arange(4, dtype="<f4").tobytes())
LINEAR = Entry("model.linear.weight", "BF16", (3, 2), bytes(range(12)))
SCALAR = Entry("scale", "F16", (), np.float16(1.5).tobytes())
MASK = Entry("mask", "BOOL", (3,), b"\1\0\1")
ALL = (MASK, NORM, LINEAR, SCALAR)


def header_of(**entry: object) -> bytes:
    """A file with one tensor `t`, its entry as given over a valid one, and eight bytes of data."""
    valid = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return safetensors_bytes({"t": valid | entry}, bytes(8))


def safetensors_bytes(header: object, data: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def test_reads_one_file(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, safetensors(*ALL))
    (folder / "consolidated.safetensors").write_bytes(b"something else")
    with SafetensorsFolder.open(folder) as checkpoint:
        assert checkpoint.path == checkpoint.folder == folder
        assert checkpoint.files == (folder / "model.safetensors",)
        assert checkpoint.size_bytes == checkpoint.files[0].stat().st_size
        assert checkpoint.architecture == "llama"
        assert list(checkpoint.tensors) == [entry.name for entry in ALL]
        for entry in ALL:
            tensor = checkpoint.tensors[entry.name]
            assert (tensor.type.name, tensor.shape) == (entry.dtype, entry.shape)
            assert tensor.nbytes == len(entry.data)
            raw = checkpoint.raw(entry.name)
            assert raw.tobytes() == entry.data
            assert raw.shape[0] == tensor.rows
            assert not raw.flags.owndata
            assert not raw.flags.writeable
        checkpoint.release()
        # The three bytes of the mask put every later tensor at an odd address.
        assert checkpoint.tensors[NORM.name].offset % 2
        values = dequantize(checkpoint.raw(NORM.name), BlockType.F32, 4)
        assert values.tolist() == [[0.0, 1.0, 2.0, 3.0]]
        with pytest.raises(DamagedFileError, match="has no tensor absent"):
            checkpoint.raw("absent")
        view = checkpoint.raw(NORM.name)
    assert view[0, 4:8].tobytes() == np.float32(1).tobytes()
    with pytest.raises(ValueError, match="closed"):
        checkpoint.raw(NORM.name)


def test_agrees_with_the_safetensors_library(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(5)
    arrays = {
        "a.weight": rng.standard_normal((5, 7)).astype(np.float32),
        "b.weight": rng.standard_normal((2, 3, 4)).astype(np.float16),
        "c": rng.integers(-128, 127, 11, dtype=np.int8),
        "empty": np.zeros((0, 4), np.float32),
        "ä": rng.standard_normal(3),
    }
    folder = write_folder(tmp_path, library.save(arrays, metadata={"format": "pt"}))
    with SafetensorsFolder.open(folder) as checkpoint:
        assert set(checkpoint.tensors) == set(arrays)
        for name, array in arrays.items():
            assert checkpoint.tensors[name].shape == array.shape
            assert checkpoint.raw(name).tobytes() == array.tobytes()


def test_reads_shards_from_the_folder_the_index_or_any_shard(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path, [[NORM, SCALAR], [LINEAR]])
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for path in (folder, folder / "model.safetensors.index.json", folder / shards[1]):
        with SafetensorsFolder.open(path) as checkpoint:
            assert checkpoint.path == path
            assert [file.name for file in checkpoint.files] == shards
            assert checkpoint.size_bytes == sum(file.stat().st_size for file in checkpoint.files)
            assert {name: info.part for name, info in checkpoint.tensors.items()} == {
                NORM.name: 0,
                SCALAR.name: 0,
                LINEAR.name: 1,
            }
            assert checkpoint.raw(LINEAR.name).tobytes() == LINEAR.data


def test_a_file_that_the_index_does_not_list_is_opened_by_itself(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path, [[NORM], [LINEAR]])
    (folder / "mine.safetensors").write_bytes(safetensors(SCALAR))
    with SafetensorsFolder.open(folder / "mine.safetensors") as checkpoint:
        assert list(checkpoint.tensors) == ["scale"]


def test_the_single_file_goes_before_an_index(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path, [[NORM], [LINEAR]])
    (folder / "model.safetensors").write_bytes(safetensors(SCALAR))
    with SafetensorsFolder.open(folder) as checkpoint:
        assert list(checkpoint.tensors) == ["scale"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_into_a_download_cache_are_followed(tmp_path: Path) -> None:
    blobs = write_sharded(tmp_path / "blobs", [[NORM], [LINEAR]])
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(blobs.iterdir())):
        blob = file.rename(blobs / f"{number:064x}")
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    with SafetensorsFolder.open(snapshot) as checkpoint:
        assert len(checkpoint.tensors) == 2
        assert [file.parent for file in checkpoint.files] == [snapshot, snapshot]
    with pytest.raises(SourceError, match="give one of the folders in its snapshots"):
        SafetensorsFolder.open(tmp_path)
    next(file for file in blobs.iterdir() if b"model.norm" in file.read_bytes()[:99]).unlink()
    with pytest.raises(SourceError, match="complete the download"):
        SafetensorsFolder.open(snapshot)


DEEP = b'{"t":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
TWO = {"dtype": "F32", "shape": [1]}
HOSTILE = {
    "no header": (b"\x08\0\0", "ends within the header"),
    "header beyond the end": (struct.pack("<Q", 100) + b"{}", "header has 100 bytes"),
    "absurd header": (struct.pack("<Q", 2**63) + b"{}", "more than the"),
    "long header": (struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}", "more than the"),
    "a web page": (b"<!DOCTYPE html><html>", "not a safetensors file or damaged"),
    "not an object": (safetensors_bytes([], b""), "does not start with a brace"),
    "not JSON": (safetensors_bytes(b"{'a': 1}", b""), "is not valid JSON"),
    "cut JSON": (safetensors_bytes(b'{"t": {"dtype"', b""), "is not valid JSON"),
    "not UTF-8": (safetensors_bytes(b'{"\xff": 1}', b""), "not valid UTF-8"),
    "deep": (safetensors_bytes(DEEP, b""), "more than 32 deep"),
    "a bit deep": (safetensors_bytes({"t": json.loads("[" * 40 + "]" * 40)}, b""), "32 deep"),
    "many parts": (safetensors_bytes(b'{"t":[' + b"[]," * 1_000_001, b""), "1000000 parts"),
    "a long number": (safetensors_bytes(b'{"t":' + b"1" * 9999 + b"}", b""), "of digits"),
    "tensor twice": (safetensors_bytes(b'{"t": 1, "t": 2}', b""), "'t' is listed twice"),
    "key twice": (safetensors_bytes(b'{"t": {"dtype": 1, "dtype": 2}}', b""), "listed twice"),
    "metadata of another kind": (safetensors_bytes({"__metadata__": {"a": 1}}, b""), "of texts"),
    "entry of another kind": (safetensors_bytes({"t": 5}, b""), "not an object"),
    "name with a line break": (safetensors_bytes({"a\nb": {}}, b""), "not the name"),
    "half a character": (safetensors_bytes(b'{"\\ud800": {}}', b""), "not the name"),
    "empty name": (safetensors_bytes({"": {}}, b""), "not the name"),
    "long name": (safetensors_bytes({"n" * 513: {}}, b""), "not the name"),
    "no tensors": (safetensors_bytes({}, b""), "holds no tensors"),
    "no data type": (header_of(dtype=None), "no data type"),
    "shape is text": (header_of(shape="2"), "not a list"),
    "nine axes": (header_of(shape=[1] * 8 + [2]), "at most 8"),
    "negative axis": (header_of(shape=[-2]), "something else than sizes"),
    "axis is true": (header_of(shape=[True, 2]), "something else than sizes"),
    "axis is 2.0": (header_of(shape=[2.0]), "something else than sizes"),
    "product overflows": (header_of(shape=[2**32, 2**32]), "is not what"),
    "shape too large": (header_of(shape=[3]), "has 8 bytes, which is not what"),
    "wrong data type": (header_of(dtype="F64"), "has 8 bytes, which is not what"),
    "part of a byte": (header_of(dtype="F4", shape=[15]), "is not what"),
    "no offsets": (header_of(data_offsets=None), "not a list"),
    "one offset": (header_of(data_offsets=[8]), "not a start and an end"),
    "offsets swapped": (header_of(data_offsets=[8, 0]), "not a start and an end"),
    "ends after the file": (header_of(shape=[4], data_offsets=[0, 16]), "and the file at"),
    "gap at the start": (header_of(shape=[1], data_offsets=[4, 8]), "take bytes"),
    "rest at the end": (header_of(shape=[1], data_offsets=[0, 4]), "take bytes"),
    "overlap": (
        safetensors_bytes(
            {"a": TWO | {"data_offsets": [0, 4]}, "b": TWO | {"data_offsets": [2, 6]}}, bytes(6)
        ),
        "'a' and 'b' overlap",
    ),
    "gap": (
        safetensors_bytes(
            {"a": TWO | {"data_offsets": [0, 4]}, "b": TWO | {"data_offsets": [8, 12]}}, bytes(12)
        ),
        "no tensor owns the 4 bytes before 'b'",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_damaged_files(case: str, tmp_path: Path) -> None:
    content, message = HOSTILE[case]
    with pytest.raises(DamagedFileError, match=message) as caught:
        SafetensorsFolder.open(write_folder(tmp_path, content))
    str(caught.value).encode("utf-8")


def test_every_truncation_is_found(tmp_path: Path) -> None:
    content = safetensors(*ALL)
    for length in range(len(content)):
        with pytest.raises(DamagedFileError):
            SafetensorsFolder.open(write_folder(tmp_path, content[:length]))
    with pytest.raises(DamagedFileError, match="take bytes"):
        SafetensorsFolder.open(write_folder(tmp_path, content + b"\0"))


def test_mutated_files_open_or_are_refused(tmp_path: Path) -> None:
    rng = random.Random(20240517)
    original = safetensors(*ALL)
    opened, messages = 0, []
    for _ in range(600):
        content = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.choice(b'0129"[]{},:- \\\x00\xff')
        try:
            checkpoint = SafetensorsFolder.open(write_folder(tmp_path, bytes(content)))
        except EdgeAgentError as error:
            messages.append(str(error))
            continue
        with checkpoint:
            opened += 1
            for name, tensor in checkpoint.tensors.items():
                assert checkpoint.raw(name).size == tensor.nbytes <= checkpoint.size_bytes
    assert opened > 5  # changes of the data alone
    assert all(message.isprintable() for message in messages)


def test_data_types(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="'t' with the unknown data type 'F12'"):
        SafetensorsFolder.open(write_folder(tmp_path, header_of(dtype="F12")))
    folder = write_folder(tmp_path, header_of(dtype="F8_E4M3", shape=[8]))
    with SafetensorsFolder.open(folder) as checkpoint:
        tensor, raw = checkpoint.tensors["t"], checkpoint.raw("t")
    with pytest.raises(UnsupportedError, match="t is stored as F8_E4M3, which is not"):
        dequantize(raw, tensor.type, 8, source=tensor.name)


def _index(**weight_map: object) -> dict[str, object]:
    return {"metadata": {"total_size": 1}, "weight_map": weight_map}


@pytest.mark.parametrize(
    ("index", "error", "match"),
    [
        (b"[]", DamagedFileError, "not a JSON object"),
        ({"weight_map": {}}, DamagedFileError, "no weight_map"),
        ({"weight_map": ["a"]}, DamagedFileError, "no weight_map"),
        (_index(a=5), DamagedFileError, "weight file '5'"),
        (_index(a="../m.safetensors"), DamagedFileError, "not beside it"),
        (_index(a="..\\m.safetensors"), DamagedFileError, "not beside it"),
        (_index(a="/etc/m.safetensors"), DamagedFileError, "not beside it"),
        (_index(a="C:m.safetensors"), DamagedFileError, "not beside it"),
        (_index(a="...safetensors"), DamagedFileError, "not beside it"),
        (_index(a="m\0.safetensors"), DamagedFileError, "weight file"),
        (_index(a="pytorch_model.bin"), DamagedFileError, "not a .safetensors file"),
        (_index(a="one.safetensors", b="two.safetensors"), SourceError, "lacks 2 of the 2"),
        (
            _index(**{f"t{at}": f"{at}.safetensors" for at in range(129)}),
            UnsupportedError,
            "lists 129 weight files",
        ),
    ],
)
def test_wrong_indexes(tmp_path: Path, index: object, error: type[Exception], match: str) -> None:
    raw = index if isinstance(index, bytes) else json.dumps(index).encode()
    (tmp_path / "model.safetensors.index.json").write_bytes(raw)
    (tmp_path / "config.json").write_text(json.dumps(config()))
    with pytest.raises(error, match=match):
        SafetensorsFolder.open(tmp_path)


def test_shards_and_index_must_agree(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path, [[NORM, SCALAR], [LINEAR]])
    index = folder / "model.safetensors.index.json"
    valid = json.loads(index.read_text())["weight_map"]

    def refused(match: str, error: type[Exception] = DamagedFileError, **entries: object) -> None:
        merged = {name: shard for name, shard in (valid | entries).items() if shard}
        index.write_text(json.dumps({"weight_map": merged}))
        with pytest.raises(error, match=match):
            SafetensorsFolder.open(folder)

    refused("lacks the tensor 'absent'", absent=valid[NORM.name])
    refused("00001.* holds the tensor 'scale'", scale=valid[LINEAR.name])
    refused("holds the tensor 'scale', which .* does not list", scale=None)
    refused("lacks 1 of the 3 weight files .* third", SourceError, absent="third.safetensors")
    (folder / valid[LINEAR.name]).write_bytes(safetensors(LINEAR, SCALAR))
    refused("00002.* holds the tensor 'scale'")
    (folder / valid[LINEAR.name]).unlink()
    (folder / valid[LINEAR.name]).mkdir()
    refused("not a regular file", SourceError)


@pytest.mark.parametrize(
    ("names", "error", "match"),
    [
        ([], SourceError, "is not a checkpoint"),
        (["config.json"], SourceError, "no model.safetensors; complete the download"),
        (["config.json", "pytorch_model.bin"], UnsupportedError, "convert them to safetensors"),
        (["config.json", "model.pth"], UnsupportedError, "never opened"),
        (["config.json", "tf_model.h5"], UnsupportedError, "another framework"),
        (["adapter_config.json", "adapter_model.safetensors"], UnsupportedError, "is an adapter"),
        (["b.gguf", "a.gguf"], SourceError, r"holds GGUF files; .*a\.gguf"),
        (["config.json", "consolidated.safetensors"], SourceError, "has consolidated.safetensors"),
        (["model.safetensors"], SourceError, "has no config.json"),
        (["model.safetensors", "adapter_config.json"], UnsupportedError, "is an adapter"),
    ],
)
def test_folders_that_are_no_checkpoint(
    tmp_path: Path, names: list[str], error: type[Exception], match: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(error, match=match):
        SafetensorsFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "already, by awq"),
        ({"quantization_config": {"bits": 4}}, "an unnamed method"),
        ({"compression_config": {"quant_method": "sparseml"}}, "by sparseml"),
        ({"text_config": {"quantization_config": {"quant_method": "gptq"}}}, "by gptq"),
    ],
)
def test_quantized_checkpoints(tmp_path: Path, extra: dict[str, object], match: str) -> None:
    folder = write_folder(tmp_path, safetensors(NORM), config(**extra))
    with pytest.raises(UnsupportedError, match=f"{match}.*original checkpoint"):
        SafetensorsFolder.open(folder)


def test_quantized_checkpoints_that_say_so_in_another_file(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, safetensors(NORM), config(quantization_config=None))
    SafetensorsFolder.open(folder).close()
    (folder / "quantize_config.json").write_text("{}")
    with pytest.raises(UnsupportedError, match=r"quantize_config\.json describes"):
        SafetensorsFolder.open(folder)


def test_paths_that_are_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"x")
    with pytest.raises(UnsupportedError, match="is a PyTorch file"):
        SafetensorsFolder.open(tmp_path / "weights.bin")
    with pytest.raises(SourceError, match="neither a GGUF file nor"):
        SafetensorsFolder.open(tmp_path / "notes.txt")
    with pytest.raises(SourceError, match="does not exist"):
        SafetensorsFolder.open(tmp_path / "absent")
    with pytest.raises(SourceError, match=r"does not exist|cannot be read"):
        SafetensorsFolder.open(tmp_path / "null\0byte")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    with pytest.raises(DamagedFileError, match="git lfs pull"):
        SafetensorsFolder.open(write_folder(tmp_path, pointer))


def test_wrong_configurations(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, safetensors(NORM))
    for content, match in (
        (b'{"model_type": ', "not valid JSON"),
        (b"\xff", "not valid UTF-8"),
        (b"[1]", "not a JSON object"),
        (b'{"a": "' + b"x" * 2**20 + b'"}', "more than the 1048576 bytes"),
        (b'{"quantization_config": 4}', "quantization_config is 4, not an object"),
    ):
        (folder / "config.json").write_bytes(content)
        with pytest.raises(DamagedFileError, match=match):
            SafetensorsFolder.open(folder)


def test_values_of_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(
        '{"n": 7, "f": 0.5, "whole": 8192.0, "s": "x", "b": true, "null": null, "ids": [1, 2.0],'
        ' "names": ["a"], "mixed": [1, "a"], "inf": Infinity, "nan": NaN, "long": 1e999,'
        ' "factors": [1, 2.5], "big": 123456789012345678901234567890,'
        ' "rope_scaling": {"factor": 8, "deeper": {"x": "y"}}}'
    )
    values = HFConfig.read(path)
    assert "n" in values
    assert "null" not in values
    assert values.get_int("n") == 7
    assert values.get_float("n") == 7.0
    assert values.get_int("whole") == 8192
    assert isinstance(values.get_int("whole"), int)
    assert values.get_float("f") == 0.5
    assert values.get_str("s") == "x"
    assert values.get_bool("b") is True
    assert values.get_ints("ids") == [1, 2]
    assert values.get_ints("n") == [7]
    assert values.get_floats("factors") == [1.0, 2.5]
    assert values.get_strings("names") == ["a"]
    assert values.get_int("null", 3) == 3
    assert values.get_int("absent", None) is None
    assert values.section("absent", None) is None
    scaling = values.section("rope_scaling")
    assert scaling.get_float("factor") == 8.0
    with pytest.raises(DamagedFileError, match=r"config\.json has no key rope_scaling\.type"):
        scaling.get_str("type")
    with pytest.raises(DamagedFileError, match=r"rope_scaling\.deeper\.x is 'y', not an integer"):
        scaling.section("deeper").get_int("x")
    for getter, key, match in (
        (values.get_int, "f", "f is 0.5, not an integer"),
        (values.get_int, "b", "b is True, not an integer"),
        (values.get_int, "inf", "inf is inf, not an integer"),
        (values.get_int, "big", "not an integer"),
        (values.get_float, "nan", "nan is nan, not a finite number"),
        (values.get_float, "long", "not a finite number"),
        (values.get_float, "big", "not a finite number"),
        (values.get_bool, "n", "n is 7, not a boolean"),
        (values.get_str, "n", "n is 7, not a string"),
        (values.get_ints, "mixed", "not an integer or a list"),
        (values.get_strings, "mixed", "not a list of strings"),
        (values.get_floats, "mixed", "not a list of finite numbers"),
        (values.section, "n", "n is 7, not an object"),
        (values.get_int, "null", "has no key null"),
    ):
        with pytest.raises(DamagedFileError, match=match):
            getter(key)
    with pytest.raises(DamagedFileError, match=r"f is 0\.5, not an integer"):
        values.get_int("f", 3)
