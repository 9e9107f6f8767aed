"""How the sampler process is told to stop."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from edgeagent.meter.sampler.stop import EndOfInput, end_of_input


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


@pytest.fixture(params=["poll", "thread"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "thread":  # as on Windows, where pipes cannot be polled
        monkeypatch.delattr(select, "poll", raising=False)
    elif not hasattr(select, "poll"):
        pytest.skip("needs poll")
    return str(request.param)


def test_it_waits_and_stops_when_the_pipe_closes(pipe: tuple[int, int], way: str) -> None:
    reading, writing = pipe
    stop = end_of_input(reading)
    assert isinstance(stop, EndOfInput) == (way == "poll")
    began_s = time.monotonic()
    assert not stop.wait(0.05)
    assert time.monotonic() - began_s >= 0.045
    os.write(writing, b"more input is not the end\n")
    assert not stop.wait(0.05)
    threading.Timer(0.05, os.close, (writing,)).start()
    assert stop.wait(5)
    assert stop.is_set()
    assert stop.wait(5)


@pytest.mark.skipif(not hasattr(select, "poll"), reason="needs poll")
def test_a_signal_may_set_it(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    stop = EndOfInput(reading)
    stop.set()
    assert stop.wait(5)
    os.close(writing)
