"""The recorded logits of transformers and the measure they are compared by."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

REFERENCE_FOLDER = Path(__file__).resolve().parent.parent / "reference_logits"
"""One `.npz` for each checkpoint."""


def load_reference_logits(
    name: str, form: Literal["folder", "gguf"] = "folder"
) -> npt.NDArray[np.float32]:
    """What transformers computed in float32 with eager attention.

    Args:
        name: Of the checkpoint.
        form: What was exported. A GGUF of Mistral does not state the sliding window, so its
            reference is computed without one; for the others both are the same.

    Returns:
        `(tokens, vocab)`.
    """
    with np.load(REFERENCE_FOLDER / f"{name}.npz") as recorded:
        key = "logits_of_gguf" if form == "gguf" and "logits_of_gguf" in recorded else "logits"
        return np.asarray(recorded[key])


def reference_transformers_version(name: str) -> str:
    """The version of transformers that computed the logits of a checkpoint."""
    with np.load(REFERENCE_FOLDER / f"{name}.npz") as recorded:
        return str(recorded["transformers_version"])


def relative_error(actual: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """The largest difference as a share of the largest expected magnitude."""
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max()
    return float(difference / np.abs(expected).max())
