"""Stored rows as float32 by the `gguf` library, independent of this package's own block code."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.export.checkpoint.types import BlockType

Floats = npt.NDArray[np.float32]

_PIECE_BYTES = 1 << 18
"""Stored bytes that are dequantized at a time; the arrays in between stay in a core's cache.

`gguf.quants.dequantize` takes sixteen rows at a time, which costs more in calls than in work.
"""


def float_rows(raw: npt.NDArray[np.uint8], kind: BlockType) -> Floats:
    """Rows as `(rows, in_features)` float32.

    Args:
        raw: `(rows, row_bytes)` as stored.
        kind: How they are stored.
    """
    rows = np.ascontiguousarray(raw)
    if kind is BlockType.F32:
        return rows.view("<f4").astype(np.float32, copy=False)
    if kind is BlockType.F16:
        return rows.view("<f2").astype(np.float32)
    if kind is BlockType.BF16:
        return (rows.view("<u2").astype(np.uint32) << 16).view(np.float32)
    blocks = rows.reshape(-1, kind.block_bytes)
    weights = np.empty((len(blocks), kind.block_len), dtype=np.float32)
    library: Any = _library_type(kind)
    step = max(1, _PIECE_BYTES // kind.block_bytes)

    def fill(start: int) -> None:
        weights[start : start + step] = library.dequantize_blocks(blocks[start : start + step])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(0, len(blocks), step)))
    return weights.reshape(len(rows), -1)


def _library_type(kind: BlockType) -> Any:
    from gguf import quants

    return getattr(quants, kind.name)
