"""Every family: source, package and its parts compute what transformers computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tiny_checkpoints import (
    ALL_CHECKPOINTS,
    load_reference_logits,
    relative_error,
)

from edgeagent.export.model import SourceModel, open_model
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.export.verify.reference import ReferenceDecoder

_FACTS = ModelFacts(model_id="tiny")
_GGUFS = [name for name, each in ALL_CHECKPOINTS.items() if each.gguf_architecture]
_FLOAT32 = ExportSettings(policy="float", verify="load", accuracy_level=1)


def _float32(name: str) -> ExportSettings:
    return _FLOAT32.model_copy(update={"context_len": _CONTEXT_LENS.get(name)})


_PREFILL_TOKENS = 25  # more than every window, and the rest is decoded token by token


# Factors for texts beyond the original context are used where the package is to hold them.
_CONTEXT_LENS = {"phi3-long": 64}


def _source_logits(model: SourceModel, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    reference = ReferenceDecoder(model.checkpoint, model.spec)
    (hidden,) = reference.hidden_states([tokens])
    return hidden @ reference.head_rows(0, model.spec.vocab).T


def _package_logits(package: Path, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Logits after each token, decoded one by one behind a prefill, in onnxruntime-genai."""
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(package))
    params = onnxruntime_genai.GeneratorParams(model)
    params.set_search_options(max_length=len(tokens) + 1, do_sample=False)
    generator = onnxruntime_genai.Generator(model, params)
    rows = []
    pieces = [tokens[:_PREFILL_TOKENS], *tokens[_PREFILL_TOKENS:, None]]
    for piece in pieces:
        generator.append_tokens(piece.astype(np.int32))
        rows.append(np.array(generator.get_logits(), dtype=np.float32).reshape(-1))
    return np.stack(rows)


@pytest.mark.parametrize("name", ALL_CHECKPOINTS)
@pytest.mark.parametrize("style", ["current", "published"])
def test_the_source_of_a_folder_computes_what_transformers_computes(
    name: str, style: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    folder = checkpoint.write_folder(tmp_path / "model", style=style, shards=2)  # type: ignore[arg-type]
    with open_model(folder, _CONTEXT_LENS.get(name)) as model:
        logits = _source_logits(model, np.array(checkpoint.tokens))
    assert relative_error(logits, load_reference_logits(name)) < 1e-5


@pytest.mark.parametrize("name", _GGUFS)
def test_the_source_of_a_gguf_computes_what_transformers_computes(
    name: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    path = checkpoint.write_gguf(tmp_path / "model.gguf")
    with open_model(path, _CONTEXT_LENS.get(name)) as model:
        logits = _source_logits(model, np.array(checkpoint.tokens))
    assert relative_error(logits, load_reference_logits(name, "gguf")) < 1e-5


@pytest.mark.parametrize("name", ALL_CHECKPOINTS)
def test_a_float32_package_of_a_folder_computes_what_transformers_computes(
    name: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    folder = checkpoint.write_folder(tmp_path / "model")
    export_checkpoint(folder, tmp_path / "package", facts=_FACTS, settings=_float32(name))
    logits = _package_logits(tmp_path / "package", np.array(checkpoint.tokens))
    expected = load_reference_logits(name)[_PREFILL_TOKENS - 1 :]
    assert relative_error(logits, expected) < 1e-3


@pytest.mark.parametrize("name", _GGUFS)
def test_a_float32_package_of_a_gguf_computes_what_transformers_computes(
    name: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    path = checkpoint.write_gguf(tmp_path / "model.gguf", kind="F16")
    export_checkpoint(path, tmp_path / "package", facts=_FACTS, settings=_float32(name))
    logits = _package_logits(tmp_path / "package", np.array(checkpoint.tokens))
    expected = load_reference_logits(name, "gguf")[_PREFILL_TOKENS - 1 :]
    assert relative_error(logits, expected) < 1e-3
