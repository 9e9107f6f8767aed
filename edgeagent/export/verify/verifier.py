"""Verifies packages of one model; what concerns the source alone is computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeagent.export.graph.stored import StoredDecoder
from edgeagent.export.model import SourceModel
from edgeagent.export.progress import Steps
from edgeagent.export.protocol import OnExportProgress
from edgeagent.export.settings import ExportSettings
from edgeagent.export.tokenizer.components import loaded_tokenizer
from edgeagent.export.verify.compare import Sample, SourceRun, compare, head_slices
from edgeagent.export.verify.gate import judge
from edgeagent.export.verify.package import PackageDecoder
from edgeagent.export.verify.reference import ReferenceDecoder
from edgeagent.export.verify.runtime import check_runtime
from edgeagent.export.verify.sample import cut, sample_windows
from edgeagent.export.verify.tool_calls import tool_calls
from edgeagent.record.manifest import Fidelity, Gate, Thresholds

if TYPE_CHECKING:
    from edgeagent.export.graph.weights import Importance

_LEAST_TOKENS = 220
_WEIGHT_TOKENS = 150_000_000_000
"""Weights times tokens of the sample text: 150 tokens for a model of a billion weights would take
as long as 1,100 for one of 135 million; below 220 the figures would be too uncertain."""


@dataclass(frozen=True)
class Verdict:
    """What the verification of a package found."""

    fidelity: Fidelity
    gate: Gate


class Verifier:
    """Loads packages and compares them with their source, as far as the settings say."""

    def __init__(
        self, model: SourceModel, settings: ExportSettings, on_progress: OnExportProgress
    ) -> None:
        self._model = model
        self._settings = settings
        self._on_progress = on_progress
        self._run: SourceRun | None = None

    @property
    def positions(self) -> int:
        """Tokens that are compared; 0 if nothing is."""
        return self._sample.positions if self._settings.verify == "full" else 0

    def verify(self, folder: Path, stored: StoredDecoder, thresholds: Thresholds) -> Verdict | None:
        """Verify the package in a folder; `None` where the settings ask for no comparison.

        Raises:
            VerificationError: The package does not load, tokenizes differently, or does not
                generate.
        """
        if self._settings.verify == "none":
            return None
        self._on_progress("load", 0, 1, "")
        runtime = check_runtime(folder, self._tokenizer)
        self._on_progress("load", 1, 1, "")
        if self._settings.verify == "load":
            return None
        spec = self._model.spec
        layers, slices = len(spec.layers), len(head_slices(spec.vocab, self.positions))
        total = layers + slices + (0 if self._run else layers)
        steps = Steps(self._on_progress, "verify", total)
        if self._run is None:
            reference = ReferenceDecoder(self._model.checkpoint, spec)
            self._run = SourceRun(reference, self._sample, lambda n: steps.add(n, "source"))
        fidelity = compare(
            self._run,
            PackageDecoder(folder, spec, stored, self._settings.accuracy_level),
            spec.vocab,
            runtime=runtime,
            on_layers=lambda count: steps.add(count, "package"),
            on_slice=lambda: steps.add(1, "predictions"),
        )
        forced = self._settings.accept_low_fidelity
        return Verdict(fidelity, judge(fidelity, thresholds, forced=forced))

    def importance(self) -> Importance:
        """How much errors in the columns of each matrix count, from a text of its own."""
        return self._importance

    @cached_property
    def _importance(self) -> Importance:
        from edgeagent.export.quantize.calibration import (
            CALIBRATION_TOKENS,
            InputStatistics,
            calibration_text,
        )

        statistics, spec = InputStatistics(), self._model.spec
        steps = Steps(self._on_progress, "calibrate", len(spec.layers))
        reference = ReferenceDecoder(self._model.checkpoint, spec, on_input=statistics.observe)
        tokens = self._encode(calibration_text())[:CALIBRATION_TOKENS]
        windows = cut(tokens, self._bos_id, spec.context_len)
        for hidden in reference.hidden_states(windows, lambda: steps.add(1)):
            reference.observe_head(hidden)
        names = {matrix.tensor for matrix in spec.weights.matrices()}
        found = {name: statistics.importance(name) for name in names}
        return {name: values for name, values in found.items() if values is not None}

    @cached_property
    def _sample(self) -> Sample:
        spec = self._model.spec
        limit = max(_LEAST_TOKENS, _WEIGHT_TOKENS // self._model.parameters)
        tokens = min(self._settings.verify_tokens, limit)
        windows = sample_windows(self._encode, tokens, self._bos_id, spec.context_len)
        calls = tool_calls(self._encode, self._bos_id, spec.context_len)
        return Sample(tuple(windows), calls)

    @property
    def _bos_id(self) -> int | None:
        tokenizer = self._model.tokenizer
        return tokenizer.bos_id if tokenizer.add_bos else None

    def _encode(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tokens

    @property
    def _tokenizer(self) -> Any:
        return loaded_tokenizer(self._model.tokenizer.tokenizer_json)
