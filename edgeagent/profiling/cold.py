"""Cold starts: each paradigm alone in a fresh process, watched from outside.

The timed run keeps the caches of all paradigms in one process so that it can switch between them;
its memory belongs to none of them. Here a worker process loads the package, prefills the prefixes
of one paradigm, runs a few tasks and waits; meanwhile this process reads its memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgeagent.config.child import JsonChild
from edgeagent.config.suite import TaskSpec
from edgeagent.errors import EngineError
from edgeagent.meter.memory.process import discover_process
from edgeagent.meter.protocol import Meter, MeterError
from edgeagent.profiling.memory_prediction import predict_memory
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.record.run import ColdRecord, RunConfig

POLL_S = 0.02
_RSS, _PEAK = "process:rss", "process:rss_peak"
_ANON, _FILE = "process:rss_anon", "process:rss_file"
_SWAP = "process:swap"
_PSS, _USS = "process:pss", "process:uss"


def cold_tasks(tasks: Sequence[TaskSpec]) -> tuple[TaskSpec, ...]:
    """Return the tasks that stand for a suite here: the longest question of each category."""
    longest: dict[str, TaskSpec] = {}
    for task in tasks:
        best = longest.get(task.category)
        if best is None or len(task.question) > len(best.question):
            longest[task.category] = task
    return tuple(longest.values())


def measure_cold_start(settings: ProfileSettings, config: RunConfig, paradigm: str) -> ColdRecord:
    """Start a worker, let it run one paradigm, and return what was seen from outside.

    Raises:
        EngineError: The worker failed; the message is its last line.
    """
    job = {
        "package": str(settings.package.folder),
        "engine": settings.engine.model_dump(mode="json"),
        "budget": settings.agent_budget().model_dump(mode="json"),
        "workspace": settings.agent_workspace().model_dump(mode="json"),
        "tool_call_format": config.tool_call_format,
        "paradigm": paradigm,
        "tasks": [
            {"question": task.prompt(), "functions": task.function_descriptions()}
            for task in cold_tasks(settings.suite.spec.task)
        ],
    }
    predicted = predict_memory(settings, paradigm)
    with _Worker(job) as worker:
        watch = _Watch(worker.pid)
        loaded = worker.wait_for("loaded", watch.poll)
        watch.poll()
        rss_loaded = watch.latest(_RSS)
        worker.proceed()
        finished = worker.wait_for("finished", watch.poll)
        watch.poll()
        watch.look_at_pages()
    by_phase: dict[str, int] = finished["rss_peak_by_phase_bytes"]
    # The worker starts its mark anew at each phase, so the largest of all is its peak.
    marks = [*by_phase.values(), watch.largest(_PEAK) or 0]
    peak = max(marks) if any(marks) else None
    return ColdRecord(
        config=config,
        paradigm=paradigm,
        load_ns=loaded["load_ns"],
        warm_up_ns=finished["warm_up_ns"],
        prefix_tokens=finished["prefix_tokens"],
        sessions=finished["sessions"],
        shares_sessions=finished["shares_sessions"],
        kv_cache_bytes=finished["kv_cache_bytes"],
        tasks=len(cold_tasks(settings.suite.spec.task)),
        rss_loaded_bytes=rss_loaded,
        rss_peak_bytes=peak or watch.largest(_RSS),
        rss_peak_source=_PEAK if peak else _RSS,
        rss_anon_bytes=watch.largest(_ANON),
        rss_file_bytes=watch.largest(_FILE),
        rss_peak_by_phase_bytes=by_phase,
        rss_anon_by_phase_bytes=finished["rss_anon_by_phase_bytes"],
        rss_file_by_phase_bytes=finished["rss_file_by_phase_bytes"],
        pss_bytes=watch.latest(_PSS),
        uss_bytes=watch.latest(_USS),
        swap_peak_bytes=watch.largest(_SWAP),
        predicted=predicted,
    )


class _Watch:
    """Reads the memory of a process again and again."""

    def __init__(self, pid: int) -> None:
        found = discover_process(pid).meters
        self._meters = _of(found, {_RSS, _PEAK, _ANON, _FILE, _SWAP})
        self._page_meters = _of(found, {_PSS, _USS})
        self._latest: dict[str, float] = {}
        self._largest: dict[str, float] = {}

    def poll(self) -> None:
        """Read what is cheap."""
        self._read(self._meters)

    def look_at_pages(self) -> None:
        """Read what walks all pages of the process, and so holds it up."""
        self._read(self._page_meters)

    def _read(self, meters: list[Meter]) -> None:
        for meter in meters:
            try:
                sample = meter.read()
            except MeterError:
                continue
            self._latest[sample.source] = sample.value
            self._largest[sample.source] = max(
                sample.value, self._largest.get(sample.source, sample.value)
            )

    def latest(self, source: str) -> int | None:
        return _whole(self._latest.get(source))

    def largest(self, source: str) -> int | None:
        return _whole(self._largest.get(source))


def _of(meters: tuple[Meter, ...], names: set[str]) -> list[Meter]:
    return [meter for meter in meters if meter.info.source in names]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


class _Worker:
    """The worker process; it ends when its standard input is closed."""

    def __init__(self, job: Mapping[str, object]) -> None:
        self._child = JsonChild("edgeagent.profiling.cold_worker")
        self.pid = self._child.pid
        self._child.send(json.dumps(job))

    def wait_for(self, name: str, meanwhile: Callable[[], None]) -> Any:
        """Return the message of that name; call `meanwhile` until it arrives."""
        while (line := self._child.receive(meanwhile, POLL_S)) is not None:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # printed by a start-up hook of the interpreter
            if isinstance(message, dict) and name in message:
                return message[name]
            if isinstance(message, dict) and "failed" in message:
                raise EngineError(f"The cold start could not be measured: {message['failed']}")
        reason = self._child.last_words()
        raise EngineError(f"The cold start could not be measured: its process died: {reason}.")

    def proceed(self) -> None:
        """Let a worker go on that waits to be looked at."""
        self._child.send("")

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._child.end(at_once=exc_info[0] is not None)
