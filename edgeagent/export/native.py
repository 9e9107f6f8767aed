"""The native exporter: from a GGUF or a Hugging Face folder to a package, without torch.

Weights are streamed: blocks of a GGUF are imported as they are where the policy keeps them (see
`pack.storage`), others are rounded one slice at a time. Everything is written beside the
destination, verified, and moved into place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgeagent.errors import MissingExtraError, ResourceError
from edgeagent.export.adapter import (
    Adapter,
    adapted_decoder,
    check_adapters,
    read_adapters,
    write_adapters,
)
from edgeagent.export.decoder.check import check_tensors
from edgeagent.export.genai_config import (
    ALL_POSITIONS_NAME,
    CONFIG_NAME,
    DATA_NAME,
    MODEL_NAME,
    genai_config,
)
from edgeagent.export.graph.stored import StoredDecoder
from edgeagent.export.hashing import hashed
from edgeagent.export.manifest import PackageFacts, write_manifest
from edgeagent.export.model import SourceModel, open_model
from edgeagent.export.pack.policy import POLICIES, Policy, Recipe
from edgeagent.export.preflight import Prediction, predict, require_resources
from edgeagent.export.progress import Steps
from edgeagent.export.protocol import ModelFacts, OnExportProgress, ignore_progress
from edgeagent.export.settings import ExportSettings
from edgeagent.export.tokenizer import write_tokenizer
from edgeagent.export.verify.gate import require_passed
from edgeagent.export.verify.verifier import Verdict, Verifier
from edgeagent.record.manifest import AdapterRecord, Manifest
from edgeagent.record.staging import staged_folder

_ADAPTER_COPIES = 3
"""Of an adapter's numbers: those read, those written, and zeros where fused layers need them."""


def export_checkpoint(
    source: Path,
    out: Path,
    *,
    facts: ModelFacts,
    settings: ExportSettings | None = None,
    adapters: Mapping[str, Path] | None = None,
    on_progress: OnExportProgress = ignore_progress,
) -> Manifest:
    """Export a model; see `edgeagent.export.protocol.Exporter`.

    Args:
        source: A GGUF file, any part of a split one, or a Hugging Face folder with safetensors,
            of a family in `edgeagent.export.families`.
        out: Folder of the package; an older package there is replaced.
        facts: What is known about the model.
        settings: Defaults if `None`.
        adapters: LoRA adapters that sessions can activate, by the name they will have: PEFT
            folders, or GGUF files that are adapters.
        on_progress: Told what happens.

    Raises:
        SourceError: The source is missing or cannot be read.
        ExportError: It is damaged, not supported, or the package failed the verification.
        ResourceError: Not enough disk or memory.
        ConfigError: `out` is something else than a package, or cannot be written.
        MissingExtraError: The `export` extra is not installed.
    """
    _require_extra()
    settings = settings or ExportSettings()
    began = time.monotonic()
    with open_model(source, settings.context_len) as model:
        read = read_adapters(adapters or {}, model.spec)
        job = _Export(model, settings, read, on_progress)
        job.check(out)
        with staged_folder(out) as folder, hashed(model.checkpoint.files) as hashes:
            attempt = job.climb(folder, out)
            on_progress("hash", 0, 1, "")
            facts_of_package = PackageFacts(
                model=model,
                hashes=hashes.result(),
                recipe=attempt.recipe,
                calibrated=attempt.calibrated,
                facts=facts.completed(model.tokenizer.chat_template),
                settings=settings,
                verdict=attempt.verdict,
                prediction=job.prediction,
                export_s=time.monotonic() - began,
                adapters=attempt.adapters,
            )
            on_progress("hash", 1, 1, "")
            return write_manifest(folder, facts_of_package)


@dataclass(frozen=True)
class _Attempt:
    """A package that was written, and what the verification says of it."""

    recipe: Recipe
    calibrated: bool
    verdict: Verdict | None
    adapters: tuple[AdapterRecord, ...]


