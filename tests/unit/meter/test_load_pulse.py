"""Load pulses really load the processor, when they say so."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgeagent.clock import now_ns
from edgeagent.meter.external.correlation import Floats
from edgeagent.meter.external.load_pulse import PATTERNS, make_pulses


def test_processor_time_is_used_in_the_pulses_and_only_there() -> None:
    edges: list[tuple[int, float]] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            edges.append((now_ns(), time.process_time()))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        pulses = make_pulses("start", workers=1, pattern=(0.1, 0.3, 0.2, 0.2, 0.1))
    finally:
        stop.set()
        watcher.join()
    t_ns, cpu_s = np.array([t for t, _ in edges]), np.array([cpu for _, cpu in edges])

    def used_s(t0_ns: int, t1_ns: int) -> float:
        return float(np.interp(t1_ns, t_ns, cpu_s) - np.interp(t0_ns, t_ns, cpu_s))

    (first, second), quiet = pulses.busy, (pulses.busy[0][1], pulses.busy[1][0])
    assert pulses.t0_ns < first[0] < first[1] < second[0] < second[1] < pulses.t1_ns
    assert (first[1] - first[0]) * 1e-9 > 0.28
    # Other tests may share the core: the pulses use a good part of it, the quiet next to nothing.
    busy_s = used_s(*first) + used_s(*second)
    assert busy_s > 0.1
    assert used_s(*quiet) < 0.4 * busy_s


def test_threads_end_when_it_is_interrupted() -> None:
    before = threading.active_count()

    def interrupt(done_s: float, _total_s: float) -> None:
        if done_s > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_pulses("end", workers=2, pattern=(0.01, 0.01, 0.01), on_progress=interrupt)
    assert threading.active_count() == before


def wave(pattern: tuple[float, ...]) -> Floats:
    steps = [np.full(round(part / 0.05), float(index % 2)) for index, part in enumerate(pattern)]
    return np.concatenate(steps)


@pytest.mark.parametrize("other", ["start", "end"])
def test_no_shift_of_the_pattern_looks_like_a_pattern(other: str) -> None:
    one, two = wave(PATTERNS["start"]), wave(PATTERNS[other])  # type: ignore[index]
    padded = np.concatenate((np.zeros(len(two)), two, np.zeros(len(two))))
    scores = []
    for shift in range(len(padded) - len(one)):
        window = padded[shift : shift + len(one)]
        at_home = other == "start" and abs(shift - len(two)) < round(0.75 / 0.05)
        if not at_home and window.std() > 0:
            scores.append(float(np.corrcoef(one, window)[0, 1]))
    assert max(scores) < 0.5
