"""Policies: which precision each matrix of a package gets.

A policy is a ladder of recipes, smallest first; the exporter climbs it until one passes the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edgeagent.export.checkpoint.types import BlockType
from edgeagent.export.decoder.weights import Matrix, Role
from edgeagent.export.pack.storage import Storage, exact_storage
from edgeagent.export.quantize import Offset
from edgeagent.export.settings import PolicyName
from edgeagent.record.manifest import Thresholds

INT8 = Storage(8, 32)
"""8 bits a block of 32: the error of a weight is below 2⁻⁸ of the largest of its block."""
INT4 = Storage(4, 32, Offset.ZERO_POINT)
FLOAT16 = Storage(16)
FLOAT32 = Storage(32)


@dataclass(frozen=True)
class Recipe:
    """Precision by role.

    Attributes:
        name: In the manifest.
        default: Storage of every matrix that is not named; `None`: blocks are kept as they are,
            and weights that are not in blocks take `INT8`.
        roles: Storage of some roles.
        keep_small: Whether a matrix whose own blocks are no larger than what it would get keeps
            them.
    """

    name: str
    default: Storage | None = None
    roles: Mapping[Role, Storage] = field(default_factory=lambda: MappingProxyType({}))
    keep_small: bool = True

    def storage(self, matrix: Matrix, kind: BlockType) -> Storage:
        """Storage of a matrix whose tensor has this block type."""
        exact = exact_storage(kind)
        wanted = self.roles.get(matrix.role, self.default)
        if wanted is None:
            return exact or INT8
        if exact is not None and self.keep_small:
            own = exact.total_bytes(matrix.rows, matrix.in_features)
            if own <= wanted.total_bytes(matrix.rows, matrix.in_features):
                return exact
        return wanted


EXACT = Recipe("exact")


@dataclass(frozen=True)
class Policy:
    """A ladder of recipes with the gate that they have to pass.

    Attributes:
        recipes: Smallest first.
        thresholds: Of the gate.
    """

    recipes: tuple[Recipe, ...]
    thresholds: Thresholds


STRICT = Thresholds(
    top1_agreement=0.955, kl_mean=0.01, perplexity_change=0.01, tool_call_agreement=0.95
)
"""For packages that keep every block: what remains is the runtime's rounding of activations."""
LOOSE = Thresholds(
    top1_agreement=0.85, kl_mean=0.12, perplexity_change=0.10, tool_call_agreement=0.85
)

_INT8_HEAD: Mapping[Role, Storage] = MappingProxyType({"head": INT8})
_HALF_EMBEDDING: Mapping[Role, Storage] = MappingProxyType({"embedding": FLOAT16})

POLICIES: Mapping[PolicyName, Policy] = MappingProxyType(
    {
        "exact": Policy((EXACT,), STRICT),
        "int8": Policy((Recipe("int8", INT8),), STRICT),
        "compact": Policy(
            (Recipe("int4", INT4), Recipe("int4, int8 head", INT4, _INT8_HEAD)), LOOSE
        ),
        "float": Policy((Recipe("float32", FLOAT32, _HALF_EMBEDDING, keep_small=False),), STRICT),
    }
)
