"""Sampling a process from outside it.

onnxruntime-genai holds the interpreter lock during native calls, so a sampling thread would sleep
through exactly the phases that matter; the sampler is a process of its own::

    with Sampler(pid=os.getpid(), out=folder / SAMPLES_NAME, config=config) as sampler:
        run_tasks()
    print(sampler.summary)
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from edgeagent.config.child import JsonChild
from edgeagent.errors import ResourceError
from edgeagent.meter.sampler.job import SamplerJob, SamplerMessage, SamplerSummary
from edgeagent.meter.sampler.pace import TOTAL_SHARE
from edgeagent.record import jsonl
from edgeagent.record.estimate import EstimateLimits
from edgeagent.record.run import RunConfig
from edgeagent.record.samples import SourceInfo

START_TIMEOUT_S = 60.0
"""A cold start from a slow memory card takes seconds; longer means that it hangs."""

STOP_TIMEOUT_S = 10.0
"""Taking the last readings and writing the last batch takes milliseconds."""


class Sampler:
    """A running sampler process; stopped by leaving the `with` block.

    A sampler that cannot start is an error, raised before any task has run: memory is a headline
    figure, and a run that silently lacks it is worth less than a message. One that ends early is
    told by `summary.error`, because the finished tasks are worth keeping then.

    Attributes:
        sources: Every source that was tried, with its state.
        summary: What was done, `None` as long as the sampler runs.
    """

    def __init__(
        self,
        *,
        pid: int,
        out: Path,
        config: RunConfig,
        session: int = 0,
        interval_s: float = 0.1,
        root: Path | None = None,
        cpu_share: float = TOTAL_SHARE,
        meters: tuple[str, ...] = (),
        estimate: EstimateLimits | None = None,
    ) -> None:
        """Describe what to sample; `start` or the `with` statement begins.

        Args:
            pid: The process whose memory is measured.
            out: The file that `SampleBatch` lines are appended to.
            config: Configuration of the run, repeated in every batch.
            session: Number of the process within the run.
            interval_s: Time between two readings, at least 0.01.
            root: Folder that stands for `/`, such as a replayed tree; `None` for this machine.
            cpu_share: Share of one core that the sampler may use: it lengthens its intervals
                rather than use more. Raise it where memory is measured and time is not.
            meters: Meters on the local network that the user asked for.
            estimate: Powers between which to estimate, `None` unless the user asked for it.

        Raises:
            ValueError: The interval is shorter, infinite or not a number.
        """
        if not (math.isfinite(interval_s) and interval_s >= 0.01):
            raise ValueError("interval_s must be at least 0.01")
        self._job = SamplerJob(
            pid=pid,
            interval_s=interval_s,
            out=str(out.resolve()),
            config=config,
            session=session,
            root=None if root is None else str(root.resolve()),
            cpu_share=cpu_share,
            meters=meters,
            estimate=estimate,
        )
        self._child: JsonChild | None = None
        self.sources: tuple[SourceInfo, ...] = ()
        self.summary: SamplerSummary | None = None

    def __enter__(self) -> Sampler:
        """Start and return when the first readings are taken."""
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; the last batch is written when this returns."""
        self.close()

    def start(self) -> None:
        """Start the process and wait until the first readings are taken.

        Raises:
            ResourceError: The output file cannot be written, or the process cannot be started or
                does not answer.
        """
        out = Path(self._job.out)
        jsonl.truncate_torn_tail(out)  # what a crash of an earlier session may have left
        try:
            out.open("ab").close()
        except OSError as error:
            raise ResourceError(
                f"{out} cannot be written ({error.strerror}); choose another run folder."
            ) from error
        self._child = JsonChild(
            "edgeagent.meter.sampler.main",
            name="The sampler process",
            stop_timeout_s=STOP_TIMEOUT_S,
        )
        try:
            self.sources = self._wait_until_ready(self._child)
        except BaseException:
            self._child.end()
            self._child = None
            raise

    def close(self) -> SamplerSummary:
        """Ask for the last batch, wait for it and return what was done; idempotent."""
        if self.summary is not None:
            return self.summary
        if self._child is None:
            return SamplerSummary(error="The sampler was not started.")
        try:
            self.summary = self._stop(self._child)
        finally:
            self._child.end()
            self._child = None
        return self.summary

    def _wait_until_ready(self, child: JsonChild) -> tuple[SourceInfo, ...]:
        child.send(self._job.model_dump_json())
        try:
            message = _message(child, START_TIMEOUT_S)
        except TimeoutError:
            raise ResourceError(
                f"The sampler process did not answer within {START_TIMEOUT_S:.0f} s; "
                "close other programs and try again."
            ) from None
        if message is None or message.ready is None:
            reason = (message.failed if message else None) or child.last_words()
            raise ResourceError(f"The sampler process could not start: {reason}.")
        return message.ready

    @staticmethod
    def _stop(child: JsonChild) -> SamplerSummary:
        child.close_stdin()
        try:
            while (message := _message(child, STOP_TIMEOUT_S)) is not None:
                if message.summary is not None:
                    return message.summary
        except TimeoutError:
            return SamplerSummary(error="The sampler did not stop when asked and was ended.")
        return SamplerSummary(error=f"The sampler ended early: {child.last_words()}.")


def _message(child: JsonChild, timeout_s: float) -> SamplerMessage | None:
    """Return its next message, `None` when it has ended; raises `TimeoutError`."""
    deadline_s = time.monotonic() + timeout_s
    while (line := child.receive(timeout_s=deadline_s - time.monotonic())) is not None:
        # Anything else was printed by a start-up hook of the interpreter.
        with contextlib.suppress(ValidationError):
            return SamplerMessage.model_validate_json(line)
    return None
