"""Measuring a package from outside: one engine per worker process.

::

    with BenchWorker(package.folder, EngineConfig(intra_op_num_threads=4)) as worker:
        worker.load()                                             # in its own fresh process
        worker.warm_up(Cell(kind="prefill", tokens=128))
        reading = worker.measure(Cell(kind="decode", depth=256, tokens=32))
        print(reading.step_ns)

A worker computes only while it is asked, so several of them, one per engine configuration, can be
open at once and asked in turns. Each holds a model and a KV cache of its own in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from edgeagent.config.child import JsonChild
from edgeagent.config.run import EngineConfig
from edgeagent.errors import EngineError, ResourceError
from edgeagent.profiling.bench.messages import Loaded, WorkerJob, WorkerReply, WorkerRequest
from edgeagent.record.bench import Cell, Reading

_MODULE = "edgeagent.profiling.bench.worker"
_POLL_S = 0.02

_Field = TypeVar("_Field")


class BenchWorker:
    """A worker process; it ends when the `with` block does.

    Attributes:
        engine: Its settings.
        loaded: What `load` found, `None` before.
    """

    def __init__(
        self,
        package: Path,
        engine: EngineConfig | None = None,
        *,
        seed: int = 0,
        context_len: int | None = None,
    ) -> None:
        """Describe what to measure; the `with` statement starts the process.

        Args:
            package: Folder of the package.
            engine: Settings of the runtime.
            seed: Of the random tokens of `prefill` and `decode` cells.
            context_len: Tokens of the KV cache; by default it is opened as long as the first cell
                needs it, and anew for a longer one.
        """
        self.engine = engine or EngineConfig()
        self.loaded: Loaded | None = None
        self._job = WorkerJob(
            package=str(package.resolve()), engine=self.engine, seed=seed, context_len=context_len
        )
        self._child: JsonChild | None = None

    def __enter__(self) -> BenchWorker:
        """Start the process; nothing is loaded yet.

        Raises:
            ResourceError: The system cannot start it.
            EngineError: It failed.
        """
        self._child = JsonChild(_MODULE)
        try:
            self._child.send(self._job.model_dump_json())
            self._expect(lambda reply: reply.ready, None)
        except BaseException:
            self.close(at_once=True)
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the process; at once if something went wrong."""
        self.close(at_once=exc_info[0] is not None)

    def close(self, *, at_once: bool = False) -> None:
        """End the process; idempotent."""
        child, self._child = self._child, None
        if child is not None:
            child.end(at_once=at_once)

    @property
    def pid(self) -> int:
        """The process, to be watched from outside."""
        return self._running().pid

    def load(self, meanwhile: Callable[[], None] | None = None) -> Loaded:
        """Load the package; the time of it is `loaded.reading.load_ns`.

        Args:
            meanwhile: Called about every 20 ms until it is loaded.

        Raises:
            EngineError: The package is damaged, the runtime refused it, or the process died.
            ResourceError: Not enough memory.
        """
        self.loaded = self._ask(WorkerRequest(action="load"), lambda reply: reply.loaded, meanwhile)
        return self.loaded

    def measure(self, cell: Cell, meanwhile: Callable[[], None] | None = None) -> Reading:
        """Measure a cell once.

        Args:
            cell: What to measure.
            meanwhile: Called about every 20 ms meanwhile; it takes time from what is measured.

        Raises:
            EngineError: The runtime failed or the process died.
            ResourceError: The package's context or the memory does not hold the cell.
        """
        request = WorkerRequest(action="measure", cell=cell)
        return self._ask(request, lambda reply: reply.readings, meanwhile)[0]

    def measure_many(
        self,
        cell: Cell,
        *,
        repeat: int = 1,
        min_ns: int = 0,
        meanwhile: Callable[[], None] | None = None,
    ) -> tuple[Reading, ...]:
        """Measure a cell `repeat` times at least, and until `min_ns` of it were measured.

        Args:
            cell: What to measure.
            repeat: Repetitions at least.
            min_ns: Measured time at least.
            meanwhile: Called about every 20 ms meanwhile; it takes time from what is measured.

        Raises:
            EngineError: The runtime failed or the process died.
            ResourceError: The package's context or the memory does not hold the cell.
        """
        request = WorkerRequest(action="measure", cell=cell, repeat=repeat, min_ns=min_ns)
        return self._ask(request, lambda reply: reply.readings, meanwhile)

    def warm_up(self, *cells: Cell) -> None:
        """Run cells without keeping what was measured."""
        for cell in cells:
            self.measure(cell)

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokenize a text for a `text` cell; nothing is added."""
        request = WorkerRequest(action="encode", text=text)
        return self._ask(request, lambda reply: reply.token_ids)

    def _ask(
        self,
        request: WorkerRequest,
        answer: Callable[[WorkerReply], _Field | None],
        meanwhile: Callable[[], None] | None = None,
    ) -> _Field:
        self._running().send(request.model_dump_json())
        return self._expect(answer, meanwhile)

    def _expect(
        self,
        answer: Callable[[WorkerReply], _Field | None],
        meanwhile: Callable[[], None] | None,
    ) -> _Field:
        child = self._running()
        while True:
            line = child.receive(meanwhile, _POLL_S) if meanwhile else child.receive()
            if line is None:
                raise EngineError(f"The benchmark's worker process died: {child.last_words()}.")
            try:
                reply = WorkerReply.model_validate_json(line)
            except ValidationError as error:
                if not line.startswith(b"{"):
                    continue  # printed by a start-up hook of the interpreter
                raise EngineError(
                    "The benchmark's worker process answers as another version of edgeagent would; "
                    "it was changed while this ran: start again."
                ) from error
            if reply.failed is not None:
                raise (ResourceError if reply.exhausted else EngineError)(reply.failed)
            found = answer(reply)
            if found is not None:
                return found

    def _running(self) -> JsonChild:
        if self._child is None:
            raise EngineError("The benchmark's worker process is not running.")
        return self._child
