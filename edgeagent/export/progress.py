"""Counting steps for progress reports."""

from __future__ import annotations

from edgeagent.export.protocol import ExportStage, OnExportProgress


class Steps:
    """Adds up amounts of work and reports the sum."""

    def __init__(self, on_progress: OnExportProgress, stage: ExportStage, total: int) -> None:
        """Prepare.

        Args:
            on_progress: Told the sum.
            stage: What is being done.
            total: Work of the stage.
        """
        self._on_progress = on_progress
        self._stage = stage
        self._total = total
        self._done = 0

    def add(self, amount: int, detail: str = "") -> None:
        """Report that so much more is done; `detail` says of what."""
        self._done += amount
        self._on_progress(self._stage, min(self._done, self._total), self._total, detail)
