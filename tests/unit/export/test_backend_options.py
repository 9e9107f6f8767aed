"""What the other exporters are asked for: only what they really do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgeagent.errors import ConfigError
from edgeagent.export.backends.builder import COMBINATIONS, OPTIONS, Builder
from edgeagent.export.backends.export import BACKENDS, backend_of
from edgeagent.export.backends.optimum import Optimum
from edgeagent.export.backends.requirements import Bounds, normalized
from edgeagent.export.backends.settings import BackendSettings

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("ep", "precision"),
    [("cpu", "fp16"), ("cpu", "bf16"), ("dml", "int8"), ("webgpu", "bf16"), ("dml", "fp32")],
)
def test_the_builder_is_not_asked_for_graphs_that_nothing_runs(ep: str, precision: str) -> None:
    settings = BackendSettings.model_validate({"ep": ep, "precision": precision})
    with pytest.raises(
        ConfigError, match=f"no {precision} graph that {ep} runs; for {ep} use int4"
    ):
        Builder().check(settings)


def test_every_combination_in_the_table_is_accepted() -> None:
    for ep, precisions in COMBINATIONS.items():
        for precision in precisions:
            Builder().check(BackendSettings(ep=ep, precision=precision))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"blocksize": "32"}, "'blocksize' is not passed on to the model builder; those that are"),
        ({"hf_remote": "true"}, "'hf_remote' is not passed on"),
        ({"adapter_path": "elsewhere"}, "'adapter_path' is not passed on"),
        ({"block_size": "33"}, "block_size of the model builder is one of 16, 32, .* not '33'"),
        ({"use_cuda_bf16": "true"}, "use_cuda_bf16 .* means nothing for int4 on cpu"),
        ({"is_symmetric": "yes"}, "is one of true, false, not 'yes'"),
    ],
)
def test_the_builder_gets_no_option_that_it_would_ignore(
    options: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        Builder().check(BackendSettings(options=options))


def test_options_of_quantization_mean_nothing_without_it() -> None:
    settings = BackendSettings(precision="fp32", options={"block_size": "64"})
    for backend in (Builder(), Optimum()):
        with pytest.raises(ConfigError, match="means nothing for fp32"):
            backend.check(settings)


def test_defaults_can_be_overridden_and_fit_the_provider() -> None:
    on_cpu = Builder().options(BackendSettings(options={"prune_lm_head": "false"}))
    assert on_cpu == {"prune_lm_head": "false", "windowed_kv_cache": "false"}
    assert Builder().options(BackendSettings(ep="cuda")) == {"prune_lm_head": "true"}


def test_optimum_is_for_the_cpu() -> None:
    with pytest.raises(ConfigError, match="for cuda use --backend builder"):
        Optimum().check(BackendSettings(ep="cuda"))
    with pytest.raises(ConfigError, match="no fp16 graph that the CPU runs; use int4, int8, fp32"):
        Optimum().check(BackendSettings(precision="fp16"))
    with pytest.raises(ConfigError, match="has no option 'algo_config'; it has"):
        Optimum().check(BackendSettings(options={"algo_config": "rtn"}))
    with pytest.raises(ConfigError, match="is one of 1, 4, not '3'"):
        Optimum().check(BackendSettings(options={"accuracy_level": "3"}))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="no backend 'olive'; there are native, builder, optimum"):
        backend_of("olive")
    with pytest.raises(ValidationError):
        BackendSettings.model_validate({"ep": "npu"})


def test_versions_are_compared_by_numbers() -> None:
    bounds = Bounds("5.2", "6")
    assert [bounds.admit(v) for v in ("5.2", "5.10.1+cpu", "5.23.0rc1")] == [True, True, True]
    assert [bounds.admit(v) for v in ("5.1.9", "6.0.0", "6", "unknown")] == [False] * 4
    assert Bounds("0.18", "0.19").admit("0.18.0")
    assert str(bounds) == ">=5.2,<6"


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_pins_bounds_and_the_extra_say_the_same(backend: Builder | Optimum) -> None:
    requirements = backend.requirements
    pins = dict(
        line.split("==") for line in requirements.pins.splitlines() if not line.startswith("#")
    )
    assert all(re.fullmatch(r"[\d.]+", version) for version in pins.values())
    versions = {normalized(name): version for name, version in pins.items()}
    assert requirements.missing({name: versions.get(name) for name in requirements.bounds}) == []

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = [
        re.fullmatch(r"([\w.-]+)>=([\d.]+)(?:,<([\d.]+))?", line)
        for line in project["optional-dependencies"][backend.name]
    ]
    extra = {part[1]: Bounds(part[2], part[3] or "") for part in parts if part}
    extra |= {"onnxruntime-genai": Bounds("0.18", "0.19")}  # of edgeagent itself
    assert {name: extra[name] for name in requirements.bounds} == dict(requirements.bounds)


def test_an_environment_is_named_after_its_pins() -> None:
    builder, optimum = Builder().requirements, Optimum().requirements
    assert re.fullmatch(r"builder-[0-9a-f]{12}", builder.key)
    assert builder.key != optimum.key
    assert set(OPTIONS) >= {"block_size", "prune_lm_head"}
