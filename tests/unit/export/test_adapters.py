"""LoRA adapters: a session with one computes what the merged weights compute."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import lora_files
import numpy as np
import numpy.typing as npt
import pytest
from lora_files import ATTENTION, MLP, merged, random_factors, write_gguf_adapter, write_peft
from tiny_checkpoints import ALL_CHECKPOINTS, TinyCheckpoint, decoder_logits, relative_error

from edgeagent.bundle.install import install_bundle
from edgeagent.bundle.write import write_bundle
from edgeagent.config.package import read_package
from edgeagent.engine.genai import GenaiEngine
from edgeagent.engine.genai_session import GenaiSession
from edgeagent.errors import (
    ConfigError,
    DamagedFileError,
    EdgeAgentError,
    EngineError,
    SourceError,
    UnsupportedError,
)
from edgeagent.export.adapter import read_adapters
from edgeagent.export.model import open_model
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.record.manifest import Manifest

_FACTS = ModelFacts(model_id="tiny")
_FLOAT32 = ExportSettings(policy="float", verify="load", accuracy_level=1)
_LLAMA = ALL_CHECKPOINTS["llama3"]
_FUSED = ("qkv_proj", "gate_up_proj", "o_proj", "down_proj")
_ALL_OF = {"phi3": _FUSED}
_PREFILL_TOKENS = 25
_TOLERANCE = 1e-3


def _export(source: Path, out: Path, **adapters: Path) -> Manifest:
    return export_checkpoint(source, out, facts=_FACTS, settings=_FLOAT32, adapters=adapters)


def _logits(session: GenaiSession, tokens: list[int]) -> npt.NDArray[np.float32]:
    """Logits after each token from the end of a prefill on."""
    rows = []
    for piece in (tokens[:_PREFILL_TOKENS], *([token] for token in tokens[_PREFILL_TOKENS:])):
        session.append(piece)
        rows.append(session.next_logits().copy())
    return np.stack(rows)


def _session_logits(
    package: Path, tokens: list[int], adapter: str | None = None
) -> npt.NDArray[np.float32]:
    engine = GenaiEngine(package)
    session = engine.open(len(tokens) + 1, adapter)
    try:
        return _logits(session, tokens)
    finally:
        session.close()
        engine.close()


def _merged_logits(
    checkpoint: TinyCheckpoint, factors: lora_files.Factors, scale: float
) -> npt.NDArray[np.float64]:
    weights = merged(checkpoint.weights, factors, scale)
    logits = decoder_logits(checkpoint.config, weights, checkpoint.tokens)
    return logits[_PREFILL_TOKENS - 1 :]


@pytest.mark.parametrize("name", ["llama3", "qwen2", "qwen3", "smollm3", "gemma3", "phi3"])
def test_a_session_with_an_adapter_computes_what_the_merged_weights_compute(
    name: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    factors = random_factors(checkpoint, _ALL_OF.get(name, (*ATTENTION, *MLP)), rank=4, seed=1)
    adapter = write_peft(tmp_path / "lora", factors, alpha=6)
    source = checkpoint.write_folder(tmp_path / "model")
    _export(source, tmp_path / "package", a=adapter)
    _export(source, tmp_path / "plain")
    tokens = checkpoint.tokens
    expected = _merged_logits(checkpoint, factors, 6 / 4)
    assert relative_error(_session_logits(tmp_path / "package", tokens, "a"), expected) < _TOLERANCE
    base = _session_logits(tmp_path / "package", tokens)
    assert relative_error(base, expected) > 50 * _TOLERANCE  # the adapter is no trifle
    np.testing.assert_array_equal(base, _session_logits(tmp_path / "plain", tokens))


@pytest.mark.parametrize("name", ["llama3", "phi3", "qwen2"])
@pytest.mark.parametrize("form", ["peft", "gguf"])
def test_adapters_of_both_formats_fit_a_gguf(name: str, form: str, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    factors = random_factors(checkpoint, _ALL_OF.get(name, (*ATTENTION, *MLP)), rank=3, seed=2)
    if form == "peft":
        adapter = write_peft(tmp_path / "lora", factors, alpha=3)
    else:
        adapter = write_gguf_adapter(
            tmp_path / "lora.gguf", checkpoint, factors, alpha=3, permuted=name == "llama3"
        )
    _export(checkpoint.write_gguf(tmp_path / "model.gguf"), tmp_path / "package", a=adapter)
    logits = _session_logits(tmp_path / "package", checkpoint.tokens, "a")
    assert relative_error(logits, _merged_logits(checkpoint, factors, 1.0)) < _TOLERANCE


def test_a_gguf_adapter_fits_a_folder(tmp_path: Path) -> None:
    factors = random_factors(_LLAMA, ("q_proj", "k_proj"), rank=3, seed=3)
    adapter = write_gguf_adapter(tmp_path / "lora.gguf", _LLAMA, factors, alpha=6, permuted=True)
    _export(_LLAMA.write_folder(tmp_path / "model"), tmp_path / "package", a=adapter)
    logits = _session_logits(tmp_path / "package", _LLAMA.tokens, "a")
    assert relative_error(logits, _merged_logits(_LLAMA, factors, 2.0)) < _TOLERANCE


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_float_type_and_rank_stabilized_scaling_are_read(dtype: str, tmp_path: Path) -> None:
    factors = random_factors(_LLAMA, ("v_proj",), rank=4, seed=4)
    adapter = write_peft(tmp_path / "lora", factors, alpha=6, dtype=dtype, use_rslora=True)  # type: ignore[arg-type]
    source = _LLAMA.write_folder(tmp_path / "model")
    manifest = _export(source, tmp_path / "package", a=adapter)
    scale = lora_files.rslora_scale(6, 4)
    assert manifest.adapters[0].scale == pytest.approx(scale)
    logits = _session_logits(tmp_path / "package", _LLAMA.tokens, "a")
    assert relative_error(logits, _merged_logits(_LLAMA, factors, scale)) < _TOLERANCE


def test_an_adapter_works_on_quantized_weights(tmp_path: Path) -> None:
    checkpoint = _LLAMA
    factors = random_factors(checkpoint, (*ATTENTION, *MLP), rank=4, seed=5)
    adapter = write_peft(tmp_path / "lora", factors, alpha=4)
    source = checkpoint.write_gguf(tmp_path / "model.gguf", kind="Q4_1")
    export_checkpoint(
        source,
        tmp_path / "package",
        facts=_FACTS,
        settings=ExportSettings(verify="load", accuracy_level=1),
        adapters={"a": adapter},
    )
    weights = merged(checkpoint.gguf_weights(source), factors, 1.0)
    expected = decoder_logits(checkpoint.config, weights, checkpoint.tokens)
    logits = _session_logits(tmp_path / "package", checkpoint.tokens, "a")
    assert relative_error(logits, expected[_PREFILL_TOKENS - 1 :]) < 5e-3


def test_the_whole_verification_runs_on_a_graph_with_inputs_for_adapters(tmp_path: Path) -> None:
    factors = random_factors(_LLAMA, (*ATTENTION, *MLP), rank=2, seed=13)
    settings = ExportSettings(policy="float", accuracy_level=1, verify_tokens=64)
    manifest = export_checkpoint(
        _LLAMA.write_folder(tmp_path / "model"),
        tmp_path / "package",
        facts=_FACTS,
        settings=settings,
        adapters={"a": write_peft(tmp_path / "lora", factors, alpha=2)},
    )
    assert manifest.gate is not None
    assert manifest.gate.passed


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with two adapters of other ranks and targets."""
    folder = tmp_path_factory.mktemp("two")
    one = write_peft(folder / "one", _factors_of("one"), alpha=8)
    other = write_peft(folder / "other", _factors_of("other"), alpha=2)
    source = _LLAMA.write_folder(folder / "model")
    _export(source, folder / "package", one=one, other=other)
    return folder / "package"


