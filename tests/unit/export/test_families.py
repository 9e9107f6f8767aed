"""Every family: source, package and its parts compute what transformers computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from computed_logits import PREFILL_TOKENS, package_logits, source_logits
from tiny_checkpoints import (
    ALL_CHECKPOINTS,
    load_reference_logits,
    relative_error,
)

from edgeagent.export.model import open_model
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.record.manifest import Manifest

_FACTS = ModelFacts(model_id="tiny")
_GGUFS = [name for name, each in ALL_CHECKPOINTS.items() if each.gguf_architecture]
_FLOAT32 = ExportSettings(policy="float", verify="load", accuracy_level=1)


# Factors for texts beyond the original context are used where the package is to hold them.
_CONTEXT_LENS = {"phi3-long": 64}


def _float32(name: str) -> ExportSettings:
    return _FLOAT32.model_copy(update={"context_len": _CONTEXT_LENS.get(name)})


def _verified(name: str, accuracy_level: int) -> ExportSettings:
    return ExportSettings(
        context_len=_CONTEXT_LENS.get(name),
        accuracy_level=accuracy_level,  # type: ignore[arg-type]
        verify_tokens=160,
    )


def _assert_passed(manifest: Manifest, kl_mean: float) -> None:
    assert manifest.gate is not None
    assert manifest.gate.passed
    assert not manifest.gate.forced
    assert manifest.fidelity is not None
    assert manifest.fidelity.kl_mean < kl_mean


@pytest.mark.parametrize("name", ALL_CHECKPOINTS)
@pytest.mark.parametrize("style", ["current", "published"])
def test_the_source_of_a_folder_computes_what_transformers_computes(
    name: str, style: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    folder = checkpoint.write_folder(tmp_path / "model", style=style, shards=2)  # type: ignore[arg-type]
    with open_model(folder, _CONTEXT_LENS.get(name)) as model:
        logits = source_logits(model, checkpoint.tokens)
    assert relative_error(logits, load_reference_logits(name)) < 1e-5


@pytest.mark.parametrize("name", _GGUFS)
def test_the_source_of_a_gguf_computes_what_transformers_computes(
    name: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    path = checkpoint.write_gguf(tmp_path / "model.gguf")
    with open_model(path, _CONTEXT_LENS.get(name)) as model:
        logits = source_logits(model, checkpoint.tokens)
    assert relative_error(logits, load_reference_logits(name, "gguf")) < 1e-5


@pytest.mark.parametrize("name", ALL_CHECKPOINTS)
def test_a_float32_package_of_a_folder_computes_what_transformers_computes(
    name: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    folder = checkpoint.write_folder(tmp_path / "model")
    export_checkpoint(folder, tmp_path / "package", facts=_FACTS, settings=_float32(name))
    logits = package_logits(tmp_path / "package", checkpoint.tokens)
    expected = load_reference_logits(name)[PREFILL_TOKENS - 1 :]
    assert relative_error(logits, expected) < 1e-3


@pytest.mark.parametrize("name", _GGUFS)
def test_a_float32_package_of_a_gguf_computes_what_transformers_computes(
    name: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    path = checkpoint.write_gguf(tmp_path / "model.gguf", kind="F16")
    export_checkpoint(path, tmp_path / "package", facts=_FACTS, settings=_float32(name))
    logits = package_logits(tmp_path / "package", checkpoint.tokens)
    expected = load_reference_logits(name, "gguf")[PREFILL_TOKENS - 1 :]
    assert relative_error(logits, expected) < 1e-3


@pytest.mark.parametrize("name", _GGUFS)
def test_the_blocks_of_a_gguf_compute_what_the_file_stores(name: str, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    kinds = {"token_embd.weight": "Q5_1", "attn_output": "Q4_0", "ffn_down": "Q5_0"}
    path = checkpoint.write_gguf(tmp_path / "model.gguf", kind="Q8_0", kinds=kinds)
    settings = _verified(name, accuracy_level=1)
    manifest = export_checkpoint(path, tmp_path / "package", facts=_FACTS, settings=settings)
    _assert_passed(manifest, kl_mean=1e-5)
    logits = package_logits(tmp_path / "package", checkpoint.tokens)
    expected = checkpoint.gguf_logits(path)[PREFILL_TOKENS - 1 :]
    assert relative_error(logits, expected) < 1e-3


@pytest.mark.parametrize("name", ["llama3", "qwen2", "phi3", "gemma3"])
def test_k_quants_compute_what_the_file_stores(name: str, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS[name].wide()
    kinds = {"attn_v": "Q6_K", "ffn_down": "Q6_K", "ffn_up": "Q5_K", "token_embd.weight": "Q6_K"}
    path = checkpoint.write_gguf(tmp_path / "model.gguf", kind="Q4_K", kinds=kinds)
    settings = _verified(name, accuracy_level=1)
    manifest = export_checkpoint(path, tmp_path / "package", facts=_FACTS, settings=settings)
    _assert_passed(manifest, kl_mean=1e-5)
    logits = package_logits(tmp_path / "package", checkpoint.tokens)
    expected = checkpoint.gguf_logits(path)[PREFILL_TOKENS - 1 :]
    assert relative_error(logits, expected) < 1e-3


@pytest.mark.parametrize("accuracy_level", [1, 4])
@pytest.mark.parametrize("name", ALL_CHECKPOINTS)
def test_an_8_bit_package_of_a_folder_is_faithful(
    name: str, accuracy_level: int, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    folder = checkpoint.write_folder(tmp_path / "model", dtype="bfloat16", shards=2)
    settings = _verified(name, accuracy_level=accuracy_level)
    manifest = export_checkpoint(folder, tmp_path / "package", facts=_FACTS, settings=settings)
    assert manifest.gate is not None
    assert manifest.gate.passed
    assert manifest.fidelity is not None
    assert manifest.fidelity.kl_mean < (0.005 if accuracy_level == 1 else 0.01)
    if accuracy_level == 1:
        logits = package_logits(tmp_path / "package", checkpoint.tokens)
        expected = load_reference_logits(name)[PREFILL_TOKENS - 1 :]
        assert relative_error(logits, expected) < 0.05
