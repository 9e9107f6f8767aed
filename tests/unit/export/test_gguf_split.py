"""Split GGUF models: any part opens all of them, and parts that do not fit are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter
from gguf_files import STRING, UINT32, GGUFBuilder, Tensor
from safetensors_files import Entry, safetensors, write_folder

from edgeagent.errors import DamagedFileError, EdgeAgentError, SourceError, UnsupportedError
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.checkpoint.gguf.split import SplitGGUF, open_gguf
from edgeagent.export.checkpoint.open import open_checkpoint
from edgeagent.export.checkpoint.safetensors import SafetensorsFolder

ARCHITECTURE = ("general.architecture", STRING, "llama")
Change = Callable[[list[GGUFBuilder]], None]


def f32(name: str, fill: int) -> Tensor:
    return Tensor(name, (8,), 0, bytes([fill]) * 32)


def split_keys(number: int, count: int = 3, tensors: int = 4) -> list[tuple[str, int, object]]:
    values = {"split.no": number, "split.count": count, "split.tensors.count": tensors}
    return [(key, UINT32, value) for key, value in values.items()]


def parts() -> list[GGUFBuilder]:
    """Metadata in the first part only, and tensors in the other two."""
    return [
        GGUFBuilder(keys=[ARCHITECTURE, *split_keys(0)]),
        GGUFBuilder(keys=split_keys(1), tensors=[f32("a", 1), f32("b", 2)]),
        GGUFBuilder(keys=split_keys(2), tensors=[f32("c", 3), f32("d", 4)]),
    ]


def write(folder: Path, builders: list[GGUFBuilder]) -> list[Path]:
    paths = []
    for number, builder in enumerate(builders, 1):
        path = folder / f"tiny-{number:05}-of-{len(builders):05}.gguf"
        path.write_bytes(builder.build())
        paths.append(path)
    return paths


@pytest.mark.parametrize("named", [0, 1, 2])
def test_any_part_opens_the_whole_model(tmp_path: Path, named: int) -> None:
    paths = write(tmp_path, parts())
    with open_gguf(paths[named]) as model:
        assert isinstance(model, SplitGGUF)
        assert model.path == paths[named]
        assert model.files == tuple(paths)
        assert model.size_bytes == sum(path.stat().st_size for path in paths)
        assert model.architecture == "llama"
        assert model.get_int("split.no") == 0
        assert {name: tensor.part for name, tensor in model.tensors.items()} == {
            "a": 1,
            "b": 1,
            "c": 2,
            "d": 2,
        }
        for name, fill in zip("abcd", range(1, 5), strict=True):
            assert model.raw(name).tobytes() == bytes([fill]) * 32
            start = model.tensors[name].offset
            content = model.files[model.tensors[name].part].read_bytes()
            assert content[start : start + 32] == bytes([fill]) * 32
        model.release()
        view = model.raw("d")
        with pytest.raises(DamagedFileError, match="no tensor absent"):
            model.raw("absent")
    assert view[0, 0] == 4
    with pytest.raises(ValueError, match="closed"):
        model.raw("d")


@pytest.mark.parametrize("small_first_shard", [False, True])
def test_reads_what_the_converter_of_llama_cpp_splits(
    tmp_path: Path, small_first_shard: bool
) -> None:
    rng = np.random.default_rng(3)
    arrays = {f"blk.{at}.w": rng.standard_normal((at + 2, 5), np.float32) for at in range(7)}
    writer = GGUFWriter(
        tmp_path / "tiny.gguf",
        "llama",
        split_max_tensors=3,
        small_first_shard=small_first_shard,
    )
    writer.add_block_count(7)
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 3 + small_first_shard
    for path in paths:
        with open_gguf(path) as model:
            assert model.get_int("llama.block_count") == 7
            assert list(model.tensors) == list(arrays)
            for name, array in arrays.items():
                assert model.tensors[name].shape == array.shape
                assert model.raw(name).tobytes() == array.tobytes()


def test_later_parts_without_any_metadata_go_by_their_names(tmp_path: Path) -> None:
    builders = parts()
    builders[1].keys = []
    builders[2].keys = []
    with open_gguf(write(tmp_path, builders)[2]) as model:
        assert list(model.tensors) == ["a", "b", "c", "d"]


def test_one_part_of_one_is_a_file_like_any_other(tmp_path: Path) -> None:
    builder = GGUFBuilder(keys=[ARCHITECTURE, *split_keys(0, count=1, tensors=1)])
    builder.tensors = [f32("a", 1)]
    with open_gguf(write(tmp_path, [builder])[0]) as model:
        assert isinstance(model, GGUFFile)
        assert model.tensors["a"].part == 0


def test_a_part_is_no_file_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="one of 3 parts"):
        GGUFFile.open(write(tmp_path, parts())[0])


def _set(part: int, **values: int) -> Change:
    def change(builders: list[GGUFBuilder]) -> None:
        stated = {key: value for key, _, value in split_keys(part)}
        stated |= {f"split.{key.replace('_', '.')}": value for key, value in values.items()}
        kept = [entry for entry in builders[part].keys if not entry[0].startswith("split.")]
        builders[part].keys = kept + [(key, UINT32, value) for key, value in stated.items()]

    return change


def _twice(builders: list[GGUFBuilder]) -> None:
    builders[2].tensors[0] = f32("a", 3)


def _one_less(builders: list[GGUFBuilder]) -> None:
    del builders[2].tensors[0]


def _another_architecture(builders: list[GGUFBuilder]) -> None:
    builders[2].keys.append(("general.architecture", STRING, "qwen2"))


def _text(builders: list[GGUFBuilder]) -> None:
    builders[1].keys[0] = ("split.no", STRING, "1")


def _no_total(builders: list[GGUFBuilder]) -> None:
    del builders[0].keys[-1]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_set(1, no=2), r"00002.* split\.no is 2 where 1 belongs"),
        (_set(0, no=1), r"00001.* split\.no is 1 where 0 belongs"),
        (_set(2, count=4), r"00003.* split\.count is 4 where 3 belongs"),
        (_set(0, count=2), r"00001.* split\.count is 2 where 3 belongs"),
        (_set(2, tensors_count=9), r"00003.* split\.tensors\.count is 9 where 4 belongs"),
        (_another_architecture, r"00003.* general\.architecture is not what the first part says"),
        (_twice, "tensor 'a' is in tiny-00002-of-00003.gguf too"),
        (_one_less, "the parts have 3 tensors and should have 4"),
        (_text, r"00002.* split\.no is not an integer"),
        (_no_total, r"split\.tensors\.count"),
    ],
)
def test_parts_that_do_not_belong_together(tmp_path: Path, change: Change, match: str) -> None:
    builders = parts()
    change(builders)
    paths = write(tmp_path, builders)
    for path in paths:
        with pytest.raises(DamagedFileError, match=match):
            open_gguf(path)


def test_missing_parts(tmp_path: Path) -> None:
    paths = write(tmp_path, parts())
    paths[1].unlink()
    with pytest.raises(SourceError, match="lacks 1 of the 3 parts of this model, tiny-00002-of"):
        open_gguf(paths[0])
    with pytest.raises(SourceError, match=r"tiny-00002-of-00003\.gguf does not exist"):
        open_gguf(paths[1])
    paths[0].unlink()
    with pytest.raises(SourceError, match="lacks 2 of the 3 parts of this model, tiny-00001-of"):
        open_gguf(paths[2])


def test_names_that_do_not_say_where_the_others_are(tmp_path: Path) -> None:
    content = parts()[0].build()
    for name, error, match in (
        ("renamed.gguf", SourceError, "the names they had"),
        ("tiny-00004-of-00003.gguf", SourceError, "cannot be part 4 of 3"),
        ("tiny-00001-of-00999.gguf", UnsupportedError, "at most 128 are opened"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(error, match=match):
            open_gguf(tmp_path / name)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    paths = write(tmp_path, parts())
    content = paths[2].read_bytes()
    for length in range(len(content)):
        paths[2].write_bytes(content[:length])
        with pytest.raises(EdgeAgentError, match="tiny-00003-of-00003"):
            open_gguf(paths[0])


def test_open_checkpoint_finds_the_format(tmp_path: Path) -> None:
    whole = tmp_path / "0123abcd"  # caches name files by their hash
    whole.write_bytes(GGUFBuilder(keys=[ARCHITECTURE], tensors=[f32("a", 1)]).build())
    folder = write_folder(tmp_path / "hf", safetensors(Entry("a", "F32", (1,), bytes(4))))
    expected = {
        whole: GGUFFile,
        write(tmp_path, parts())[1]: SplitGGUF,
        folder: SafetensorsFolder,
        folder / "model.safetensors": SafetensorsFolder,
    }
    for path, kind in expected.items():
        with open_checkpoint(path) as checkpoint:
            assert type(checkpoint) is kind
            assert checkpoint.path == path
            assert checkpoint.architecture == "llama"
            assert "a" in checkpoint.tensors


def test_open_checkpoint_says_what_it_accepts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "model.gguf").write_text("x")
    (tmp_path / "empty").touch()
    for name, error, match in (
        ("absent", SourceError, "does not exist; give a GGUF file .* a Hugging Face folder"),
        ("notes.txt", SourceError, "neither a GGUF file nor a .safetensors file"),
        ("empty", SourceError, "neither a GGUF file nor a .safetensors file"),
        ("model.gguf", DamagedFileError, "is not a GGUF file"),
        (".", SourceError, "holds GGUF files"),
        ("null\0byte", SourceError, "does not exist|cannot be read"),
    ):
        with pytest.raises(error, match=match):
            open_checkpoint(tmp_path / name)
