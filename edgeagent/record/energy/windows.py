"""Energies of many windows at once, and the shares that belong to none of their children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeagent.record.energy.invalid import Invalid, reason_of
from edgeagent.record.energy.resolution import Pool

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """What readings tell about windows, one entry per window; every array has shape `(windows,)`.

    Attributes:
        energy_nj: Energy in nanojoules; means nothing where `code` is not 0.
        code: 0 where the energy is known, else why not, see `edgeagent.record.energy.invalid`.
        duration_ns: Length.
        readings: Readings of a sampled power within the window, repeated values not counted;
            `None` if only counters were read.
        edge_ns: By how much the edges of the window miss the counter's readings, all edges added;
            `None` if no counter was read.
        step_nj: Resolution of the energy of one window, 0 if unknown.
    """

    energy_nj: Ints
    code: NDArray[np.int8]
    duration_ns: Ints
    readings: Ints | None
    edge_ns: Ints | None
    step_nj: float

    def own(self, parent: Ints) -> Windows:
        """Return what remains of each window without its children.

        Args:
            parent: Index of each window's parent, -1 for none. Children lie within their parent
                and do not overlap.
        """
        children = np.flatnonzero(parent >= 0)
        parents = parent[children]

        def less(values: Ints) -> Ints:
            rest = values.copy()
            np.subtract.at(rest, parents, values[children])
            return rest

        edge_ns = None
        if self.edge_ns is not None:  # the edges of a child are edges of what remains
            edge_ns = self.edge_ns.copy()
            np.add.at(edge_ns, parents, self.edge_ns[children])
        return Windows(
            energy_nj=less(self.energy_nj),
            code=self.code,
            duration_ns=less(self.duration_ns),
            readings=None if self.readings is None else less(self.readings),
            edge_ns=edge_ns,
            step_nj=self.step_nj,
        )

    def reason(self, index: int) -> Invalid | None:
        """Return why the energy of a window is not known, `None` if it is."""
        return reason_of(int(self.code[index]))

    def pool(self, index: int) -> Pool:
        """Return one window as the start of a pool; its energy must be known."""
        return Pool(
            windows=1,
            energy_nj=int(self.energy_nj[index]),
            duration_ns=int(self.duration_ns[index]),
            readings=None if self.readings is None else int(self.readings[index]),
            edge_ns=None if self.edge_ns is None else int(self.edge_ns[index]),
            step_nj=self.step_nj,
        )


def add(parts: Sequence[Windows]) -> Windows:
    """Return the sum of several sources over the same windows; it is known where all parts are.

    Of readings the fewest count, of edges the worst.
    """
    code = parts[0].code.copy()
    for part in parts[1:]:
        code = np.where(code == 0, part.code, code)
    readings = [part.readings for part in parts if part.readings is not None]
    edges = [part.edge_ns for part in parts if part.edge_ns is not None]
    return Windows(
        energy_nj=np.sum([part.energy_nj for part in parts], axis=0),
        code=code,
        duration_ns=parts[0].duration_ns,
        readings=np.min(readings, axis=0) if readings else None,
        edge_ns=np.max(edges, axis=0) if edges else None,
        step_nj=sum(part.step_nj for part in parts),
    )
