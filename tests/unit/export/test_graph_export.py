"""Every block type and family, exported and compared with the source model in numpy.

With accuracy level 1 the runtime computes with float32 activations, so what remains between the
package and the source is rounding: any error of the import shows.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from gguf import GGMLQuantizationType as Kind
from tiny_models import TinyModel, write_tiny

from edgeagent.errors import VerificationError
from edgeagent.export.decoder.weights import Matrix
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.record.manifest import MANIFEST_NAME, Manifest

_FACTS = ModelFacts(model_id="tiny", origin="test", tool_call_format="hermes")
_EXACT = ExportSettings(accuracy_level=1, verify_tokens=160)


def _export(folder: Path, model: TinyModel, settings: ExportSettings = _EXACT) -> Manifest:
    source = write_tiny(folder / "tiny.gguf", model)
    return export_checkpoint(source, folder / "package", facts=_FACTS, settings=settings)


def _assert_same_predictions(manifest: Manifest) -> None:
    fidelity = manifest.fidelity
    assert fidelity is not None
    assert fidelity.tokens >= 150
    assert fidelity.kl_mean < 1e-5
    assert fidelity.top1_agreement >= 0.98  # logits of random models can tie
    assert abs(fidelity.perplexity_change) < 1e-4


@pytest.mark.parametrize(
    "kind",
    [Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K],
    ids=lambda kind: kind.name,
)
def test_quantized_blocks_are_imported_exactly(tmp_path: Path, kind: Kind) -> None:
    manifest = _export(tmp_path, TinyModel(kind=kind))
    _assert_same_predictions(manifest)
    assert all(group.exact for group in manifest.tensor_groups)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.BF16], ids=lambda kind: kind.name)
def test_float_matrices_are_rounded_to_8_bits(tmp_path: Path, kind: Kind) -> None:
    manifest = _export(tmp_path, TinyModel(kind=kind))
    assert manifest.fidelity is not None
    assert manifest.fidelity.kl_mean < 2e-3
    stored = {group.group: group for group in manifest.tensor_groups}
    assert not stored["mlp"].exact
    assert stored["mlp"].stored_as == "int8 block 32"
    assert stored["norm"].exact


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("head", [Kind.Q4_1, Kind.Q6_K, Kind.Q8_0], ids=lambda kind: kind.name)
def test_families_with_tied_and_untied_heads(
    tmp_path: Path, architecture: str, tied: bool, head: Kind
) -> None:
    kinds = {"token_embd": head if tied else Kind.Q5_0, "output": head}
    _assert_same_predictions(
        _export(tmp_path, TinyModel(architecture=architecture, tied=tied, kinds=kinds))
    )


def test_projections_of_different_precision_stay_apart(tmp_path: Path) -> None:
    kinds = {"attn_v": Kind.Q8_0, "ffn_down": Kind.Q6_K}
    model = TinyModel(architecture="qwen2", kind=Kind.Q4_K, kinds=kinds)
    _assert_same_predictions(_export(tmp_path, model))
    assert _count(tmp_path / "package", "MatMulNBits") == 2 * 7 + 1


def test_projections_of_the_same_precision_are_fused(tmp_path: Path) -> None:
    kinds = {"attn_v": Kind.Q8_0}
    model = TinyModel(architecture="qwen2", kind=Kind.Q5_0, kinds=kinds)
    _assert_same_predictions(_export(tmp_path, model))
    assert _count(tmp_path / "package", "MatMulNBits") == 2 * 5 + 1


def test_rope_factors_and_linear_scaling(tmp_path: Path) -> None:
    scaling = {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}
    _assert_same_predictions(_export(tmp_path, TinyModel(rope_factors=True, metadata=scaling)))


def test_windows_and_partly_rotated_heads(tmp_path: Path) -> None:
    metadata = {"attention.sliding_window": 24, "rope.dimension_count": 32}
    _assert_same_predictions(_export(tmp_path, TinyModel(architecture="qwen2", metadata=metadata)))
    model = onnx.load(tmp_path / "package" / "model.onnx", load_external_data=False)
    windows = [
        attribute.i
        for node in model.graph.node
        for attribute in node.attribute
        if attribute.name == "local_window_size"
    ]
    assert windows == [24, 24]


def test_yarn_scaling(tmp_path: Path) -> None:
    scaling = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 128,
    }
    _assert_same_predictions(_export(tmp_path, TinyModel(metadata=scaling)))


def test_a_long_context_is_written_in_slices(tmp_path: Path) -> None:
    settings = _EXACT.model_copy(update={"context_len": 10_000})
    manifest = _export(tmp_path, TinyModel(context_len=20_000), settings)
    assert manifest.context_len == 10_000
    _assert_same_predictions(manifest)
    data = (tmp_path / "package" / "model.onnx.data").read_bytes()
    cos, sin = (np.frombuffer(data, "<f4", 10_000 * 32, offset) for offset in _rotary(tmp_path))
    np.testing.assert_allclose(cos**2 + sin**2, 1, atol=1e-6)
    assert cos.reshape(10_000, 32)[9_999, 0] == pytest.approx(np.cos(9_999.0), abs=1e-6)


def test_activations_of_8_bits_stay_close(tmp_path: Path) -> None:
    settings = ExportSettings(verify_tokens=160, accept_low_fidelity=True)
    manifest = _export(tmp_path, TinyModel(), settings)
    assert manifest.fidelity is not None
    assert 1e-8 < manifest.fidelity.kl_mean < 1e-3


def test_tied_head_shares_the_bytes_of_the_embedding(tmp_path: Path) -> None:
    _export(tmp_path, TinyModel(kinds={"token_embd": Kind.Q8_0}))
    model = onnx.load(tmp_path / "package" / "model.onnx", load_external_data=False)
    regions = {
        tensor.name: {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
    }
    assert regions["head/quants"] == regions["head/quants/table"]
    assert regions["head/scales"] == regions["head/scales/table"]


def test_package_files_and_configuration(tmp_path: Path) -> None:
    settings = ExportSettings(context_len=128, verify="load")
    manifest = _export(tmp_path, TinyModel(), settings)
    package = tmp_path / "package"
    names = {path.name for path in package.iterdir()}
    assert names == {*manifest.files, MANIFEST_NAME}
    assert {"model.onnx", "model.onnx.data", "genai_config.json", "tokenizer.json"} <= names
    assert all((package / name).stat().st_size == size for name, size in manifest.files.items())
    assert manifest == Manifest.model_validate_json((package / MANIFEST_NAME).read_bytes())
    assert manifest.context_len == 128
    assert manifest.kv_bytes_per_token == 2 * 2 * 2 * 64 * 4
    assert manifest.source.license == "apache-2.0"
    assert manifest.tool_call_format == "hermes"
    assert manifest.fidelity is None
    config = json.loads((package / "genai_config.json").read_text(encoding="utf-8"))
    assert config["model"]["context_length"] == config["search"]["max_length"] == 128
    assert config["model"]["eos_token_id"] == [259]
    assert config["model"]["decoder"]["head_size"] == 64
    assert config["search"]["past_present_share_buffer"] is True


def test_parameters_count_shared_weights_once(tmp_path: Path) -> None:
    model = TinyModel()
    manifest = _export(tmp_path, model, ExportSettings(verify="none"))
    assert manifest.parameters == sum(int(np.prod(shape)) for shape in model.tensors().values())


def test_stored_sizes_add_up_to_the_weights_file(tmp_path: Path) -> None:
    manifest = _export(tmp_path, TinyModel(), ExportSettings(verify="none"))
    weights_bytes = sum(group.size_bytes for group in manifest.tensor_groups)
    padding = manifest.files["model.onnx.data"] - weights_bytes - 512 * 64 * 4
    assert 0 <= padding < 4096 * 60


def test_verification_catches_a_wrong_row_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Matrix, "row_order", lambda self: None)
    with pytest.raises(VerificationError, match="does not predict like its source"):
        _export(tmp_path, TinyModel())
    assert not (tmp_path / "package").exists()


def test_progress_covers_the_whole_source(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", TinyModel())
    seen: dict[str, list[tuple[int, int]]] = {}
    export_checkpoint(
        source,
        tmp_path / "package",
        facts=_FACTS,
        settings=_EXACT,
        on_progress=lambda stage, done, total, detail: seen.setdefault(stage, []).append(
            (done, total)
        ),
    )
    assert list(seen) == ["predicted", "weights", "load", "verify", "hash"]
    del seen["predicted"]  # says in words what is needed, and is no work
    for reports in seen.values():
        assert reports == sorted(reports)
        assert reports[-1][0] == reports[-1][1]


def _rotary(folder: Path) -> list[int]:
    model = onnx.load(folder / "package" / "model.onnx", load_external_data=False)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    return [
        int(entry.value)
        for name in ("rotary.0/cos", "rotary.0/sin")
        for entry in tensors[name].external_data
        if entry.key == "offset"
    ]


def _count(package: Path, op: str) -> int:
    model = onnx.load(package / "model.onnx", load_external_data=False)
    return sum(node.op_type == op for node in model.graph.node)
