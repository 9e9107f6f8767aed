"""The other exporters for real: their environments, every family, and real weights in the runtime.

Minutes long: each environment downloads about a gigabyte the first time and is kept in the test
home afterwards (`EDGEAGENT_TEST_HOME`). Nothing but the creation of the environments needs a
network.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgeagent.config.package import read_package
from edgeagent.errors import ExportError, UnsupportedError, VerificationError
from edgeagent.export.backends.builder import COMBINATIONS
from edgeagent.export.backends.environment import create_environment, find_environment
from edgeagent.export.backends.export import BACKENDS, export_with_backend
from edgeagent.export.backends.fidelity import PackageLogits
from edgeagent.export.backends.protocol import ignore_backend_progress
from edgeagent.export.backends.settings import BackendSettings
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.record.manifest import Manifest

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit" / "export"))
from tiny_checkpoints import (
    FAMILY_CHECKPOINTS,
    load_reference_logits,
    relative_error,
)

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]

REFUSED: dict[str, set[str]] = {
    # Crashes on SmolLM3 and Gemma-3, and computes something else for Phi-3 and Phi-4.
    "builder": {
        *("smollm3", "phi3", "phi3-long", "phi4-mini"),
        *("gemma3", "gemma3-linear", "gemma3-scalar"),
    },
    "optimum": set(),
}
"""Families that a tool of these versions fails on; no package may come of it."""


@pytest.fixture(scope="session", autouse=True)
def environments(weights_home: Path) -> Path:
    """Both environments, created by edgeagent's own code if they are not there yet."""
    home = weights_home / "backends"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEAGENT_HOME", str(home))
        for backend in BACKENDS.values():
            create_environment(backend.requirements, ignore_backend_progress)
    return home


@pytest.fixture(autouse=True)
def home(environments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAGENT_HOME", str(environments))


def export(
    name: str, source: Path, out: Path, *, force: bool = False, **wanted: object
) -> Manifest:
    return export_with_backend(
        name,
        source,
        out,
        facts=ModelFacts("test"),
        settings=ExportSettings(accept_low_fidelity=force),
        backend_settings=BackendSettings.model_validate(wanted),
    )


def generate(package: Path, prompt: str, count: int) -> str:
    """Greedy continuation of a prompt, by onnxruntime-genai."""
    import onnxruntime_genai as og

    model = og.Model(str(package))
    tokenizer = og.Tokenizer(model)
    tokens = tokenizer.encode(prompt)
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=len(tokens) + count, do_sample=False)
    generator = og.Generator(model, params)
    generator.append_tokens(tokens)
    while not generator.is_done():
        generator.generate_next_token()
    text: str = tokenizer.decode(generator.get_sequence(0)[len(tokens) :])
    return text


def all_logits(package: Path, tokens: list[int]) -> npt.NDArray[np.float32]:
    return PackageLogits(package).logits(np.array(tokens, dtype=np.int64))


def test_the_environments_hold_the_pinned_tools() -> None:
    for backend in BACKENDS.values():
        environment = find_environment(backend.requirements)
        assert environment is not None
        assert set(environment.versions) == set(backend.requirements.pinned)
        assert backend.requirements.missing(environment.versions) == []


@pytest.mark.parametrize("family", FAMILY_CHECKPOINTS)
@pytest.mark.parametrize("name", BACKENDS)
def test_every_family_computes_what_transformers_does(
    name: str, family: str, tmp_path: Path
) -> None:
    """Also across versions: the folder is written by transformers 5, optimum reads version 4's."""
    checkpoint = FAMILY_CHECKPOINTS[family]
    source = checkpoint.write_folder(tmp_path / family, shards=2)
    out = tmp_path / "out"
    if family in REFUSED[name]:
        with pytest.raises((ExportError, VerificationError)):
            export(name, source, out, precision="fp32")
        assert not out.exists()
        return
    manifest = export(name, source, out, precision="fp32")
    assert manifest.fidelity is not None
    assert manifest.gate is not None
    assert manifest.gate.passed
    assert manifest.fidelity.kl_mean < 1e-5
    assert len(manifest.source.parts) == 2
    if len(checkpoint.tokens) <= manifest.context_len:  # else LongRoPE beyond what was traced
        expected = load_reference_logits(family)
        assert relative_error(all_logits(out, checkpoint.tokens), expected) < 1e-3


