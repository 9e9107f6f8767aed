"""When readings resolve a window, when only a pool of windows, and when neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeagent.clock import NS_PER_S
from edgeagent.record.energy import Pool, Windows
from edgeagent.record.energy.windows import add

SAMPLED = Pool(windows=1, energy_nj=5 * NS_PER_S, duration_ns=NS_PER_S, readings=10)
COUNTED = Pool(
    windows=1, energy_nj=NS_PER_S, duration_ns=NS_PER_S, edge_ns=NS_PER_S // 10, step_nj=1e8
)


def _times(pool: Pool, count: int) -> Pool:
    return sum([pool] * count, start=Pool())


def test_ten_readings_resolve_a_window_and_nine_do_not() -> None:
    assert SAMPLED.energy_j == 5.0
    assert SAMPLED.power_w == 5.0
    nine = replace(SAMPLED, readings=9)
    assert (nine.energy_j, nine.power_w) == (None, None)
    assert nine.joules == 5.0


def test_pools_need_ten_readings_and_one_per_window() -> None:
    one_each = replace(SAMPLED, readings=1)
    assert not _times(one_each, 9).is_resolved
    assert _times(one_each, 10).energy_j == 50.0
    with_empty = _times(one_each, 20) + replace(SAMPLED, readings=0)
    assert not with_empty.is_resolved


def test_counters_need_close_edges_and_enough_steps() -> None:
    assert COUNTED.energy_j == 1.0  # exactly 10 % and exactly 10 steps
    assert not replace(COUNTED, edge_ns=NS_PER_S // 10 + 1).is_resolved
    assert not replace(COUNTED, energy_nj=NS_PER_S - 1).is_resolved
    assert replace(COUNTED, energy_nj=-NS_PER_S).is_resolved


def test_rounding_of_many_windows_adds_up_to_the_root_of_their_number() -> None:
    # Four windows of 5 steps gain 20, and need 10 * 2.
    half = replace(COUNTED, energy_nj=NS_PER_S // 2)
    assert not half.is_resolved
    assert not _times(half, 3).is_resolved
    assert _times(half, 4).energy_j == 2.0


def test_edges_of_a_pool_count_against_its_length() -> None:
    close, far = replace(COUNTED, edge_ns=0), replace(COUNTED, edge_ns=NS_PER_S // 5)
    assert (close + far).is_resolved
    assert not (close + far + far).is_resolved


def test_nothing_resolves_an_empty_pool() -> None:
    assert Pool().energy_j is None
    assert (Pool() + SAMPLED) == SAMPLED == (SAMPLED + Pool())
    assert not replace(SAMPLED, duration_ns=0).is_resolved


def _windows(**changes: object) -> Windows:
    fields = {
        "energy_nj": np.array([100, 30, 20]),
        "code": np.zeros(3, np.int8),
        "duration_ns": np.array([50, 10, 15]),
        "readings": np.array([40, 8, 12]),
        "edge_ns": None,
        "step_nj": 0.0,
    }
    return Windows(**(fields | changes))


def test_what_children_leave_has_their_edges_too() -> None:
    parent = np.array([-1, 0, 0])
    own = _windows().own(parent)
    assert own.energy_nj.tolist() == [50, 30, 20]
    assert own.duration_ns.tolist() == [25, 10, 15]
    assert own.readings.tolist() == [20, 8, 12]
    counted = _windows(readings=None, edge_ns=np.array([4, 1, 2])).own(parent)
    assert counted.edge_ns.tolist() == [7, 1, 2]


def test_a_sum_of_sources_is_as_good_as_the_worst_of_them() -> None:
    first = _windows(code=np.array([0, 3, 0], np.int8))
    second = _windows(
        code=np.array([0, 0, 5], np.int8), readings=None, edge_ns=np.array([4, 1, 2]), step_nj=2.0
    )
    third = _windows(readings=np.array([50, 7, 12]), step_nj=1.0)
    total = add([first, second, third])
    assert total.energy_nj.tolist() == [300, 90, 60]
    assert total.code.tolist() == [0, 3, 5]
    assert total.readings.tolist() == [40, 7, 12]
    assert total.edge_ns.tolist() == [4, 1, 2]
    assert total.step_nj == pytest.approx(3.0)
