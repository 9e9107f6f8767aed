"""Getting a package with the progress shown: what `export`, `run` and `profile` begin with."""

from __future__ import annotations

from edgeagent.cli.progress import ProgressDisplay, plain_number, show_pull
from edgeagent.cli.text import human_bytes
from edgeagent.config.package import Package
from edgeagent.export.backends.protocol import BackendStage, OnBackendProgress
from edgeagent.export.protocol import ExportStage, OnExportProgress
from edgeagent.export.resolve import ensure_package

_LABELS = {
    "calibrate": "observing the inputs of each layer",
    "weights": "exporting",
    "load": "loading the package",
    "verify": "verifying against the source",
    "hash": "hashing the source",
}
_NOTES = {"predicted": "The export will take {}.", "rejected": "Did not pass the gate: {}."}


def show_export(display: ProgressDisplay) -> OnExportProgress:
    """Return a callback that shows how far an export is."""

    def report(stage: ExportStage, done: int, total: int, detail: str) -> None:
        if stage in _NOTES:
            display.note(_NOTES[stage].format(detail))
        elif stage == "weights":
            display.update(_LABELS[stage], done, total, amount=human_bytes, detail=detail)
        else:
            display.update(_LABELS[stage], done, total, detail=detail)

    return report


_BACKEND_LABELS: dict[BackendStage, str] = {
    "environment": "making the environment of {}",
    "hash": "hashing the source",
    "convert": "preparing the model for {}",
    "build": "building with {}",
    "load": "loading the package",
    "verify": "verifying against the source",
}


def show_backend(display: ProgressDisplay, backend: str) -> OnBackendProgress:
    """Return a callback that shows how far an export by another tool is."""

    def report(stage: BackendStage, done: int, total: int | None, detail: str) -> None:
        label = _BACKEND_LABELS[stage].format(backend)
        amount = human_bytes if stage == "hash" else plain_number
        display.update(label, done, total, amount=amount, detail=detail)

    return report


def get_package(model: str, display: ProgressDisplay) -> Package:
    """Return the package of a model; download and export are shown if they have to happen.

    Raises:
        EdgeAgentError: What `ensure_package` raises.
    """
    return ensure_package(model, on_pull=show_pull(display, model), on_export=show_export(display))
