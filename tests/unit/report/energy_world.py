"""A device whose power is known at every moment, and the run folders that meters of it leave."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgeagent.clock import NS_PER_S
from edgeagent.record import jsonl
from edgeagent.record.baseline import BASELINES_NAME, BaselineRecord, BaselineWhen
from edgeagent.record.run import EDGES_NAME, EXTERNAL_NAME, SAMPLES_NAME, SampleBatch, TaskRecord
from edgeagent.record.samples import (
    ReadFailure,
    Sample,
    SampleKind,
    Scope,
    SourceInfo,
    SourceState,
)
from edgeagent.record.spans import SpanKind
from edgeagent.report.load import Run, load_run

IDLE_W, GAP_W = 2.0, 3.0
TURN = (
    (SpanKind.PREFILL, 1.5, 12.0),
    (SpanKind.DECODE, 4.0, 8.0),
    (SpanKind.TOOL, 0.4, 4.0),
    (SpanKind.DECODE, 2.1, 8.0),
)
"""What a task run does: kind, seconds, watts."""

TASK_S = sum(length_s for _, length_s, _ in TURN)
TASK_J = sum(length_s * power_w for _, length_s, power_w in TURN)
PREFILL_TOKENS, DECODED_TOKENS, FORCED_TOKENS = 40, 30, 5

MODULE = SourceInfo(
    source="ina3221:VDD_IN",
    quantity="power_w",
    kind=SampleKind.SAMPLED,
    scope=Scope.MODULE,
    total="module",
    interval_s=0.1,
    max_power_w=60.0,
)

ESTIMATES = {
    SourceInfo(
        source=f"estimate:{name}",
        quantity="power_estimate_w",
        kind=SampleKind.ESTIMATED,
        scope=Scope.SYSTEM,
        interval_s=0.5,
    ): share
    for name, share in (("power", 1.0), ("low", 0.25), ("high", 1.75))
}
"""What a model says and its bounds, as shares of the true power."""


def package(number: int = 0, **changes: object) -> SourceInfo:
    """A counter that wraps every 500 J."""
    return SourceInfo(
        source=f"rapl:package-{number}",
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        scope=Scope.PACKAGE,
        resolution=61e-6,
        counter_range=500.0,
        total="cpu",
        max_power_w=200.0,
    ).model_copy(update=changes)


@dataclass
class World:
    """Piecewise constant power: first moment, then (end, watts) in order of time."""

    runs: object
    at_s: float = 100.0
    pieces: list[tuple[float, float, float]] = field(default_factory=list)
    tasks: list[TaskRecord] = field(default_factory=list)
    baselines: list[BaselineRecord] = field(default_factory=list)
    config: object = None

    def __post_init__(self) -> None:
        self.config = self.config or self.runs.config()
        self.start_s = self.at_s

    def spend(self, length_s: float, power_w: float) -> tuple[float, float]:
        """Let time pass; return start and end in milliseconds."""
        t0_s, self.at_s = self.at_s, self.at_s + length_s
        self.pieces.append((t0_s, self.at_s, power_w))
        return t0_s * 1000, self.at_s * 1000

    def rest(self, when: str, power_w: float = IDLE_W, *, loaded: bool = True) -> None:
        """Record a baseline of five seconds."""
        t0_ms, t1_ms = self.spend(5.0, power_w)
        self.baselines.append(
            BaselineRecord(
                config=self.config,
                session=0,
                when=BaselineWhen(when),
                model_loaded=loaded,
                t0_ns=round(t0_ms * 1e6),
                t1_ns=round(t1_ms * 1e6),
            )
        )

    def task(
        self,
        task_id: str,
        paradigm: str = "base",
        *,
        solved: bool = True,
        scale: float = 1.0,
        repetition: int = 0,
    ) -> None:
        """Run a task, then a pause that is not a round number of readings."""
        start_ms = self.at_s * 1000
        spans = []
        for index, (kind, length_s, power_w) in enumerate(TURN):
            t0_ms, t1_ms = self.spend(length_s * scale, power_w)
            tokens_in = PREFILL_TOKENS + 10 if kind is SpanKind.PREFILL else 0
            times = (
                np.linspace(t0_ms, t1_ms, DECODED_TOKENS + FORCED_TOKENS)
                if kind is SpanKind.DECODE
                else ()
            )
            spans.append(
                self.runs.span(
                    index + 1,
                    0,
                    kind,
                    t0_ms,
                    t1_ms,
                    agent="solver" if index > 1 else "planner",
                    tokens_in=tokens_in,
                    cached=10 if tokens_in else 0,
                    forced=FORCED_TOKENS if kind is SpanKind.DECODE else 0,
                    token_ms=times,
                )
            )
        root = self.runs.span(
            0, None, SpanKind.ORCHESTRATE, start_ms, self.at_s * 1000, agent="planner"
        )
        record = self.runs.task(
            task_id,
            paradigm,
            solved=solved,
            spans=(root, *spans),
            config=self.config,
            repetition=repetition,
        )
        self.tasks.append(record)
        self.spend(0.73, GAP_W)

    def power_w(self, t_s: float) -> float:
        """Return the true power."""
        return next((w for t0, t1, w in self.pieces if t0 <= t_s < t1), self.pieces[-1][2])

    def energy_j(self, until_s: float, from_s: float | None = None) -> float:
        """Return the true energy."""
        begin = self.start_s if from_s is None else from_s
        return sum(max(0.0, min(t1, until_s) - max(t0, begin)) * w for t0, t1, w in self.pieces)

    def times(self, interval_s: float = 0.1) -> list[float]:
        """Return moments of a sampler with jitter, from just before to just after everything."""
        generator = np.random.default_rng(11)
        grid = np.arange(self.start_s, self.at_s, interval_s)
        jitter = generator.uniform(-0.2, 0.2, len(grid)) * interval_s
        return [self.start_s - 0.01, *(grid + jitter)[1:].tolist(), self.at_s + 0.01]

    def sampled(self, info: SourceInfo, *, share: float = 1.0, **times: float) -> list[Sample]:
        """Readings of power; `share` of the device's power is behind the source."""
        return [sample(info, t_s, share * self.power_w(t_s)) for t_s in self.times(**times)]

    def counted(self, info: SourceInfo, *, share: float = 1.0) -> list[Sample]:
        """Readings of a counter."""
        return [self.count(info, t_s, share) for t_s in self.times()]

    def edges(self, info: SourceInfo, *, share: float = 1.0) -> list[Sample]:
        """Counter readings just outside every span."""
        moments = [
            t_ns / NS_PER_S + side
            for task in self.tasks
            for span in task.spans
            for t_ns, side in ((span.t0_ns, -2e-5), (span.t1_ns, 2e-5))
        ]
        moments += [t_ns / NS_PER_S for rest in self.baselines for t_ns in (rest.t0_ns, rest.t1_ns)]
        return [self.count(info, t_s, share) for t_s in sorted(moments)]

    def count(self, info: SourceInfo, t_s: float, share: float) -> Sample:
        step = info.resolution or 1e-9
        value = round((490.0 + share * self.energy_j(t_s)) / step) * step
        return sample(info, t_s, value % info.counter_range if info.counter_range else value)

    def estimated(self) -> dict[SourceInfo, list[Sample]]:
        """Readings of an estimate with its bounds."""
        return {
            info: self.sampled(info, share=share, interval_s=0.5)
            for info, share in ESTIMATES.items()
        }

    def run(
        self,
        readings: dict[SourceInfo, list[Sample]],
        *,
        edges: dict[SourceInfo, list[Sample]] | None = None,
        external: dict[SourceInfo, list[Sample]] | None = None,
        failures: tuple[ReadFailure, ...] = (),
    ) -> Run:
        """Write everything and read it back."""
        folder = self.runs.write(self.tasks)
        self._write(folder / SAMPLES_NAME, readings, failures)
        for name, more in ((EDGES_NAME, edges), (EXTERNAL_NAME, external)):
            if more:
                self._write(folder / name, more)
        for baseline in self.baselines:
            jsonl.append(folder / BASELINES_NAME, baseline)
        return load_run(folder)

    def _write(self, path, readings, failures=()) -> None:
        jsonl.append(
            path,
            SampleBatch(
                config=self.config,
                session=0,
                sources=tuple(readings),
                samples=tuple(s for group in readings.values() for s in group),
                failures=failures,
                largest_gap_ns=120_000_000,
            ),
        )


def sample(info: SourceInfo, t_s: float, value: float) -> Sample:
    return Sample(source=info.source, t_ns=round(t_s * NS_PER_S), width_ns=30_000, value=value)


def failure(info: SourceInfo, t_s: float, state: SourceState = SourceState.STALE) -> ReadFailure:
    return ReadFailure(
        source=info.source, t_ns=round(t_s * NS_PER_S), state=state, reason="no value this time"
    )


def day(runs, *, tasks: int = 6, after_w: float = IDLE_W, scale: float = 1.0) -> World:
    """Two paradigms on some tasks, with baselines around them; half of the tasks are solved."""
    world = World(runs)
    world.rest("before")
    for index in range(tasks):
        for paradigm, factor in (("base", 1.0), ("single", 1.5)):
            world.task(f"t{index}", paradigm, solved=index % 2 == 0, scale=factor * scale)
    world.rest("after", after_w)
    return world
