"""The native exporter: from a GGUF to an onnxruntime-genai package without torch.

Weights are imported block by block as they are, never quantized a second time (see
`pack.storage`); everything is written beside the destination, verified, and moved into place.
"""

from __future__ import annotations

import json
from pathlib import Path

import edgeagent
from edgeagent.errors import MissingExtraError
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.families import Family, family_of
from edgeagent.export.genai_config import CONFIG_NAME, DATA_NAME, MODEL_NAME, genai_config
from edgeagent.export.manifest import PackageFacts, write_manifest
from edgeagent.export.preflight import check_resources
from edgeagent.export.protocol import (
    ExportStage,
    ModelFacts,
    OnExportProgress,
    ignore_progress,
)
from edgeagent.export.settings import ExportSettings
from edgeagent.export.shape import DecoderShape, read_shape
from edgeagent.export.sources.transfer import sha256_of
from edgeagent.export.tensors import check_tensors
from edgeagent.export.tokenizer import TokenizerFiles, build_tokenizer, write_tokenizer
from edgeagent.record.manifest import Fidelity, Manifest
from edgeagent.record.staging import staged_folder

_ALL_POSITIONS_NAME = "all_positions.onnx"


def export_gguf(
    source: Path,
    out: Path,
    *,
    facts: ModelFacts,
    settings: ExportSettings | None = None,
    on_progress: OnExportProgress = ignore_progress,
) -> Manifest:
    """Export a GGUF file; see `edgeagent.export.protocol.Exporter`.

    Args:
        source: A GGUF file of a family in `edgeagent.export.families`.
        out: Folder of the package; an older package there is replaced.
        facts: What is known about the model.
        settings: Defaults if `None`.
        on_progress: Told what happens.

    Raises:
        SourceError: The file is missing or cannot be read.
        ExportError: It is damaged, not supported, or the package failed the verification.
        ResourceError: Not enough disk or memory.
        ConfigError: `out` is something else than a package, or cannot be written.
        MissingExtraError: The `export` extra is not installed.
    """
    _require_extra()
    with GGUFFile.open(source) as gguf:
        job = _Export(gguf, settings or ExportSettings(), on_progress)
        check_resources(gguf, job.shape, out, job.settings)
        with staged_folder(out) as folder:
            sha256 = job.hash_source()
            job.write_package(folder)
            fidelity = job.verify(folder, out)
            return write_manifest(
                folder,
                PackageFacts(gguf, sha256, job.shape, facts, job.settings, fidelity),
            )


class _Export:
    """One export; everything that can be refused is refused when it is constructed."""

    def __init__(
        self, gguf: GGUFFile, settings: ExportSettings, on_progress: OnExportProgress
    ) -> None:
        self.settings = settings
        self._gguf = gguf
        self._on_progress = on_progress
        self._family: Family = family_of(gguf.architecture)
        self.shape: DecoderShape = read_shape(gguf, self._family, settings.context_cap)
        check_tensors(gguf, self._family, self.shape)
        self._tokenizer: TokenizerFiles = build_tokenizer(gguf)

    def hash_source(self) -> str:
        """SHA-256 of the source file, hexadecimal."""
        return sha256_of(
            self._gguf.path,
            "the source",
            lambda progress: self._on_progress("hash", progress.done_bytes, self._gguf.size_bytes),
        )

    def write_package(self, folder: Path) -> None:
        """Write weights, graphs, tokenizer and configuration."""
        from edgeagent.export.graph.decoder import DecoderGraph
        from edgeagent.export.graph.external import ExternalData
        from edgeagent.export.graph.weights import WeightWriter

        total = sum(tensor.nbytes for tensor in self._gguf.tensors.values())
        progress = _Counter(self._on_progress, "weights", total)
        with ExternalData(folder / DATA_NAME) as data:
            stored = WeightWriter(self._gguf, self._family, self.shape, data, progress).write()
        models = {MODEL_NAME: False}
        if self.settings.verify == "full":
            models[_ALL_POSITIONS_NAME] = True
        for name, all_positions in models.items():
            graph = DecoderGraph(self.shape, stored, self.settings.accuracy_level)
            model = graph.build(all_positions=all_positions, producer_version=edgeagent.__version__)
            (folder / name).write_bytes(model.SerializeToString())
        write_tokenizer(self._tokenizer, folder)
        config = genai_config(self._family, self.shape, self._tokenizer)
        content = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (folder / CONFIG_NAME).write_bytes(content.encode("utf-8"))

    def verify(self, folder: Path, out: Path) -> Fidelity | None:
        """Verify the package as far as the settings say."""
        if self.settings.verify == "none":
            return None
        from edgeagent.export.verify.runtime import check_runtime

        self._on_progress("load", 0, 1)
        runtime = check_runtime(folder)
        self._on_progress("load", 1, 1)
        if self.settings.verify == "load":
            return None
        from edgeagent.export.verify.fidelity import (
            check_thresholds,
            measure_fidelity,
            sample_windows,
        )
        from edgeagent.export.verify.reference import ReferenceDecoder
        from edgeagent.export.verify.session import PackageSession

        windows = sample_windows(
            self._sample_tokens()[: self.settings.verify_tokens],
            self._tokenizer.bos_id if self._tokenizer.add_bos else None,
            self.shape.context_len,
        )
        all_positions = folder / _ALL_POSITIONS_NAME
        try:
            fidelity = measure_fidelity(
                PackageSession(all_positions, self.shape),
                ReferenceDecoder(self._gguf, self._family, self.shape),
                windows,
                runtime=runtime,
                on_tokens=_Counter(self._on_progress, "verify", sum(len(w) - 1 for w in windows)),
            )
        finally:
            all_positions.unlink()
        if not self.settings.accept_low_fidelity:
            check_thresholds(fidelity, out)
        return fidelity

    def _sample_tokens(self) -> list[int]:
        from tokenizers import Tokenizer

        from edgeagent.export.verify.sample import sample_text

        tokenizer = Tokenizer.from_str(self._tokenizer.tokenizer_json)
        tokens: list[int] = tokenizer.encode(sample_text(), add_special_tokens=False).ids
        return tokens


class _Counter:
    """Adds up amounts of work and reports the sum."""

    def __init__(self, on_progress: OnExportProgress, stage: ExportStage, total: int) -> None:
        self._on_progress = on_progress
        self._stage = stage
        self._total = total
        self._done = 0

    def __call__(self, amount: int) -> None:
        self._done += amount
        self._on_progress(self._stage, min(self._done, self._total), self._total)


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