def _factors_of(name: str) -> lora_files.Factors:
    if name == "one":
        return random_factors(_LLAMA, ("q_proj", "v_proj"), rank=8, seed=6)
    return random_factors(_LLAMA, ("o_proj", "down_proj", "k_proj"), rank=2, seed=7)


def test_sessions_with_different_adapters_run_side_by_side(two: Path) -> None:
    engine = GenaiEngine(two)
    assert engine.adapters == ("one", "other")
    tokens = _LLAMA.tokens
    sessions = {name: engine.open(64, name) for name in ("one", "other", None)}
    for at in range(0, len(tokens), 10):
        for session in sessions.values():
            session.append(tokens[at : at + 10])
    said = {name: session.next_logits().copy() for name, session in sessions.items()}
    for name in ("one", "other"):
        expected = _merged_logits(_LLAMA, _factors_of(name), 1.0)[-1]
        assert relative_error(said[name], expected) < _TOLERANCE
    plain = decoder_logits(_LLAMA.config, _LLAMA.weights, tokens)[-1]
    assert relative_error(said[None], plain) < _TOLERANCE
    for session in sessions.values():
        session.close()
    engine.close()


def test_rewinding_keeps_the_adapter_even_where_the_cache_cannot_be_rewound(two: Path) -> None:
    engine = GenaiEngine(two)
    session = engine.open(64, "one")
    tokens = _LLAMA.tokens
    expected = _merged_logits(_LLAMA, _factors_of("one"), 1.0)
    assert relative_error(_logits(session, tokens), expected) < _TOLERANCE
    for length in (7, 0):
        session.rewind(length)
        session.append(tokens[length:])
        assert relative_error(session.next_logits(), expected[-1]) < _TOLERANCE

    class Stubborn:
        def rewind_to(self, _length: int) -> None:
            raise RuntimeError("this cache cannot be rewound")

    session._generator = Stubborn()
    session.rewind(5)
    assert session.cached_len == 0
    session.append(tokens[5:])
    assert relative_error(session.next_logits(), expected[-1]) < _TOLERANCE
    session.close()
    engine.close()


