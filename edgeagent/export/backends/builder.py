"""`--backend builder`: the model builder that onnxruntime-genai ships.

What is listed here was read in the builder of onnxruntime-genai 0.18
(`onnxruntime_genai/models/builder.py`, `builders/base.py`). The builder itself takes any
combination, builds graphs that then fail to load (float16 on the CPU), and ignores options that it
does not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgeagent.errors import ConfigError, UnsupportedError
from edgeagent.export.backends.names import MODEL_NAME
from edgeagent.export.backends.protocol import BuildJob
from edgeagent.export.backends.requirements import Bounds, RequirementSet
from edgeagent.export.backends.settings import BackendSettings, Ep, Precision
from edgeagent.export.backends.traits import read_config, restore_windows

COMBINATIONS: Mapping[Ep, tuple[Precision, ...]] = {
    "cpu": ("int4", "int8", "fp32"),
    "cuda": ("int4", "int8", "fp16", "bf16", "fp32"),
    "dml": ("int4", "fp16"),
    "webgpu": ("int4", "int8", "fp16"),
    "NvTensorRtRtx": ("int4", "fp16", "bf16"),
}
"""Precisions by execution provider. Those that the builder prints as valid, int4 for TensorRT-RTX
(it has a rewriting of its own for it) and fp16 for WebGPU (its input and output type there)."""

_BOOLEAN = ("true", "false")
_QUANTIZED: tuple[Precision, ...] = ("int4", "int8")


@dataclass(frozen=True)
class _Option:
    """An option of the builder: its values, and where it means something."""

    values: tuple[str, ...]
    eps: tuple[Ep, ...] = tuple(COMBINATIONS)
    precisions: tuple[Precision, ...] = ("int4", "int8", "fp16", "bf16", "fp32")


OPTIONS: Mapping[str, _Option] = {
    "accuracy_level": _Option(("1", "2", "3", "4"), precisions=_QUANTIZED),
    "algo_config": _Option(
        ("default", "rtn", "rtn_last", "k_quant", "k_quant_last", "k_quant_mixed"),
        precisions=("int4",),
    ),
    "block_size": _Option(("16", "32", "64", "128", "256"), precisions=_QUANTIZED),
    "enable_cuda_graph": _Option(_BOOLEAN, eps=("cuda", "NvTensorRtRtx")),
    "enable_webgpu_graph": _Option(_BOOLEAN, eps=("webgpu",)),
    "fuse_mlp_gate_up": _Option(_BOOLEAN),
    "fuse_qkv": _Option(_BOOLEAN),
    "is_symmetric": _Option(_BOOLEAN, precisions=_QUANTIZED),
    "prune_lm_head": _Option(_BOOLEAN),
    "shared_embeddings": _Option(_BOOLEAN),
    "use_cuda_bf16": _Option(_BOOLEAN, eps=("cuda",), precisions=("int4",)),
    "use_webgpu_fp32": _Option(_BOOLEAN, eps=("webgpu",)),
    "windowed_kv_cache": _Option(_BOOLEAN),
}
"""Options that can be passed on. Left out: those that fetch, run code of a checkpoint
(`hf_remote`), name other files, or make graphs that edgeagent does not run (paged attention,
drafters, parts without embedding or head)."""

_DEFAULTS = {"prune_lm_head": "true"}
"""Only the last position's logits are computed in prefill, as the native exporter does."""

_CPU_DEFAULTS = {"windowed_kv_cache": "false"}
"""On the CPU a reduced cache fails as soon as a context outgrows the sliding window; see
`traits.restore_windows` for what else is needed."""

UNFAITHFUL = frozenset({"phi3"})
"""Model types whose graphs compute something else than transformers does, seen on the CPU with the
pinned versions. There the verification refuses them; other providers are not run here."""

_LAYER = re.compile(r"^Reading layer (\d+)")


class Builder:
    """Runs `python -m onnxruntime_genai.models.builder`."""

    name = "builder"
    requirements = RequirementSet(
        name="builder",
        bounds={
            "onnxruntime-genai": Bounds("0.18", "0.19"),
            "torch": Bounds("2.6"),
            "transformers": Bounds("5.2", "6"),
            "onnx-ir": Bounds("0.1"),
            "accelerate": Bounds("1"),
            "gguf": Bounds("0.17"),
        },
        disk_bytes=3_000_000_000,
        imports=("onnxruntime_genai.models.builder",),
    )
    folder_dialect: Literal["transformers-4", "transformers-5"] = "transformers-5"
    memory_factor = 3.3
    scratch_copies = 1  # the builder's own temporary copy of the weights

    def check(self, settings: BackendSettings) -> None:
        """Refuse combinations that the builder builds and nothing runs; see `Backend.check`."""
        precisions = COMBINATIONS[settings.ep]
        if settings.precision not in precisions:
            raise ConfigError(
                f"The model builder makes no {settings.precision} graph that {settings.ep} runs;"
                f" for {settings.ep} use {', '.join(precisions)}."
            )
        for name, value in settings.options.items():
            _check_option(name, value, settings)

    def options(self, settings: BackendSettings) -> dict[str, str]:
        """Return the builder's options, defaults included."""
        defaults = _DEFAULTS | (_CPU_DEFAULTS if settings.ep == "cpu" else {})
        return defaults | settings.options

    def build(self, job: BuildJob) -> None:
        """Run the builder; see `Backend.build`."""
        config = read_config(job.model)
        if job.settings.ep != "cpu" and config.get("model_type") in UNFAITHFUL:
            raise UnsupportedError(
                f"The model builder's graphs of {config['model_type']} models were found to compute"
                " something else than the model, and for other devices than the CPU nothing would"
                " notice; use the native backend or --backend optimum on the CPU."
            )
        total = job.layers + 2  # reading what is around the layers, and writing
        job.on_progress("build", 0, total, "loading the weights")

        def on_line(line: str) -> None:
            if found := _LAYER.match(line):
                done = min(int(found[1]) + 1, job.layers)
                job.on_progress("build", done, total, f"layer {done} of {job.layers}")
            elif line.startswith("Saving ONNX model"):
                job.on_progress("build", job.layers + 1, total, "quantizing and writing")

        options = [f"{name}={value}" for name, value in self.options(job.settings).items()]
        job.run(
            [
                *("-m", "onnxruntime_genai.models.builder"),
                *("-i", str(job.model), "-o", str(job.out), "-c", str(job.work / "cache")),
                *("-p", job.settings.precision, "-e", job.settings.ep),
                *("--extra_options", "hf_token=false", *options),
            ],
            on_line,
        )
        graph = job.out / MODEL_NAME
        full_cache = self.options(job.settings).get("windowed_kv_cache") == "false"
        if full_cache and graph.is_file():
            restore_windows(graph, config, job.layers)
        job.on_progress("build", total, total, "")


def _check_option(name: str, value: str, settings: BackendSettings) -> None:
    option = OPTIONS.get(name)
    if option is None:
        raise ConfigError(
            f"The option {name!r} is not passed on to the model builder; those that are:"
            f" {', '.join(OPTIONS)}."
        )
    if value not in option.values:
        raise ConfigError(
            f"The option {name} of the model builder is one of {', '.join(option.values)}, not"
            f" {value!r}."
        )
    if settings.ep not in option.eps or settings.precision not in option.precisions:
        raise ConfigError(
            f"The option {name} of the model builder means nothing for {settings.precision} on"
            f" {settings.ep}; it is for {', '.join(option.precisions)} on {', '.join(option.eps)}."
        )
