from __future__ import annotations

import time

import pytest

from edgeagent.clock import now_ns
from edgeagent.config.run import Budget
from edgeagent.errors import ConfigError
from edgeagent.meter.protocol import Discovery
from edgeagent.profiling import energy_limit
from edgeagent.record.samples import Sample, SampleKind, Scope, SourceInfo


def test_without_a_limit_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_limit, "discover", lambda _pid: pytest.fail("it looked"))
    assert energy_limit.energy_reader(Budget()) is None


def test_a_limit_on_a_device_that_measures_no_energy_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(energy_limit, "discover", lambda _pid: Discovery((), ()))
    with pytest.raises(ConfigError, match="needs a sensor of energy"):
        energy_limit.energy_reader(Budget(max_energy_j=5))


def test_a_counter_of_the_device_is_what_the_limit_is_held_against(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Package:
        """A counter that every reading finds one joule further on."""

        min_interval_s = 0.0
        info = SourceInfo(
            source="rapl:package-0",
            quantity="energy_j",
            kind=SampleKind.COUNTER,
            scope=Scope.PACKAGE,
            total="cpu",
            resolution=1e-6,
            interval_s=1e-6,
        )
        reads = 0

        def read(self) -> Sample:
            self.reads += 1
            at_ns = now_ns()
            time.sleep(0.01)
            return Sample(
                source=self.info.source, t_ns=at_ns, width_ns=100, value=float(self.reads)
            )

    found = Discovery((Package(),), (Package.info,))
    monkeypatch.setattr(energy_limit, "discover", lambda _pid: found)
    reader = energy_limit.energy_reader(Budget(max_energy_j=5))
    assert reader is not None
    readings = [reader() for _ in range(20)]
    known = [reading for reading in readings if reading is not None]
    assert known == sorted(known)
    assert known[-1] == pytest.approx(19, abs=2)