def test_an_adapter_that_is_not_there_is_named_with_those_that_are(two: Path) -> None:
    engine = GenaiEngine(two)
    with pytest.raises(EngineError, match=r"'nurse'.* has one, other"):
        engine.open(64, "nurse")
    engine.close()


def test_the_manifest_lists_adapters_and_their_files(two: Path) -> None:
    manifest = read_package(two).manifest
    one, other = manifest.adapters
    assert (one.name, one.source, one.rank, one.scale) == ("one", "one", 8, 1.0)
    assert (one.targets, other.targets) == (("q", "v"), ("k", "o", "down"))
    assert one.base_model == "tiny"
    for adapter in manifest.adapters:
        size_bytes = (two / adapter.file).stat().st_size
        assert manifest.files[adapter.file] == adapter.size_bytes == size_bytes


def test_an_export_repeats_its_bytes(two: Path, tmp_path: Path) -> None:
    again = write_peft(tmp_path / "one", _factors_of("one"), alpha=8)
    other = write_peft(tmp_path / "other", _factors_of("other"), alpha=2)
    source = _LLAMA.write_folder(tmp_path / "model")
    _export(source, tmp_path / "package", one=again, other=other)
    for name in ("model.onnx", "adapters/one.onnx_adapter", "adapters/other.onnx_adapter"):
        assert (tmp_path / "package" / name).read_bytes() == (two / name).read_bytes()


def test_a_bundle_carries_adapters(two: Path, tmp_path: Path) -> None:
    write_bundle(read_package(two), tmp_path / "a.bundle")
    install_bundle(tmp_path / "a.bundle", tmp_path / "installed")
    logits = _session_logits(tmp_path / "installed", _LLAMA.tokens, "other")
    np.testing.assert_array_equal(logits, _session_logits(two, _LLAMA.tokens, "other"))


def test_a_cut_or_missing_adapter_is_found_before_the_model_is_loaded(
    two: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "package"
    (copy / "adapters").mkdir(parents=True)
    for path in two.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(two)).write_bytes(path.read_bytes())
    file = copy / "adapters" / "one.onnx_adapter"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(EngineError, match=r"one\.onnx_adapter is damaged"):
        GenaiEngine(copy)
    file.unlink()
    with pytest.raises(EngineError, match=r"one\.onnx_adapter is damaged: it has 0 of"):
        GenaiEngine(copy)


@pytest.mark.parametrize("file", ["../elsewhere.onnx_adapter", "adapters/two.onnx_adapter"])
def test_a_manifest_that_names_another_file_is_refused(
    two: Path, tmp_path: Path, file: str
) -> None:
    copy = tmp_path / "package"
    copy.mkdir()
    for path in two.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"] = {}
    manifest["adapters"][0]["file"] = file
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(EngineError, match="not the file of an adapter"):
        GenaiEngine(copy)


# What is refused


