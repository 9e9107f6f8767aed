"""Joining the joules that were measured around a benchmark with what it measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from edgeagent.record.bench_run import BenchRecord, CellRecord

EnergyBetween: TypeAlias = Callable[[int, int], float | None]
"""Gets two times of the monotonic clock; returns the joules between them, `None` if they were not
measured or the source is too coarse for that time."""

MAX_IDLE_SHARE = 0.01
"""Of a cell's time may lie between repetitions, which is work of another kind."""


def join_energy(record: BenchRecord, source: str, energy_between: EnergyBetween) -> BenchRecord:
    """Return the record with the joules of every cell.

    Args:
        record: A benchmark.
        source: What the joules were read from and what they cover, in words.
        energy_between: Asked once per cell and round.
    """
    cells = tuple(
        cell.model_copy(update={"energy_j": _energy_j(cell, energy_between)})
        for cell in record.cells
    )
    return record.model_copy(update={"cells": cells, "energy_source": source})


def _energy_j(cell: CellRecord, energy_between: EnergyBetween) -> float | None:
    """Joules of all repetitions, in one window where they follow each other without a break.

    One long window is as exact as the source allows; short ones may be below its resolution.
    """
    if not cell.readings:
        return None
    t0_ns, t1_ns = cell.readings[0].t0_ns, cell.readings[-1].t1_ns
    measured_ns = sum(reading.t1_ns - reading.t0_ns for reading in cell.readings)
    if measured_ns >= (1 - MAX_IDLE_SHARE) * (t1_ns - t0_ns):
        return energy_between(t0_ns, t1_ns)
    parts = [energy_between(reading.t0_ns, reading.t1_ns) for reading in cell.readings]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
