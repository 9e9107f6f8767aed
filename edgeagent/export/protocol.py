"""The contract of exporters: a model source in, a verified package with a manifest out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from edgeagent.export.settings import ExportSettings
from edgeagent.export.tool_call_format import tool_call_format_of
from edgeagent.record.manifest import Manifest

ExportStage: TypeAlias = Literal[
    "predicted", "calibrate", "weights", "load", "verify", "rejected", "hash"
]


@dataclass(frozen=True)
class ModelFacts:
    """What is known about a model beside its weights; goes into the manifest.

    Attributes:
        model_id: Recipe id, or the file's stem for a local file.
        origin: Where the weights came from, in words.
        license: SPDX id, empty to take what the file says.
        tool_call_format: Name of the format in which the model calls tools, empty to tell it from
            the chat template.
    """

    model_id: str
    origin: str = "local file"
    license: str = ""
    tool_call_format: str = ""

    def completed(self, chat_template: str | None) -> ModelFacts:
        """These facts with a format for tool calls."""
        if self.tool_call_format:
            return self
        return replace(self, tool_call_format=tool_call_format_of(chat_template).value)


class OnExportProgress(Protocol):
    """Called from the exporting thread after each piece of work."""

    def __call__(self, stage: ExportStage, done: int, total: int, detail: str) -> None:
        """Report progress.

        Args:
            stage: What is being done. `predicted` says in `detail` what the export will need,
                `rejected` which recipe did not pass the gate; both have no work of their own.
            done: Work finished, in bytes of the source for `weights`, in parts of the model for
                `calibrate` and `verify`.
            total: Work of the stage in the same unit.
            detail: What it is at, such as the name of a tensor; may be empty.
        """


class Exporter(Protocol):
    """Turns a model source into a package folder."""

    def __call__(
        self,
        source: Path,
        out: Path,
        *,
        facts: ModelFacts,
        settings: ExportSettings,
        on_progress: OnExportProgress,
    ) -> Manifest:
        """Export a model.

        The folder appears whole or not at all; an older package at `out` is replaced only when
        the new one is complete.

        Raises:
            SourceError: The source cannot be read.
            ExportError: The source is damaged, not supported, or failed the verification.
            ResourceError: Not enough disk or memory; nothing was written.
            ConfigError: `out` is something else than a package.
        """


def ignore_progress(stage: ExportStage, done: int, total: int, detail: str) -> None:
    """Progress callback that does nothing."""