def _refused(
    tmp_path: Path, adapter: Path, name: str = "a"
) -> pytest.ExceptionInfo[EdgeAgentError]:
    source = _LLAMA.write_folder(tmp_path / "model")
    with pytest.raises(EdgeAgentError) as caught:
        export_checkpoint(
            source,
            tmp_path / "package",
            facts=_FACTS,
            settings=_FLOAT32,
            adapters={name: adapter},
        )
    assert not (tmp_path / "package").exists()
    assert str(adapter) in str(caught.value) or name in str(caught.value)
    return caught


@pytest.mark.parametrize(
    ("config", "kind", "says"),
    [
        ({"use_dora": True}, UnsupportedError, "use_dora"),
        ({"fan_in_fan_out": True}, UnsupportedError, "fan_in_fan_out"),
        ({"modules_to_save": ["lm_head"]}, UnsupportedError, "modules_to_save"),
        ({"alpha_pattern": {"q_proj": 3}}, UnsupportedError, "alpha_pattern"),
        ({"layer_replication": [[0, 2]]}, UnsupportedError, "layer_replication"),
        ({"bias": "lora_only"}, UnsupportedError, "biases"),
        ({"peft_type": "LOHA"}, UnsupportedError, "LOHA"),
        ({"init_lora_weights": "pissa_niter_4"}, UnsupportedError, "changes the base model"),
        ({"r": 5}, DamagedFileError, "rank 4"),
        ({"r": 0}, DamagedFileError, "rank r is 0"),
        ({"r": "4"}, DamagedFileError, "integer"),
        ({"lora_alpha": None}, DamagedFileError, "lora_alpha"),
    ],
)
def test_other_methods_than_plain_lora_are_refused(
    config: dict[str, object], kind: type[EdgeAgentError], says: str, tmp_path: Path
) -> None:
    factors = random_factors(_LLAMA, ("q_proj",), rank=4, seed=8)
    caught = _refused(tmp_path, write_peft(tmp_path / "lora", factors, alpha=4, **config))
    assert caught.type is kind
    assert says in str(caught.value)


def _first(factors: lora_files.Factors) -> str:
    return next(iter(factors))


def _of_another_width(factors: lora_files.Factors) -> lora_files.Factors:
    down, up = factors[_first(factors)]
    return factors | {_first(factors): (down[:, :-1], up)}


def _of_another_height(factors: lora_files.Factors) -> lora_files.Factors:
    down, up = factors[_first(factors)]
    return factors | {_first(factors): (down, up[:-1])}


def _of_two_ranks(factors: lora_files.Factors) -> lora_files.Factors:
    down, up = factors[_first(factors)]
    return factors | {_first(factors): (down, up[:, :-1])}


def _not_a_number(factors: lora_files.Factors) -> lora_files.Factors:
    factors[_first(factors)][1][0, 0] = np.nan
    return factors


def _infinite(factors: lora_files.Factors) -> lora_files.Factors:
    factors[_first(factors)][0][0, 0] = np.inf
    return factors


def _of_a_deeper_model(factors: lora_files.Factors) -> lora_files.Factors:
    return factors | {_first(factors).replace("layers.0", "layers.77"): factors[_first(factors)]}


def _of_the_head(factors: lora_files.Factors) -> lora_files.Factors:
    return factors | {"lm_head.weight": factors[_first(factors)]}


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (_of_another_width, DamagedFileError, "another model"),
        (_of_another_height, DamagedFileError, "another model"),
        (_of_two_ranks, DamagedFileError, "ranks 4 and 3"),
        (_not_a_number, DamagedFileError, "not a finite number"),
        (_infinite, DamagedFileError, "not a finite number"),
        (_of_a_deeper_model, DamagedFileError, "block 77"),
        (_of_the_head, UnsupportedError, "linear layers of attention and MLP"),
    ],
)
@pytest.mark.parametrize("form", ["peft", "gguf"])
def test_adapters_that_do_not_fit_the_model_are_refused(
    change: Callable[[lora_files.Factors], lora_files.Factors],
    kind: type[EdgeAgentError],
    says: str,
    form: str,
    tmp_path: Path,
) -> None:
    factors = change(random_factors(_LLAMA, ("v_proj",), rank=4, seed=9))
    if form == "peft":
        adapter = write_peft(tmp_path / "lora", factors, alpha=4)
    else:
        adapter = write_gguf_adapter(tmp_path / "lora.gguf", _LLAMA, factors, alpha=4)
    caught = _refused(tmp_path, adapter)
    assert caught.type is kind
    assert says in str(caught.value)


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    model = _LLAMA.write_folder(tmp_path / "other")
    assert _refused(tmp_path, model).type is SourceError
    assert _refused(tmp_path, tmp_path / "nothing").type is SourceError
    assert _refused(tmp_path, model / "config.json").type is DamagedFileError
    whole = _LLAMA.write_gguf(tmp_path / "whole.gguf")
    assert "no adapter" in str(_refused(tmp_path, whole).value)
    pickled = write_peft(tmp_path / "lora", random_factors(_LLAMA, ("q_proj",), 2, 10), alpha=1)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    assert "adapter_model.safetensors" in str(_refused(tmp_path, pickled).value)


