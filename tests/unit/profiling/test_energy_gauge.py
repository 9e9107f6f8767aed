"""Joules of a window, read from synthetic meters on a clock of the test's own."""

from __future__ import annotations

import pytest

from edgeagent.errors import ConfigError
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.profiling.energy_gauge import EnergyGauge
from edgeagent.record.samples import Sample, SampleKind, Scope, SourceInfo, SourceState

S = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.t_ns = 0

    def __call__(self) -> int:
        return self.t_ns


class SyntheticMeter:
    """A counter or a power of a source that draws `power_w`."""

    min_interval_s = 0.0

    def __init__(self, info: SourceInfo, clock: Clock, power_w: float) -> None:
        self.info = info
        self.fails = False
        self.reads = 0
        self._clock = clock
        self._power_w = power_w

    def read(self) -> Sample:
        if self.fails:
            raise MeterError("ENODATA")
        self.reads += 1
        counter = self.info.kind is SampleKind.COUNTER
        value = self._power_w * self._clock.t_ns / S if counter else self._power_w
        return Sample(source=self.info.source, t_ns=self._clock.t_ns, width_ns=1000, value=value)


def counter(source: str, total: str | None, scope: Scope = Scope.PACKAGE) -> SourceInfo:
    return SourceInfo(
        source=source,
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        scope=scope,
        total=total,
        resolution=1e-4,
        interval_s=0.001,
    )


def power(source: str, total: str) -> SourceInfo:
    return SourceInfo(
        source=source,
        quantity="power_w",
        kind=SampleKind.SAMPLED,
        scope=Scope.MODULE,
        total=total,
        interval_s=0.1,
    )


def gauge_of(clock: Clock, *meters: SyntheticMeter) -> EnergyGauge:
    found = Discovery(tuple(meters), tuple(meter.info for meter in meters))
    return EnergyGauge.find(found, clock=clock)


def work(gauge: EnergyGauge, clock: Clock, seconds: float) -> tuple[int, int]:
    """Let a piece of work pass as the device does, and return its window."""
    gauge.begin()
    clock.t_ns += 1_000_000
    t0_ns = clock.t_ns
    for _ in range(int(seconds / 0.02)):
        clock.t_ns += S // 50
        gauge.poll()
    t1_ns = clock.t_ns
    clock.t_ns += 1_000_000
    gauge.end()
    return t0_ns, t1_ns


def test_packages_of_one_total_are_added_and_parts_are_not() -> None:
    clock = Clock()
    packages = [
        SyntheticMeter(counter(f"rapl:package-{n}", "cpu"), clock, 10.0 + n) for n in range(2)
    ]
    core = SyntheticMeter(counter("rapl:core", None), clock, 5.0)
    gauge = gauge_of(clock, *packages, core)
    assert core.reads == 0
    for _ in range(3):
        window = work(gauge, clock, 2.0)
        assert gauge.joules(*window) == pytest.approx(21.0 * 2.0, rel=1e-3)
        clock.t_ns += 10 * S
    assert "cpu (rapl:package-0, rapl:package-1)" in gauge.source


def test_counters_are_left_alone_during_short_work() -> None:
    clock = Clock()
    meter = SyntheticMeter(counter("rapl:package-0", "cpu"), clock, 10.0)
    gauge = gauge_of(clock, meter)
    work(gauge, clock, 0.5)
    assert meter.reads == 2


def test_the_widest_total_counts() -> None:
    clock = Clock()
    package = SyntheticMeter(counter("rapl:package-0", "cpu"), clock, 10.0)
    rail = SyntheticMeter(power("ina3221:VDD_IN", "module"), clock, 15.0)
    gauge = gauge_of(clock, package, rail)
    window = work(gauge, clock, 3.0)
    assert gauge.joules(*window) == pytest.approx(45.0, rel=1e-3)
    assert package.reads == 0


def test_too_few_readings_are_no_energy() -> None:
    clock = Clock()
    gauge = gauge_of(clock, SyntheticMeter(power("ina3221:VDD_IN", "module"), clock, 15.0))
    assert gauge.joules(*work(gauge, clock, 0.3)) is None
    assert gauge.joules(*work(gauge, clock, 3.0)) == pytest.approx(45.0, rel=1e-3)


def test_failed_readings_are_no_energy() -> None:
    clock = Clock()
    meter = SyntheticMeter(power("ina3221:VDD_IN", "module"), clock, 15.0)
    gauge = gauge_of(clock, meter)
    gauge.begin()
    meter.fails = True
    assert gauge.joules(*work(gauge, clock, 2.0)) is None
    meter.fails = False
    assert gauge.joules(*work(gauge, clock, 2.0)) == pytest.approx(30.0, rel=1e-3)


@pytest.mark.parametrize(
    "sources",
    [
        (),
        (counter("nvml:gpu-0", "gpu", Scope.MODULE),),
        (
            counter("rapl:package-0", "cpu"),
            counter("rapl:package-1", "cpu").model_copy(
                update={"state": SourceState.PERMISSION, "reason": "Only root may read it."}
            ),
        ),
    ],
)
def test_no_sensor_no_goal(sources: tuple[SourceInfo, ...]) -> None:
    readable = [info for info in sources if info.state is SourceState.OK]
    meters = tuple(SyntheticMeter(info, Clock(), 1.0) for info in readable)
    with pytest.raises(ConfigError, match="no goal `energy`") as error:
        EnergyGauge.find(Discovery(meters, sources))
    if any(info.reason for info in sources):
        assert "Only root may read it" in str(error.value)
