"""Energy of time windows from recorded readings: pure functions, no sensor and no clock in here.

`open_totals` turns the readings of a session into one cumulative energy function per total, and
`Total.windows` evaluates it on many windows at once::

    for total in open_totals(sources, readings, failures):
        measured = total.windows(t0_ns, t1_ns)

Energies are whole nanojoules, so the parts of a window add up to it exactly.
"""

from __future__ import annotations

from edgeagent.record.energy.invalid import Invalid
from edgeagent.record.energy.resolution import Pool
from edgeagent.record.energy.totals import Total, TotalKey, open_totals
from edgeagent.record.energy.windows import Windows

__all__ = ["Invalid", "Pool", "Total", "TotalKey", "Windows", "open_totals"]
