"""The worker of a benchmark: one engine in a process of its own, measured cell by cell.

Started as `python -m edgeagent.profiling.bench.worker` by `BenchWorker` with a `WorkerJob` on
standard input; answers one `WorkerRequest` after the other until its input ends. Between two
requests it blocks in a read, so that several workers can be open while one is measured.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edgeagent.clock import now_ns
from edgeagent.config.child import private_stdout
from edgeagent.engine.genai_runtime import import_runtime, thread_count
from edgeagent.engine.protocol import Engine
from edgeagent.errors import EdgeAgentError, EngineError, ResourceError
from edgeagent.profiling.bench.cells import CellRunner
from edgeagent.profiling.bench.messages import Loaded, WorkerJob, WorkerReply, WorkerRequest
from edgeagent.profiling.bench.own_memory import OwnMemory, storage_read_bytes
from edgeagent.profiling.workbench import load_engine
from edgeagent.record.bench import LoadReading


def main() -> int:
    """Answer until the input ends; return the exit code."""
    pipe = private_stdout()

    def say(reply: WorkerReply) -> None:
        print(reply.model_dump_json(exclude_none=True), file=pipe, flush=True)

    try:
        job = WorkerJob.model_validate_json(sys.stdin.readline())
        worker = _Worker(job)
        say(WorkerReply(ready=True))
        for line in sys.stdin:
            say(worker.answer(WorkerRequest.model_validate_json(line)))
    except EdgeAgentError as error:
        say(WorkerReply(failed=str(error), exhausted=isinstance(error, ResourceError)))
        return error.exit_code
    except Exception as error:  # the parent shows it; a traceback would tell its user nothing
        say(WorkerReply(failed=f"{type(error).__name__}: {error}"))
        return 1
    return 0


class _Worker:
    """What a worker holds: settings at first, the loaded engine later."""

    def __init__(self, job: WorkerJob) -> None:
        self._job = job
        self._memory = OwnMemory(os.getpid())
        self._engine: Engine | None = None
        self._runner: CellRunner | None = None

    def answer(self, request: WorkerRequest) -> WorkerReply:
        if request.action == "load":
            return WorkerReply(loaded=self._load())
        if self._engine is None or self._runner is None:
            raise EngineError("The worker was asked before its package was loaded.")
        if request.action == "encode":
            return WorkerReply(token_ids=tuple(self._engine.encode(request.text)))
        if request.cell is None:
            raise EngineError("The worker was asked to measure nothing.")
        return WorkerReply(
            readings=self._runner.measure(
                request.cell, repeat=request.repeat, min_ns=request.min_ns
            )
        )

    def _load(self) -> Loaded:
        t_import_ns = now_ns()
        import_runtime()
        import_ns = now_ns() - t_import_ns
        before = self._memory.start_phase()
        read_before = storage_read_bytes()
        t0_ns = now_ns()
        self._engine = load_engine(Path(self._job.package), self._job.engine)
        t1_ns = now_ns()
        read_after = storage_read_bytes()
        self._runner = CellRunner(
            self._engine,
            seed=self._job.seed,
            context_len=self._job.context_len,
            memory=self._memory,
        )
        info = self._engine.info
        return Loaded(
            reading=LoadReading(
                t0_ns=t0_ns,
                t1_ns=t1_ns,
                import_ns=import_ns,
                storage_read_bytes=None
                if read_before is None or read_after is None
                else read_after - read_before,
                memory=self._memory.end_phase(),
                rss_before_bytes=before,
            ),
            engine=info.name,
            version=info.version,
            ep=info.ep,
            context_len=info.context_len,
            vocab_size=info.vocab_size,
            kv_bytes_per_token=info.kv_bytes_per_token,
            threads=thread_count(self._job.engine),
        )


if __name__ == "__main__":
    sys.exit(main())