def test_an_adapter_that_lost_a_factor_is_refused(tmp_path: Path) -> None:
    factors = random_factors(_LLAMA, ("q_proj",), rank=2, seed=11)
    folder = write_peft(tmp_path / "lora", factors, alpha=1)
    lora_files.write_safetensors(
        folder / "adapter_model.safetensors",
        {f"base_model.model.{_first(factors)[:-7]}.lora_A.weight": factors[_first(factors)][0]},
        "float32",
    )
    assert "lacks one of the two factors" in str(_refused(tmp_path, folder).value)


@pytest.mark.parametrize("name", ["", "a/b", "..", "A", "con", "x" * 65, "a.b", "-a"])
def test_names_that_are_no_file_names_everywhere_are_refused(name: str, tmp_path: Path) -> None:
    factors = random_factors(_LLAMA, ("q_proj",), rank=2, seed=12)
    adapter = write_peft(tmp_path / "lora", factors, alpha=1)
    assert _refused(tmp_path, adapter, name).type is ConfigError


@pytest.mark.parametrize("form", ["peft", "gguf"])
def test_a_damaged_adapter_ends_in_a_clear_error_or_is_whole(form: str, tmp_path: Path) -> None:
    source = _LLAMA.write_folder(tmp_path / "model")
    factors = random_factors(_LLAMA, ("q_proj", "down_proj"), rank=2, seed=14)
    if form == "peft":
        adapter = write_peft(tmp_path / "lora", factors, alpha=2)
        files = [adapter / "adapter_model.safetensors", adapter / "adapter_config.json"]
    else:
        adapter = write_gguf_adapter(tmp_path / "lora.gguf", _LLAMA, factors, alpha=2)
        files = [adapter]
    random = np.random.default_rng(15)
    refused = 0
    with open_model(source, None) as model:
        for _ in range(100):
            file = files[random.integers(len(files))]
            whole = file.read_bytes()
            # Most of the bytes are numbers, which may be anything; names and sizes come first.
            header = min(len(whole), 1500)
            broken = bytearray(whole)
            for at in random.integers(header, size=random.integers(1, 4)):
                broken[at] = random.integers(256)
            file.write_bytes(broken if random.random() < 0.8 else whole[: random.integers(header)])
            try:
                read = read_adapters({"a": adapter}, model.spec)
            except EdgeAgentError:
                refused += 1
            else:
                assert all(np.isfinite(update.up).all() for update in read[0].updates.values())
            file.write_bytes(whole)
        assert refused > 50
        assert read_adapters({"a": adapter}, model.spec)[0].rank == 2


@pytest.mark.parametrize(
    "shapes", [((1 << 40, 0), (128, 0)), ((0, 128), (128, 0)), ((2, 128), (1 << 40, 0)), ((0,), ())]
)
def test_absurd_shapes_are_refused_without_being_allocated(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], tmp_path: Path
) -> None:
    factors = random_factors(_LLAMA, ("o_proj",), rank=2, seed=16)
    folder = write_peft(tmp_path / "lora", factors, alpha=2)
    name = f"base_model.model.{_first(factors).removesuffix('.weight')}"
    header: dict[str, object] = {}
    end = 0
    for factor, shape in zip("AB", shapes, strict=True):
        size = 4 * math.prod(shape)
        where = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        header[f"{name}.lora_{factor}.weight"] = where
        end += size
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(end)
    (folder / "adapter_model.safetensors").write_bytes(content)
    assert _refused(tmp_path, folder).type is DamagedFileError
