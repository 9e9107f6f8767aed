"""The whole way of a backend with a make-believe tool: what it is told and what is kept."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import onnx
import psutil
import pytest
from backend_fakes import (
    BUILDER_VERSIONS,
    BUILDER_WRITES,
    install_builder,
    make_interpreter,
    pretend,
    write_folder,
)
from tiny_checkpoints import ALL_CHECKPOINTS

from edgeagent.config.package import read_package
from edgeagent.errors import (
    ConfigError,
    ExportError,
    ResourceError,
    SourceError,
    UnsupportedError,
    VerificationError,
)
from edgeagent.export.backends.export import export_with_backend
from edgeagent.export.backends.fidelity import judge_package
from edgeagent.export.backends.model_folder import as_transformers_4, write_model_folder
from edgeagent.export.backends.protocol import BackendStage, ignore_backend_progress
from edgeagent.export.backends.settings import BackendSettings
from edgeagent.export.backends.source import hash_source, open_source
from edgeagent.export.backends.traits import restore_windows, short_context, windowed_layers
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.record.manifest import Fidelity, Manifest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    python = make_interpreter(tmp_path / "interpreter")
    pretend(python, BUILDER_VERSIONS)
    return python


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "tiny-model")


def export(
    model: Path, out: Path, python: Path, on_progress: Any = ignore_backend_progress, **wanted: Any
) -> Manifest:
    settings = {"ep": "cuda", "precision": "fp16", "python": python} | wanted
    return export_with_backend(
        "builder",
        model,
        out,
        facts=ModelFacts("tiny", license="MIT"),
        settings=ExportSettings(context_len=4096),
        backend_settings=BackendSettings.model_validate(settings),
        on_progress=on_progress,
    )


def test_a_package_for_a_device_that_is_not_here(
    home: Path, python: Path, model: Path, tmp_path: Path
) -> None:
    packages = install_builder(python, BUILDER_WRITES)
    stages: list[BackendStage] = []

    def note(stage: BackendStage, done: int, total: int | None, detail: str) -> None:
        stages.append(stage)

    manifest = export(model, tmp_path / "out", python, note, options={"fuse_qkv": "false"})
    assert read_package(tmp_path / "out").manifest == manifest
    assert list(dict.fromkeys(stages)) == ["hash", "build"]

    seen = json.loads((packages / "seen.json").read_text())
    arguments = seen["arguments"]
    assert arguments[arguments.index("-p") :] == [
        *("-p", "fp16", "-e", "cuda", "--extra_options"),
        *("hf_token=false", "prune_lm_head=true", "fuse_qkv=false"),
    ]
    assert seen["environment"]["HF_HUB_OFFLINE"] == "1"
    assert "config.json" in seen["model"]
    assert "model.safetensors" in seen["model"]

    assert manifest.recipe == {
        "exporter": "builder",
        "precision": "fp16",
        "ep": "cuda",
        "option.fuse_qkv": "false",
        "option.prune_lm_head": "true",
        "interpreter": "the user's interpreter",
        "context_len": 4096,
        "logits": "last position",
        "verify": "not run here: made for cuda",
    }
    assert manifest.fidelity is None
    assert manifest.tool_versions["torch"] == "2.13.0+cpu"
    assert manifest.kv_bytes_per_token == 2 * 2 * 64 * 2
    assert [group.stored_as for group in manifest.tensor_groups] == ["float32", "float16"]
    assert "leftover.model" not in manifest.files
    assert manifest.files.keys() == {
        path.name for path in (tmp_path / "out").iterdir() if path.name != "manifest.json"
    }
    config = json.loads((tmp_path / "out" / "genai_config.json").read_text())
    assert config["model"]["context_length"] == config["search"]["max_length"] == 4096
    assert config["model"]["eos_token_id"] == list(open_source(model).tokenizer.eos_ids)
    assert config["search"]["do_sample"] is False
    assert config["search"]["past_present_share_buffer"] is True
    for folder in ("work", "logs"):
        assert list((home / folder).iterdir()) == []


def test_the_tools_failure_leaves_the_old_package_and_a_log(
    home: Path, python: Path, model: Path, tmp_path: Path
) -> None:
    packages = install_builder(python, BUILDER_WRITES)
    out = tmp_path / "out"
    before = export(model, out, python)
    script = packages / "onnxruntime_genai" / "models" / "builder.py"
    script.write_text(script.read_text() + "\nraise RuntimeError('no such layer')\n")
    with pytest.raises(ExportError) as caught:
        export(model, out, python, precision="bf16")
    words, _, log = str(caught.value).rpartition(" is in ")
    assert words == ("The builder backend failed: RuntimeError: no such layer; all it printed")
    assert Path(log.removesuffix(".")).is_relative_to(home / "logs")
    assert "Reading layer 0" in Path(log.removesuffix(".")).read_text()
    assert read_package(out).manifest == before
    assert list((home / "work").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []


def test_ctrl_c_ends_the_tool_and_removes_everything(
    home: Path, python: Path, model: Path, tmp_path: Path
) -> None:
    packages = install_builder(
        python, "print('Reading layer 1 of pid', os.getpid(), flush=True)\ntime.sleep(600)\n"
    )

    def interrupt(stage: BackendStage, done: int, total: int | None, detail: str) -> None:
        if stage == "build" and done:
            raise KeyboardInterrupt

    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        export(model, tmp_path / "out", python, interrupt)
    assert time.monotonic() - began_s < 60
    assert (packages / "seen.json").exists()
    assert not (tmp_path / "out").exists()
    assert list((home / "work").iterdir()) == []
    assert list((home / "logs").iterdir()) == []
    mine = psutil.Process().children(recursive=True)
    assert [child for child in mine if "builder" in " ".join(child.cmdline())] == []


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("", "no usable genai_config.json"),
        ("(out / 'genai_config.json').write_text('{}')", "no usable genai_config.json"),
        (BUILDER_WRITES + "(out / 'model.onnx').unlink()", "wrote no model.onnx"),
        (BUILDER_WRITES + "(out / 'model.onnx').write_bytes(b'no')", "graph that cannot be read"),
    ],
)
def test_a_tool_that_says_it_succeeded_is_not_believed(
    home: Path, python: Path, model: Path, tmp_path: Path, *, ending: str, reason: str
) -> None:
    install_builder(python, ending)
    with pytest.raises(ExportError, match=reason):
        export(model, tmp_path / "out", python)
    assert not (tmp_path / "out").exists()


def test_nothing_starts_when_it_cannot_end_well(
    home: Path,
    python: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packages = install_builder(python, BUILDER_WRITES)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files and no manifest"):
        export(model, tmp_path / "full", python)
    with pytest.raises(SourceError, match=r"does not exist|no file"):
        export(tmp_path / "nowhere", tmp_path / "out", python)
    with monkeypatch.context() as patch:
        memory = psutil.virtual_memory()._replace(available=1 << 20)
        patch.setattr(psutil, "virtual_memory", lambda: memory)
        with pytest.raises(ResourceError, match=r"needs about 0\.\d GB of memory .* 0\.0 GB are"):
            export(model, tmp_path / "out", python)
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage(tmp_path)._replace(free=1 << 10)
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(ResourceError, match="GB of disk"):
            export(model, tmp_path / "out", python)
    assert not (packages / "seen.json").exists()


def test_pickles_are_not_handed_to_a_tool_that_would_open_them(
    home: Path, python: Path, model: Path, tmp_path: Path
) -> None:
    packages = install_builder(python, BUILDER_WRITES)
    (model / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    (model / "modeling_tiny.py").write_text("raise SystemExit\n")
    config = json.loads((model / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_tiny.Tiny"}
    (model / "config.json").write_text(json.dumps(config))
    export(model, tmp_path / "out", python)
    seen = json.loads((packages / "seen.json").read_text())
    assert not {"pytorch_model.bin", "modeling_tiny.py"} & set(seen["model"])
    assert "auto_map" not in seen["config"]


def test_the_hash_of_a_folder_is_that_of_its_listing(model: Path) -> None:
    source = open_source(model)
    before = hash_source(source, lambda done: None)
    assert before == hash_source(open_source(model), lambda done: None)
    (model / "README.md").write_text("not part of the model")
    assert before == hash_source(open_source(model), lambda done: None)
    with (model / "tokenizer.json").open("a") as file:
        file.write("\n")
    assert before != hash_source(open_source(model), lambda done: None)


@pytest.mark.parametrize("name", ALL_CHECKPOINTS)
def test_rotary_embeddings_are_described_as_version_4_reads_them(name: str) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    translated = as_transformers_4(checkpoint.config)
    assert "rope_parameters" not in translated
    keys = ("rope_theta", "partial_rotary_factor", "rope_local_base_freq")
    assert {k: translated.get(k) for k in keys} == {k: checkpoint.published.get(k) for k in keys}
    scaling = translated.get("rope_scaling") or {}
    expected = checkpoint.published.get("rope_scaling") or {}
    kind = scaling.get("type", scaling.get("rope_type"))
    assert kind == expected.get("type", expected.get("rope_type"))
    factors = {"type", "rope_type"}
    assert {k: v for k, v in scaling.items() if k not in factors} == {
        k: v for k, v in expected.items() if k not in factors
    }
    assert as_transformers_4(checkpoint.published) == checkpoint.published


@pytest.mark.parametrize(
    "rope",
    [
        "default",
        {"rope_type": "default"},
        {"full_attention": {"rope_theta": 1e4}, "chunked_attention": {"rope_theta": 1e4}},
        {
            "full_attention": {"rope_theta": 1e4},
            "sliding_attention": {"rope_theta": 1e4, "rope_type": "yarn"},
        },
    ],
)
def test_what_version_4_cannot_say_is_refused(rope: object) -> None:
    with pytest.raises(UnsupportedError, match="use --backend builder"):
        as_transformers_4({"rope_parameters": rope})


def test_weights_are_linked_and_the_source_is_left_alone(model: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    source = open_source(model)
    assert source.config is not None
    target = tmp_path / "linked"
    write_model_folder(
        source.files, source.config.values, source.tokenizer, target, "transformers-4"
    )
    assert (target / "model.safetensors").read_bytes() == before["model.safetensors"]
    tokenizer = json.loads((target / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    shutil.rmtree(target)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_what_a_package_may_lose_depends_on_its_precision(tmp_path: Path) -> None:
    fidelity = Fidelity(
        reference="",
        tokens=100,
        perplexity_source=20.0,
        perplexity_package=20.4,
        kl_mean=0.018,
        top1_agreement=0.95,
        tokenizer_texts=1,
    )
    assert judge_package(fidelity, "int8", tmp_path, forced=False).passed
    assert judge_package(fidelity, "int4", tmp_path, forced=False).passed
    with pytest.raises(VerificationError) as caught:
        judge_package(fidelity, "fp32", tmp_path, forced=False)
    for words in ("fp32 package", "top-1 agreement 0.950", "KL divergence 0.0180", "--force"):
        assert words in str(caught.value)
    kept = judge_package(fidelity, "fp32", tmp_path, forced=True)
    assert (kept.passed, kept.forced, len(kept.missed)) == (False, True, 3)


@pytest.mark.parametrize(
    ("config", "windowed"),
    [
        ({"sliding_window": 8}, {0, 1, 2}),
        ({"sliding_window": 8, "use_sliding_window": False}, set()),
        ({"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 2}, {2}),
        (
            {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 2},
            {0, 2},
        ),
        ({"sliding_window": None}, set()),
        ({}, set()),
    ],
)
def test_layers_with_a_window(config: dict[str, Any], windowed: set[int]) -> None:
    assert windowed_layers(config, 3) == windowed


def test_windows_are_written_into_the_layers_that_have_them(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node(
            "GroupQueryAttention",
            ["q"],
            [f"o{layer}"],
            name=f"/model/layers.{layer}/attn/GroupQueryAttention",
            local_window_size=-1,
        )
        for layer in range(3)
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "decoder", [], []))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    restore_windows(path, {"sliding_window": 8, "layer_types": kinds}, 3)
    written = onnx.load(path).graph.node
    assert [node.attribute[0].i for node in written] == [8, -1, 8]


def test_longrope_has_one_set_of_factors_up_to_its_original_context() -> None:
    checkpoint = ALL_CHECKPOINTS["phi3-long"]
    assert short_context(checkpoint.config) == short_context(checkpoint.published) == 32
    assert short_context(as_transformers_4(checkpoint.config)) == 32
    assert short_context(ALL_CHECKPOINTS["llama3"].config) is None
