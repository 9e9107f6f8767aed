"""`--backend optimum`: optimum-onnx exports, onnxruntime quantizes, edgeagent writes the rest.

The graph is that of the transformers model, node by node and without fused attention: larger and
slower than the other exporters' graphs, and there for architectures that they lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from edgeagent.errors import ConfigError, ExportError
from edgeagent.export.backends.generic_config import generic_config
from edgeagent.export.backends.model_folder import write_json
from edgeagent.export.backends.names import CONFIG_NAME, MODEL_NAME
from edgeagent.export.backends.own_programs import program, report_progress
from edgeagent.export.backends.protocol import BuildJob
from edgeagent.export.backends.requirements import Bounds, RequirementSet
from edgeagent.export.backends.settings import BackendSettings, Precision
from edgeagent.export.backends.traits import read_config, short_context

PRECISIONS: Mapping[Precision, int] = {"int4": 4, "int8": 8, "fp32": 32}
"""Bits of the weights; activations are float32."""

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "accuracy_level": ("1", "4"),
    "block_size": ("16", "32", "64", "128", "256"),
    "is_symmetric": ("true", "false"),
}
_DEFAULTS = {"accuracy_level": "4", "block_size": "32", "is_symmetric": "true"}

_TASK = "text-generation-with-past"


class Optimum:
    """Runs `optimum-cli export onnx` and a quantizer after it."""

    name = "optimum"
    requirements = RequirementSet(
        name="optimum",
        bounds={
            "optimum-onnx": Bounds("0.1", "0.2"),
            "onnxruntime": Bounds("1.22"),
            "torch": Bounds("2.6"),
            "transformers": Bounds("4.50", "4.58"),
            "onnx-ir": Bounds("0.1"),
            "accelerate": Bounds("1"),
            "gguf": Bounds("0.17"),
        },
        disk_bytes=3_000_000_000,
        imports=(
            "optimum.exporters.onnx",
            "onnxruntime.quantization.matmul_nbits_quantizer",
        ),
    )
    folder_dialect: Literal["transformers-4", "transformers-5"] = "transformers-4"
    memory_factor = 5.5
    scratch_copies = 1  # the graph before it is quantized

    def check(self, settings: BackendSettings) -> None:
        """Refuse what cannot run; see `Backend.check`."""
        if settings.ep != "cpu":
            raise ConfigError(
                f"The optimum backend makes graphs for the CPU; for {settings.ep} use"
                " --backend builder."
            )
        if settings.precision not in PRECISIONS:
            raise ConfigError(
                f"The optimum backend makes no {settings.precision} graph that the CPU runs; use"
                f" {', '.join(PRECISIONS)}."
            )
        for name, value in settings.options.items():
            if name not in OPTIONS:
                raise ConfigError(
                    f"The optimum backend has no option {name!r}; it has {', '.join(OPTIONS)}."
                )
            if value not in OPTIONS[name]:
                raise ConfigError(
                    f"The option {name} of the optimum backend is one of"
                    f" {', '.join(OPTIONS[name])}, not {value!r}."
                )
            if settings.precision == "fp32":
                raise ConfigError(f"The option {name} means nothing for fp32; leave it out.")

    def options(self, settings: BackendSettings) -> dict[str, str]:
        """Return the quantizer's options, defaults included."""
        return {} if settings.precision == "fp32" else _DEFAULTS | settings.options

    def build(self, job: BuildJob) -> None:
        """Export, quantize and configure; see `Backend.build`."""
        graph = self._export(job)
        self._quantize(job, graph)
        config = generic_config(job.out / MODEL_NAME, job.model)
        # Tracing keeps the factors of the short example that it ran.
        if (limit := short_context(read_config(job.model))) is not None:
            config["model"]["context_length"] = min(limit, config["model"]["context_length"])
        write_json(job.out / CONFIG_NAME, config)

    def _export(self, job: BuildJob) -> Path:
        folder = job.work / "graph"
        job.on_progress("build", 0, None, "exporting the graph")

        def on_line(line: str) -> None:
            if line.startswith("Validating"):
                job.on_progress("build", 0, None, "comparing the graph with the model")

        job.run(
            [
                *("-m", "optimum.commands.optimum_cli", "export", "onnx"),
                *("--model", str(job.model), "--task", _TASK, "--framework", "pt"),
                *("--cache_dir", str(job.work / "cache"), str(folder)),
            ],
            on_line,
        )
        graph = folder / MODEL_NAME
        if not graph.is_file():
            raise ExportError(
                "optimum wrote no model.onnx, so the architecture is not one that it exports as a"
                " decoder in one graph."
            )
        return graph

    def _quantize(self, job: BuildJob, graph: Path) -> None:
        options = self.options(job.settings) or _DEFAULTS
        job.run(
            [
                *(program("quantize_graph"), str(graph), str(job.out / MODEL_NAME)),
                str(PRECISIONS[job.settings.precision]),
                options["block_size"],
                "1" if options["is_symmetric"] == "true" else "0",
                options["accuracy_level"],
            ],
            report_progress(job.on_progress, "build"),
        )
