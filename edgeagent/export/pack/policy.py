"""Policies: which precision each matrix of a package gets.

A policy is a ladder of recipes, smallest first; the exporter climbs it until one passes the gate.
The steps of the ladder are those that lost least for their size on Qwen2.5-Coder-0.5B and
SmolLM2-135M: zero points halve the loss of 4-bit blocks for 2 % of the size, the head and attention
gain most from 8 bits; docs/export.md has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edgeagent.export.checkpoint.types import BlockType
from edgeagent.export.decoder.weights import Matrix, Role
from edgeagent.export.pack.storage import Storage, exact_storage, halved
from edgeagent.export.quantize import Offset
from edgeagent.export.settings import PolicyName
from edgeagent.record.manifest import Thresholds

INT8 = Storage(8, 32)
"""8 bits a block of 32: the error of a weight is below 2⁻⁸ of the largest of its block."""
_INT8_SMALL = Storage(8, 32, half_scales=True)
_INT4 = Storage(4, 32, Offset.ZERO_POINT, half_scales=True)
_FLOAT16 = Storage(16)
_FLOAT32 = Storage(32)


@dataclass(frozen=True)
class Recipe:
    """Precision by role.

    Attributes:
        name: In the manifest.
        default: Storage of every matrix that is not named; `None`: blocks are kept as they are,
            and weights that are not in blocks take `INT8`.
        roles: Storage of some roles.
        keeps_blocks: Whether blocks of no more bits than a matrix would get are kept; rounding
            4-bit blocks to other 4-bit blocks loses more than it saves.
    """

    name: str
    default: Storage | None = None
    roles: Mapping[Role, Storage] = field(default_factory=lambda: MappingProxyType({}))
    keeps_blocks: bool = True

    def storage(self, matrix: Matrix, kind: BlockType) -> Storage:
        """Storage of a matrix whose tensor has this block type."""
        exact = exact_storage(kind)
        wanted = self.roles.get(matrix.role, self.default)
        if wanted is None:
            return exact or INT8
        if exact is not None and self.keeps_blocks and exact.bits <= wanted.bits:
            return halved(exact, kind) if wanted.half_scales else exact
        return wanted

    @property
    def rounds_to_4_bits(self) -> bool:
        """Whether weights may be rounded so coarsely that a calibration helps."""
        return any(storage.bits == 4 for storage in (self.default, *self.roles.values()) if storage)


@dataclass(frozen=True)
class Policy:
    """A ladder of recipes with the gate that they have to pass.

    Attributes:
        recipes: Smallest first.
        thresholds: Of the gate.
    """

    recipes: tuple[Recipe, ...]
    thresholds: Thresholds


def _recipe(name: str, default: Storage, roles: dict[Role, Storage]) -> Recipe:
    return Recipe(name, default, MappingProxyType(roles))


_ATTENTION: tuple[Role, ...] = ("q", "k", "v", "o")

EXACT = Recipe("exact")
_MIXED = _recipe(
    "int4 mlp, int8 attention and head",
    _INT4,
    {"head": _INT8_SMALL, **dict.fromkeys(_ATTENTION, _INT8_SMALL)},
)
_SMALL = (
    _recipe("int4", _INT4, {}),
    _recipe("int4, int8 head", _INT4, {"head": _INT8_SMALL}),
    _MIXED,
    _recipe("int8, int4 gate and up", _INT8_SMALL, {"gate": _INT4, "up": _INT4}),
)
_FLOAT = Recipe("float32", _FLOAT32, MappingProxyType({"embedding": _FLOAT16}), keeps_blocks=False)

STRICT = Thresholds(
    top1_agreement=0.955, kl_mean=0.01, perplexity_change=0.01, tool_call_agreement=0.95
)
"""For packages that keep every block: what remains is the runtime's rounding of activations."""
USEFUL = Thresholds(
    top1_agreement=0.90, kl_mean=0.03, perplexity_change=0.05, tool_call_agreement=0.90
)
"""For packages that are to be small: an agent that used the source solved as many tasks with a
package inside of these, within what tasks can tell."""

POLICIES: Mapping[PolicyName, Policy] = MappingProxyType(
    {
        "exact": Policy((EXACT,), STRICT),
        "compact": Policy(_SMALL, USEFUL),
        "auto": Policy((*_SMALL, EXACT), USEFUL),
        "int8": Policy((Recipe("int8", INT8),), STRICT),
        "mixed": Policy((_MIXED,), USEFUL),
        "float": Policy((_FLOAT,), STRICT),
    }
)
