"""A LoRA adapter as the exporter sees it, whichever format it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.decoder.weights import Matrix, Role

Floats = npt.NDArray[np.float32]

FUSED_ROLES: Mapping[str, tuple[Role, ...]] = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}
"""Linear layers that some families store as one, and what their rows are, in order."""


@dataclass(frozen=True)
class Update:
    """What an adapter adds to one linear layer: `y += (x @ down.T) @ up.T`.

    Attributes:
        down: `(rank, in)`; parts of a fused layer share one array.
        up: `(out, rank)`, the scale of the adapter multiplied in, rows in the order of the runtime.
    """

    down: Floats
    up: Floats

    @property
    def rank(self) -> int:
        """Width of the bottleneck."""
        return int(self.down.shape[0])


Updates = Mapping[tuple[int, Role], Update]
"""What an adapter changes, by the index of the block and the role of the linear layer."""


@dataclass(frozen=True)
class Adapter:
    """One adapter, read and checked against the model that it is for.

    Attributes:
        name: What a session asks for.
        path: Where it was read.
        sha256: Of its weight file.
        base_model: The model that it was trained on as it says itself, may be empty.
        scale: Factor on its products that is in `Update.up` already.
        updates: What it adds.
    """

    name: str
    path: Path
    sha256: str
    base_model: str
    scale: float
    updates: Updates

    @property
    def rank(self) -> int:
        """The largest of its ranks."""
        return max(update.rank for update in self.updates.values())

    @property
    def targets(self) -> tuple[Role, ...]:
        """Roles of the layers that it changes, in the order of the computation."""
        order: tuple[Role, ...] = ("q", "k", "v", "o", "gate", "up", "down")
        changed = {role for _, role in self.updates}
        return tuple(role for role in order if role in changed)

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers as float32, shared ones counted each time."""
        return sum(update.down.nbytes + update.up.nbytes for update in self.updates.values())


def layer_matrices(spec: DecoderSpec, index: int) -> dict[Role, Matrix]:
    """The linear layers of a block by their role."""
    layer = spec.weights.layers[index]
    parts = (layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down)
    return {part.role: part for part in parts}


def split_update(
    spec: DecoderSpec,
    index: int,
    roles: tuple[Role, ...],
    down: Floats,
    up: Floats,
    *,
    what: str,
) -> dict[tuple[int, Role], Update]:
    """Check the two factors of one layer and divide those of a fused one.

    Args:
        spec: The model.
        index: Of the block.
        roles: What the rows of `up` are.
        down: `(rank, in)`.
        up: `(out, rank)`.
        what: What to call it in a message.

    Raises:
        DamagedFileError: The shapes are not those of this model, or a number is not finite.
    """
    if index >= len(spec.layers):
        raise DamagedFileError(
            f"{what} is for block {index} and the model has {len(spec.layers)}; the adapter is for"
            " another model."
        )
    parts = [layer_matrices(spec, index)[role] for role in roles]
    rows, width = sum(part.rows for part in parts), parts[0].in_features
    if down.shape[1] != width or up.shape[0] != rows:
        raise DamagedFileError(
            f"{what} changes a layer of {up.shape[0]} x {down.shape[1]} weights where the model's"
            f" has {rows} x {width}; the adapter is for another model."
        )
    if down.shape[0] != up.shape[1] or not down.shape[0]:
        raise DamagedFileError(
            f"{what} is damaged: its factors have ranks {down.shape[0]} and {up.shape[1]}."
        )
    if not (np.isfinite(down).all() and np.isfinite(up).all()):
        # The numbers of the file are finite; times a scale they need not be.
        raise DamagedFileError(f"{what}: its weights are out of range when they are scaled.")
    ends = np.cumsum([part.rows for part in parts])[:-1]
    return {
        (index, role): Update(down, rows_of_role)
        for role, rows_of_role in zip(roles, np.split(up, ends), strict=True)
    }
