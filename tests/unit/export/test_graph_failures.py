"""Exports that cannot work end with one sentence and leave nothing behind."""

from __future__ import annotations

import errno
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from gguf import GGMLQuantizationType as Kind
from tiny_models import TinyModel, write_tiny

from edgeagent.errors import (
    ConfigError,
    DamagedFileError,
    EdgeAgentError,
    ExportError,
    ResourceError,
    SourceError,
    UnsupportedError,
    VerificationError,
)
from edgeagent.export import native
from edgeagent.export.native import export_checkpoint
from edgeagent.export.pack.policy import POLICIES, STRICT
from edgeagent.export.protocol import ModelFacts, OnExportProgress
from edgeagent.export.settings import ExportSettings

_FACTS = ModelFacts(model_id="tiny")
_UNVERIFIED = ExportSettings(verify="none")


def _assert_refused(
    folder: Path, model: TinyModel, error: type[EdgeAgentError], match: str
) -> None:
    source = write_tiny(folder / "tiny.gguf", model)
    with pytest.raises(error, match=match):
        export_checkpoint(source, folder / "new" / "package", facts=_FACTS, settings=_UNVERIFIED)
    assert {path.name for path in folder.iterdir()} == {"tiny.gguf"}


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({"block_count": 1_000_000_000}, "layers is 1000000000, which is not between 1 and 1024"),
        ({"block_count": 0}, "layers is 0"),
        ({"attention.head_count": 0}, "do not divide into 0 heads"),
        ({"attention.head_count_kv": 0}, "kv_heads is 0"),
        ({"attention.head_count_kv": 3}, "4 query heads do not share 3"),
        ({"attention.head_count": 3, "attention.head_count_kv": 3}, "do not divide into 3 heads"),
        ({"attention.head_count": 8}, r"attn_k\.weight has shape 128 x 256"),
        ({"embedding_length": 1 << 31}, "hidden is 2147483648"),
        ({"feed_forward_length": 1024}, r"ffn_gate\.weight has shape 512 x 256"),
        ({"context_length": 8}, "native_context_len is 8, which is not between 64"),
        ({"block_count": "two"}, "block_count"),
        ({"block_count": None}, "block_count"),
        ({"block_count": 3}, r"no tensor blk\.2\.attn_norm\.weight"),
    ],
)
def test_absurd_hyperparameters(tmp_path: Path, metadata: dict[str, object], match: str) -> None:
    _assert_refused(tmp_path, TinyModel(metadata=metadata), DamagedFileError, match)


@pytest.mark.parametrize(
    ("model", "error", "match"),
    [
        (
            TinyModel(architecture="mamba"),
            UnsupportedError,
            "'mamba'.*gemma3, llama, .* and smollm3",
        ),
        (TinyModel(kinds={"ffn_up": Kind.Q2_K}), UnsupportedError, "ffn_up.*Q2_K"),
        (TinyModel(drop=frozenset({"output_norm.weight"})), DamagedFileError, "output_norm"),
        (TinyModel(drop=frozenset({"token_embd.weight"})), DamagedFileError, "token_embd"),
        (TinyModel(extra={"blk.0.attn_q.bias": (256,)}), DamagedFileError, r"attn_k\.bias"),
        (TinyModel(extra={"blk.0.ffn_up.bias": (512,)}), UnsupportedError, r"ffn_up\.bias, which"),
        (
            TinyModel(architecture="qwen2", drop=frozenset({"blk.1.attn_v.bias"})),
            DamagedFileError,
            r"blk\.1\.attn_v\.bias",
        ),
        (TinyModel(shapes={"output_norm.weight": (128,)}), DamagedFileError, "shape 128 where"),
        (TinyModel(shapes={"token_embd.weight": (200, 256)}), DamagedFileError, "320 tokens"),
        (TinyModel(poison="rope_freqs.weight", rope_factors=True), DamagedFileError, "rope_freqs"),
        (TinyModel(metadata={"expert_count": 8}), UnsupportedError, "mixture of experts"),
        (TinyModel(metadata={"rope.scaling.type": "ntk"}), UnsupportedError, "by 'ntk'"),
        (
            TinyModel(metadata={"rope.scaling.type": "yarn"}),
            DamagedFileError,
            "original_context_length",
        ),
        (TinyModel(metadata={"rope.dimension_count": 65}), DamagedFileError, "65 of the 64 values"),
        (TinyModel(metadata={"rope.dimension_count": 0}), DamagedFileError, "0 of the 64 values"),
        (
            TinyModel(metadata={"rope.dimension_count": 32}),
            UnsupportedError,
            "rotates 32 of the 64",
        ),
        (
            TinyModel(architecture="qwen2", metadata={"rope.dimension_count": 40}),
            UnsupportedError,
            "40 of the 64 values of a head are rotated, and the runtime needs a multiple of 16",
        ),
        (
            TinyModel(architecture="qwen2", metadata={"rope.dimension_count": 7}),
            DamagedFileError,
            "7 of the 64 values",
        ),
        (TinyModel(metadata={"attention.key_length": 2048}), UnsupportedError, "width 2048"),
        (
            TinyModel(metadata={"attention.value_length": 32}),
            UnsupportedError,
            "values of width 32",
        ),
        (TinyModel(poison="blk.1.ffn_down.weight"), DamagedFileError, r"blk\.1\.ffn_down"),
        (TinyModel(poison="blk.1.ffn_norm.weight"), DamagedFileError, r"blk\.1\.ffn_norm"),
        (TinyModel(hidden=144, kind=Kind.F16), UnsupportedError, "heads of width 36"),
        (
            TinyModel(hidden=48, heads=3, kv_heads=3, kind=Kind.F16),
            UnsupportedError,
            "rows of 48 weights",
        ),
    ],
    ids=lambda value: "" if isinstance(value, TinyModel) else None,
)
def test_models_that_are_not_supported_or_damaged(
    tmp_path: Path, model: TinyModel, error: type[EdgeAgentError], match: str
) -> None:
    _assert_refused(tmp_path, model, error, match)


