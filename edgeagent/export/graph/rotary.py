"""Rotary position embedding: the cosine and sine tables."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeagent.export.decoder.spec import Rotary

Floats = npt.NDArray[np.float32]


def rotary_tables(rotary: Rotary, positions: range) -> tuple[Floats, Floats]:
    """Cosine and sine for some positions, `(positions, pairs)` float32 each."""
    frequencies = np.array(rotary.frequencies, dtype=np.float64)
    angles = np.array(positions, dtype=np.float64)[:, None] * frequencies[None, :]
    cos, sin = np.cos(angles) * rotary.magnitude, np.sin(angles) * rotary.magnitude
    return cos.astype(np.float32), sin.astype(np.float32)
