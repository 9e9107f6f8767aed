"""Predicted memory: each part against a computation by hand, and the plans of the paradigms."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from edgeagent.agent.endpoint import Endpoint
from edgeagent.config.package import Package
from edgeagent.config.run import Budget, EngineConfig, NGramSpeculation
from edgeagent.config.suites import Suite
from edgeagent.config.workspace import Workspace
from edgeagent.errors import ConfigError
from edgeagent.profiling.dry_run import Plan, plan_of
from edgeagent.profiling.memory_prediction import (
    GRAMMAR_BYTES_PER_TOKEN,
    LOAD_EXTRA_SHARE,
    RUNTIME_BYTES,
    TOKENIZER_FACTOR,
    packed_weights_bytes,
    predict,
    predict_memory,
)
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.record.manifest import TensorGroup

BUDGET = Budget(grounding=True)


def group(name: str, stored_as: str, size: int) -> TensorGroup:
    return TensorGroup(
        group=name, source_types={}, stored_as=stored_as, tensors=1, size_bytes=size, exact=True
    )


def stored_bytes(weights: int, stored_as: str) -> int:
    """Bytes of weights in a package: values, float32 scales and corrections, by hand."""
    return {
        "int8 block 32": weights * 9 // 8,
        "int4 block 32": weights * 5 // 8,
        "int4 block 32 + correction": weights * 6 // 8,
        "int8 block 32, float16 scales": weights * 17 // 16,
        "int4 block 32 + zero point": weights * 5 // 8 + weights // 64,
        "float32": weights * 4,
    }[stored_as]


@pytest.mark.parametrize(
    ("stored_as", "bytes_per_weight"),
    [
        ("int8 block 32", 1 + 8 / 32),
        ("int8 block 32, float16 scales", 1 + 8 / 32),
        ("int4 block 32", 0.5 + 8 / 32),
        ("int4 block 32 + correction", 0.5 + 12 / 32),
        ("int4 block 32 + zero point", 0.5 + 8 / 32 + 0.5 / 32),
        ("float32", 4.0),
    ],
)
def test_a_packed_block_has_its_values_a_scale_and_a_sum(
    stored_as: str, bytes_per_weight: float
) -> None:
    groups = (group("mlp", stored_as, stored_bytes(64_000, stored_as)),)
    assert packed_weights_bytes(groups) == pytest.approx(64_000 * bytes_per_weight)


def test_a_table_that_is_only_looked_up_stays_in_its_file_unless_the_head_uses_it() -> None:
    table = group("embedding", "int8 block 32", 9_000)
    own_head = group("head", "int8 block 32", 4_500)
    shared = group("head", "int8 block 32, shared with the embedding", 0)
    assert packed_weights_bytes((table, own_head)) == pytest.approx(5_000)
    assert packed_weights_bytes((table, shared)) == pytest.approx(10_000)


def test_what_the_manifest_says_in_unknown_words_counts_as_it_is() -> None:
    assert packed_weights_bytes((group("mlp", "nf4", 100),)) == 100


@pytest.fixture
def real(package: Package, tmp_path: Path) -> Package:
    """The package record with a configuration on disk and files of known size."""
    package.folder.mkdir()
    text = json.dumps(
        {
            "model": {
                "vocab_size": 1000,
                "decoder": {"hidden_size": 64, "num_attention_heads": 4},
            }
        }
    )
    (package.folder / "genai_config.json").write_text(text, encoding="utf-8")
    manifest = package.manifest.model_copy(
        update={
            "files": {"model.onnx": 10, "model.onnx.data": 10_000, "tokenizer.json": 500},
            "kv_bytes_per_token": 96,
        }
    )
    return dataclasses.replace(package, manifest=manifest)


def test_every_part(real: Package) -> None:
    engine = EngineConfig(prefill_chunk_len=32)
    found = predict(real, engine, Plan(sessions=3, uses_grammars=True), 256)
    assert found.runtime_bytes == RUNTIME_BYTES
    assert found.kv_cache_bytes == 3 * 256 * 96
    assert found.tokenizer_bytes == 500 * TOKENIZER_FACTOR
    assert found.grammar_bytes == 1000 * GRAMMAR_BYTES_PER_TOKEN
    assert found.load_extra_bytes == round(LOAD_EXTRA_SHARE * 10_010)
    hidden = 64 * (8 + 3 * 4)  # buffers of the residual stream and of the feed-forward network
    assert found.activations_bytes == 4 * (32 * (hidden + 4 * 256) + 1000)
    parts = found.model_dump()
    del parts["sessions"], parts["context_len"], parts["load_extra_bytes"]
    assert found.rss_peak_bytes == sum(parts.values())


def test_speculation_keeps_the_logits_of_a_whole_chunk(real: Package) -> None:
    plain = EngineConfig(prefill_chunk_len=32)
    guessing = EngineConfig(prefill_chunk_len=32, speculation=NGramSpeculation())
    plan = Plan(1, uses_grammars=False)
    more = predict(real, guessing, plan, 256).activations_bytes
    assert more - predict(real, plain, plan, 256).activations_bytes == 31 * 1000 * 4


def test_loading_can_need_more_than_running(real: Package) -> None:
    files = real.manifest.files | {"model.onnx.data": 100_000_000}
    large = dataclasses.replace(real, manifest=real.manifest.model_copy(update={"files": files}))
    found = predict(large, EngineConfig(), Plan(1, uses_grammars=False), 256)
    assert found.rss_peak_bytes == (
        found.runtime_bytes + found.weights_bytes + found.load_extra_bytes
    )


@pytest.mark.parametrize(
    "text", ["", "[]", '{"model": 5}', '{"model": {"vocab_size": -1}}', "[" * 9]
)
def test_a_damaged_configuration_costs_the_activations_only(real: Package, text: str) -> None:
    (real.folder / "genai_config.json").write_text(text, encoding="utf-8")
    found = predict(real, EngineConfig(), Plan(1, uses_grammars=True), 256)
    assert found.activations_bytes == found.grammar_bytes == 0
    assert found.kv_cache_bytes == 256 * 96


def test_paradigms_tell_their_sessions_and_grammars_by_running(suite: Suite) -> None:
    searching = Workspace(documents=suite.documents_dir)
    plans = {name: plan_of(name, searching, BUDGET) for name in ("base", "single")}
    assert plans["base"] == Plan(1, uses_grammars=False)
    assert plans["single"] == Plan(2, uses_grammars=True)
    with_documents = plan_of("multi", searching, BUDGET)
    assert with_documents.sessions == plan_of("multi", Workspace(), BUDGET).sessions + 1
    with pytest.raises(ConfigError, match="paradigm"):
        plan_of("crowd", Workspace(), BUDGET)


def test_nothing_is_said_about_other_devices(real: Package, suite: Suite) -> None:
    settings = ProfileSettings(real, suite)
    predicted = predict_memory(settings, "base")
    assert predicted is not None
    assert predicted.context_len == settings.budget.max_context_len
    on_gpu = dataclasses.replace(settings, engine=EngineConfig(ep="cuda"))
    assert predict_memory(on_gpu, "base") is None


# Teams


def team(tmp_path: Path, text: str) -> Workspace:
    path = tmp_path / "team.toml"
    path.write_text(f'name = "team"\n{text}', encoding="utf-8")
    tools = tmp_path / "tools.toml"
    tools.write_text("", encoding="utf-8")
    return Workspace(teams=(path,), tools_file=tools)


def test_models_of_roles_are_planned_apart_and_never_loaded(tmp_path: Path) -> None:
    workspace = team(
        tmp_path,
        'kind = "pipeline"\n'
        '[[role]]\nname = "a"\nadapter = "law"\n'
        '[[role]]\nname = "b"\nmodel = "large"\ntools = ["sql", "calculator"]\n',
    )
    plan = plan_of("team", workspace, BUDGET)
    # A session for the first role; one of the large model for the last one and its fallback each.
    assert plan.sessions == 1
    assert plan.further is not None
    assert plan.further["large"].sessions == 2
    assert plan.further["large"].uses_grammars
    assert not plan.uses_grammars


def test_a_paradigm_that_decodes_together_loads_the_weights_twice(real: Package) -> None:
    plan = plan_of("vote", Workspace(), BUDGET)
    assert plan.batches
    assert plan.sessions > 4
    lone = dataclasses.replace(plan, batches=False)
    once, twice = (predict(real, EngineConfig(), one, 256) for one in (lone, plan))
    assert twice.weights_bytes == 2 * once.weights_bytes
    assert twice.kv_cache_bytes == once.kv_cache_bytes


def test_what_the_user_decided_about_sessions_is_predicted() -> None:
    shared = BUDGET.model_copy(update={"sessions": "shared"})
    assert plan_of("multi", Workspace(), shared).sessions == 1
    assert plan_of("multi", Workspace(), BUDGET).sessions > 3


def test_memory_decides_how_many_sessions_there_are(real: Package) -> None:
    plan = Plan(5, uses_grammars=False)
    own = predict(real, EngineConfig(), plan, 256)
    needed = own.runtime_bytes + own.weights_bytes + own.tokenizer_bytes
    session_bytes = own.kv_cache_bytes // 5
    for room, sessions in ((9.0, 5), (3.5, 3), (0.2, 1), (-5.0, 1)):
        found = predict(
            real,
            EngineConfig(),
            plan,
            256,
            sessions=None,
            available=lambda room=room: int(needed + room * session_bytes),
        )
        assert found.sessions == sessions
        assert found.kv_cache_bytes == sessions * session_bytes


def test_a_second_model_adds_its_weights_if_it_is_there(
    real: Package, suite: Suite, tmp_path: Path
) -> None:
    def settings(model: str) -> ProfileSettings:
        workspace = team(
            tmp_path,
            'kind = "pipeline"\n[[role]]\nname = "a"\n'
            f'[[role]]\nname = "b"\nmodel = {json.dumps(model)}\n',
        )
        return ProfileSettings(real, suite, ("team",), workspace=workspace)

    manifest = real.manifest.model_dump_json()
    (real.folder / "manifest.json").write_text(manifest, encoding="utf-8")
    alone = predict_memory(ProfileSettings(real, suite), "base")
    shutil.copytree(real.folder, tmp_path / "other")
    both = predict_memory(settings(str(tmp_path / "other")), "team")
    same = predict_memory(settings(str(real.folder)), "team")
    assert alone is not None
    assert both is not None
    assert same is not None
    assert both.weights_bytes == 2 * alone.weights_bytes
    assert same.weights_bytes == alone.weights_bytes
    assert both.runtime_bytes == same.runtime_bytes == alone.runtime_bytes
    assert both.sessions == same.sessions
    assert same.kv_cache_bytes == same.sessions * alone.kv_cache_bytes
    assert predict_memory(settings("qwen3-4b"), "team") is None


def test_nothing_is_sent_to_find_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(Endpoint, "ask", lambda *_args, **_more: asked.append(1))
    workspace = team(
        tmp_path,
        'kind = "escalate"\n[escalate]\nthreshold = 1.0\n'
        '[endpoint]\nurl = "https://models.example/v1"\nmodel = "m"\n',
    )
    assert plan_of("team", workspace, BUDGET).sessions == 1
    assert asked == []