def test_truncated_file(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", TinyModel())
    source.write_bytes(source.read_bytes()[:-4096])
    with pytest.raises(DamagedFileError):
        export_checkpoint(source, tmp_path / "package", facts=_FACTS)
    assert not (tmp_path / "package").exists()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        export_checkpoint(tmp_path / "none.gguf", tmp_path / "package", facts=_FACTS)


def _raise(error: BaseException) -> OnExportProgress:
    def on_progress(stage: str, done: int, total: int, detail: str) -> None:
        if stage == "weights":
            raise error

    return on_progress


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.ENOSPC, "No space left on device"), ResourceError),
        (OSError(errno.EACCES, "Permission denied", "x"), ConfigError),
    ],
    ids=["interrupt", "disk full", "permission"],
)
def test_a_failure_while_writing_leaves_the_old_package(
    tmp_path: Path, raised: BaseException, expected: type[BaseException]
) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", TinyModel())
    out = tmp_path / "packages" / "tiny"
    first = export_checkpoint(source, out, facts=_FACTS, settings=_UNVERIFIED)
    with pytest.raises(expected):
        export_checkpoint(
            source, out, facts=_FACTS, settings=_UNVERIFIED, on_progress=_raise(raised)
        )
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]
    assert all((out / name).stat().st_size == size for name, size in first.files.items())


def test_a_package_is_replaced_and_other_folders_are_not(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", TinyModel())
    out = tmp_path / "package"
    export_checkpoint(source, out, facts=_FACTS, settings=_UNVERIFIED)
    (out / "stale").touch()
    export_checkpoint(source, out, facts=_FACTS, settings=_UNVERIFIED)
    assert not (out / "stale").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    for destination in (mine, mine / "thesis.txt"):
        with pytest.raises(ConfigError):
            export_checkpoint(source, destination, facts=_FACTS, settings=_UNVERIFIED)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_not_enough_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", TinyModel())
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1 << 20))
    with pytest.raises(ResourceError, match=r"needs \d+ MiB of disk and .* has 1 MiB free"):
        export_checkpoint(source, tmp_path / "package", facts=_FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]


def test_not_enough_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", TinyModel())
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(100 << 20))
    with pytest.raises(ResourceError, match=r"needs \d+ MiB of memory and 100 MiB are available"):
        export_checkpoint(source, tmp_path / "package", facts=_FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]


def test_low_fidelity_is_refused_unless_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = replace(POLICIES["exact"], thresholds=STRICT.model_copy(update={"kl_mean": -1.0}))
    monkeypatch.setattr(native, "POLICIES", {"exact": impossible})
    source = write_tiny(tmp_path / "tiny.gguf", TinyModel())
    settings = ExportSettings(verify_tokens=64, accuracy_level=1)
    with pytest.raises(VerificationError, match=r"KL divergence 0\.0000 > -1\.0"):
        export_checkpoint(source, tmp_path / "package", facts=_FACTS, settings=settings)
    assert not (tmp_path / "package").exists()
    accepting = settings.model_copy(update={"accept_low_fidelity": True})
    manifest = export_checkpoint(source, tmp_path / "package", facts=_FACTS, settings=accepting)
    assert manifest.fidelity is not None
    assert manifest.gate is not None
    assert (manifest.gate.passed, manifest.gate.forced) == (False, True)
    assert len(manifest.gate.missed) == 1


def test_every_refusal_is_an_export_error() -> None:
    assert all(
        issubclass(error, ExportError)
        for error in (DamagedFileError, UnsupportedError, VerificationError)
    )
