"""Builds run folders record by record, with times in milliseconds for hand computation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from edgeagent.record import jsonl
from edgeagent.record.outcome import FailureMode, Outcome
from edgeagent.record.run import (
    SAMPLES_NAME,
    TASKS_NAME,
    HostRecord,
    RunConfig,
    SampleBatch,
    TaskRecord,
)
from edgeagent.record.samples import Sample, SampleKind, Scope, SourceInfo, SourceState
from edgeagent.record.spans import Span, SpanKind

MS = 1_000_000

RSS = SourceInfo(
    source="process:rss", quantity="rss_bytes", kind=SampleKind.SAMPLED, scope=Scope.PROCESS
)
PACKAGE = SourceInfo(
    source="rapl:package-0",
    quantity="energy_j",
    kind=SampleKind.COUNTER,
    scope=Scope.PACKAGE,
    counter_range=100_000.0,
)
NO_PACKAGE = SourceInfo(
    source="rapl:package",
    quantity="energy_j",
    kind=SampleKind.COUNTER,
    scope=Scope.PACKAGE,
    state=SourceState.ABSENT,
    reason="There is no counter here.",
    remedy="Measure on the bare device.",
)


class RunBuilder:
    """Makes the records of a run and writes them into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.order = 0

    def config(self, **changes: object) -> RunConfig:
        config = RunConfig(
            model_id="tiny-model",
            package_sha256="a" * 64,
            precision="int4 block 32",
            package_bytes=100 << 20,
            engine="scripted",
            engine_version="1.2.3",
            ep="cpu",
            engine_settings={"intra_op_num_threads": 2},
            suite="core@1",
            suite_sha256="b" * 64,
            paradigms=("base", "single"),
            repeat=1,
            seed=7,
            budget={"max_turns": 5},
            tool_call_format="few-shot",
            edgeagent_version="0.1.0",
            host=HostRecord(
                os="Linux 6.1",
                machine="x86_64",
                cpu="Test CPU",
                cores_physical=2,
                cores_usable=2,
                memory_bytes=8 << 30,
                python="3.11.0",
            ),
        )
        return config.model_copy(update=changes)

    def span(
        self,
        span_id: int,
        parent_id: int | None,
        kind: SpanKind,
        t0_ms: float,
        t1_ms: float,
        *,
        tokens_in: int = 0,
        cached: int = 0,
        forced: int = 0,
        token_ms: Iterable[float] = (),
        agent: str = "agent",
    ) -> Span:
        times = tuple(round(at * MS) for at in token_ms)
        return Span(
            id=span_id,
            parent_id=parent_id,
            kind=kind,
            agent=agent,
            t0_ns=round(t0_ms * MS),
            t1_ns=round(t1_ms * MS),
            tokens_in=tokens_in,
            tokens_cached=cached,
            tokens_out=len(times),
            tokens_forced=forced,
            token_t_ns=times,
        )

    def task(
        self,
        task_id: str,
        paradigm: str = "base",
        *,
        solved: bool = True,
        spans: tuple[Span, ...] | None = None,
        e2e_ms: float = 1000,
        category: str = "arithmetic",
        repetition: int = 0,
        failure: FailureMode | None = None,
        fell_back: bool = False,
        answer: str = "42",
        turns: int = 1,
        config: RunConfig | None = None,
    ) -> TaskRecord:
        t0_ms = self.order * 1_000_000
        default = (self.span(0, None, SpanKind.ORCHESTRATE, t0_ms, t0_ms + e2e_ms),)
        self.order += 1
        return TaskRecord(
            config=config or self.config(),
            task_id=task_id,
            category=category,
            paradigm=paradigm,
            repetition=repetition,
            order=self.order,
            started_utc=f"2026-01-01T00:00:{self.order % 60:02d}+00:00",
            solved=solved,
            outcome=Outcome(answer=answer, failure=failure, fell_back=fell_back, turns=turns),
            spans=default if spans is None else spans,
        )

    def batch(
        self,
        sources: tuple[SourceInfo, ...],
        readings: dict[str, Iterable[tuple[float, float]]],
        *,
        session: int = 0,
        config: RunConfig | None = None,
        gap_ms: float = 100,
    ) -> SampleBatch:
        """Readings are pairs of milliseconds and value."""
        return SampleBatch(
            config=config or self.config(),
            session=session,
            sources=sources,
            samples=tuple(
                Sample(source=source, t_ns=round(at * MS), width_ns=1000, value=value)
                for source, pairs in readings.items()
                for at, value in pairs
            ),
            largest_gap_ns=round(gap_ms * MS),
        )

    def write(self, tasks: Iterable[TaskRecord], batches: Iterable[SampleBatch] = ()) -> Path:
        self.folder.mkdir(exist_ok=True)
        for task in tasks:
            jsonl.append(self.folder / TASKS_NAME, task)
        for batch in batches:
            jsonl.append(self.folder / SAMPLES_NAME, batch)
        return self.folder


@pytest.fixture
def runs(tmp_path: Path) -> RunBuilder:
    """Builder of one run folder."""
    return RunBuilder(tmp_path / "run")


@pytest.fixture
def rss() -> SourceInfo:
    """A readable source of resident memory."""
    return RSS


@pytest.fixture
def package() -> SourceInfo:
    """A readable energy counter that wraps at 100 kJ."""
    return PACKAGE


@pytest.fixture
def no_package() -> SourceInfo:
    """An energy counter that does not exist, and why."""
    return NO_PACKAGE