@pytest.mark.parametrize(
    ("ep", "precision"), [(ep, p) for ep, precisions in COMBINATIONS.items() for p in precisions]
)
def test_the_builder_builds_every_combination_of_the_table(
    ep: str, precision: str, tmp_path: Path
) -> None:
    source = FAMILY_CHECKPOINTS["llama3"].write_folder(tmp_path / "model")
    manifest = export("builder", source, tmp_path / "out", ep=ep, precision=precision, force=True)
    assert manifest == read_package(tmp_path / "out").manifest
    assert (manifest.fidelity is not None) == (ep == "cpu")
    stored = {group.group: group.stored_as for group in manifest.tensor_groups}
    config = json.loads((tmp_path / "out" / "genai_config.json").read_text())
    providers = config["model"]["decoder"]["session_options"]["provider_options"]
    if ep == "cpu":
        assert generate(tmp_path / "out", "hello", 4)
        assert providers == []
    else:
        assert [name.lower() for provider in providers for name in provider] == [ep.lower()]
    quantized = {"int4": "int4 block", "int8": "int8 block"}
    floats = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
    if ep != "NvTensorRtRtx" or precision != "int4":  # there, weights go through QDQ operators
        assert stored["mlp"].startswith((quantized | floats)[precision])


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_quantized_tiny_models_run(name: str, precision: str, tmp_path: Path) -> None:
    source = FAMILY_CHECKPOINTS["smollm2"].write_folder(tmp_path / "model")
    manifest = export(name, source, tmp_path / "out", precision=precision, force=True)
    assert manifest.fidelity is not None
    assert manifest.fidelity.kl_mean < {"int8": 0.01, "int4": 0.5}[precision]
    assert generate(tmp_path / "out", "hello", 4)


@pytest.mark.parametrize("name", BACKENDS)
def test_smollm2_from_its_gguf(name: str, smollm2_gguf: Path, tmp_path: Path) -> None:
    manifest = export(name, smollm2_gguf, tmp_path / "out", precision="int8")
    assert manifest.source.architecture == "llama"
    assert manifest.fidelity is not None
    assert manifest.fidelity.top1_agreement > 0.945
    assert manifest.fidelity.kl_mean < 0.01
    assert manifest.package_bytes < 300e6
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    assert "Paris" in generate(tmp_path / "out", prompt, 16)


def test_four_bits_of_the_stock_quantizer_do_not_pass(smollm2_gguf: Path, tmp_path: Path) -> None:
    """Quantizing the quantized again costs a third of the perplexity, and the gate says so."""
    with pytest.raises(VerificationError, match=r"int4 package .* perplexity changed by"):
        export("builder", smollm2_gguf, tmp_path / "out", precision="int4")
    assert not (tmp_path / "out").exists()


def test_what_is_known_to_be_wrong_is_not_built_for_devices_that_are_not_here(
    tmp_path: Path,
) -> None:
    source = FAMILY_CHECKPOINTS["phi3"].write_folder(tmp_path / "model")
    with pytest.raises(UnsupportedError, match="compute something else"):
        export("builder", source, tmp_path / "out", ep="cuda", precision="fp16")


def test_an_architecture_that_a_tool_lacks_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    source = FAMILY_CHECKPOINTS["llama3"].write_folder(tmp_path / "model")
    config = json.loads((source / "config.json").read_text())
    config["architectures"] = ["NobodyKnowsForCausalLM"]
    (source / "config.json").write_text(json.dumps(config))
    with pytest.raises(ExportError) as caught:
        export("builder", source, tmp_path / "out", precision="fp32")
    assert "NotImplementedError: The " in str(caught.value)
    assert "model is not currently supported" in str(caught.value)
    assert "\n" not in str(caught.value)