class _Export:
    """One export; what can be refused without reading weights is refused by `check`."""

    prediction: Prediction

    def __init__(
        self,
        model: SourceModel,
        settings: ExportSettings,
        adapters: tuple[Adapter, ...],
        on_progress: OnExportProgress,
    ) -> None:
        self._model = model
        self._settings = settings
        self._adapters = adapters
        self._on_progress = on_progress
        self._policy: Policy = POLICIES[settings.policy]
        self._verifier = Verifier(model, settings, on_progress)

    def check(self, out: Path) -> None:
        """Check tensors, disk and memory, for the largest package that may be written."""
        model, largest = self._model, self._policy.recipes[-1]
        for recipe in self._policy.recipes:
            check_tensors(model.checkpoint, model.spec, recipe, model.ignored)
        self.prediction = self._predict(largest)
        try:
            require_resources(self.prediction, out, self._settings)
        except ResourceError:
            if len(self._policy.recipes) == 1:
                raise
            self.prediction = self._predict(self._policy.recipes[0])
            require_resources(self.prediction, out, self._settings)
        self._on_progress("predicted", round(self.prediction.time_s), 0, self._in_words())

    def climb(self, folder: Path, out: Path) -> _Attempt:
        """Write the smallest package of the policy that passes the gate.

        Raises:
            VerificationError: None does, and that was not to be accepted.
        """
        for recipe in self._policy.recipes:
            is_last = recipe is self._policy.recipes[-1]
            stored = self._write(folder, recipe)
            verdict = self._verifier.verify(folder, stored, self._policy.thresholds)
            if verdict is None or verdict.gate.passed or is_last:
                break
            self._on_progress("rejected", 0, 0, f"{recipe.name}: {'; '.join(verdict.gate.missed)}")
        if verdict is not None:
            require_passed(verdict.gate, out)
        return _Attempt(
            recipe, self._calibrates(recipe), verdict, self._write_adapters(folder, stored)
        )

    def _predict(self, recipe: Recipe) -> Prediction:
        need = predict(self._model, recipe, self._settings, self._verifier.positions)
        more = _ADAPTER_COPIES * sum(adapter.nbytes for adapter in self._adapters)
        return replace(
            need, package_bytes=need.package_bytes + more, memory_bytes=need.memory_bytes + more
        )

    def _write(self, folder: Path, recipe: Recipe) -> StoredDecoder:
        """Write weights, graphs, tokenizer and configuration."""
        from edgeagent.export.graph.decoder import whole_decoder
        from edgeagent.export.graph.external import ExternalData
        from edgeagent.export.graph.weights import WeightWriter

        model, spec = self._model, self._model.spec
        importance = self._verifier.importance() if self._calibrates(recipe) else None
        used = {part.tensor for part in spec.weights.parts()}
        total = sum(model.checkpoint.tensors[name].nbytes for name in used)
        steps = Steps(self._on_progress, "weights", total)
        with ExternalData(folder / DATA_NAME) as data:
            writer = WeightWriter(
                model.checkpoint,
                spec,
                recipe,
                data,
                importance=importance,
                on_tensor=lambda tensor, nbytes: steps.add(nbytes, tensor),
            )
            stored = adapted_decoder(writer.write(), self._adapters)
        for name, all_positions in {MODEL_NAME: False, ALL_POSITIONS_NAME: True}.items():
            graph = whole_decoder(
                spec, stored, self._settings.accuracy_level, all_positions=all_positions
            )
            (folder / name).write_bytes(graph.SerializeToString())
        write_tokenizer(model.tokenizer, folder)
        config = genai_config(spec, model.tokenizer)
        content = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (folder / CONFIG_NAME).write_bytes(content.encode("utf-8"))
        return stored

    def _write_adapters(self, folder: Path, stored: StoredDecoder) -> tuple[AdapterRecord, ...]:
        """Write the adapters for a package whose weights are stored so, and try them."""
        records = write_adapters(folder, self._adapters, self._model.spec, stored)
        if records and self._settings.verify != "none":
            check_adapters(folder, records)
        return records

    def _calibrates(self, recipe: Recipe) -> bool:
        asked = self._settings.calibrate
        return recipe.rounds_to_4_bits if asked is None else asked

    def _in_words(self) -> str:
        need, steps = self.prediction, len(self._policy.recipes)
        each = "" if steps == 1 else f" for each of up to {steps} sizes that are tried"
        return (
            f"at most {need.package_bytes / 1e6:,.0f} MB of disk and"
            f" {need.memory_bytes / 1e6:,.0f} MB of memory, and about {need.time_s:.0f} s{each}"
        )


def _require_extra() -> None:
    try:
        import gguf
        import onnx
        import tokenizers
    except ImportError as error:
        raise MissingExtraError(
            f"Exporting needs the package {error.name}; run: pip install 'edgeagent[export]'"
        ) from error
    del gguf, onnx, tokenizers
