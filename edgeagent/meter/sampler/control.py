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
import queue
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from pydantic import ValidationError

from edgeagent.config.child import child_options, python_module
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
        self._child: _Child | None = None
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
        self._child = _Child()
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

    def _wait_until_ready(self, child: _Child) -> tuple[SourceInfo, ...]:
        try:
            child.stdin.write(self._job.model_dump_json().encode() + b"\n")
            child.stdin.flush()
            message = child.messages.get(timeout=START_TIMEOUT_S)
        except OSError:  # it ended before it read its job; what it left on stderr says why
            message = None
        except queue.Empty:
            raise ResourceError(
                f"The sampler process did not answer within {START_TIMEOUT_S:.0f} s; "
                "close other programs and try again."
            ) from None
        if message is None or message.ready is None:
            reason = (message.failed if message else None) or child.last_words()
            raise ResourceError(f"The sampler process could not start: {reason}.")
        return message.ready

    @staticmethod
    def _stop(child: _Child) -> SamplerSummary:
        child.close_stdin()
        try:
            while (message := child.messages.get(timeout=STOP_TIMEOUT_S)) is not None:
                if message.summary is not None:
                    return message.summary
        except queue.Empty:
            return SamplerSummary(error="The sampler did not stop when asked and was ended.")
        return SamplerSummary(error=f"The sampler ended early: {child.last_words()}.")


class _Child:
    """The process with its pipes; its messages arrive in a queue, `None` behind the last."""

    def __init__(self) -> None:
        """Start it; raises `ResourceError`."""
        # A file cannot fill up and block the process as a pipe would that nobody reads.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        try:
            self._process = subprocess.Popen(
                python_module("edgeagent.meter.sampler.main"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                **child_options(),
            )
        except OSError as error:
            self._stderr.close()
            raise ResourceError(
                f"The sampler process cannot be started: {error.strerror or error}; "
                "free some memory or processes and try again."
            ) from error
        self.stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        self.messages: queue.SimpleQueue[SamplerMessage | None] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def close_stdin(self) -> None:
        """Ask it to stop; idempotent."""
        with contextlib.suppress(OSError):  # bytes for a process that is gone
            self.stdin.close()

    def end(self) -> None:
        """Let it exit, end it if it does not, and release everything."""
        self.close_stdin()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=STOP_TIMEOUT_S)
        finally:
            self._process.kill()  # does nothing to a process that has ended
            self._process.wait()
            self._listener.join()
            self._stdout.close()
            self._stderr.close()

    def last_words(self) -> str:
        """Return the last line it wrote to its standard error, or how it ended."""
        status = "unknown"
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = str(self._process.wait(timeout=STOP_TIMEOUT_S))
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1].rstrip(".") if lines else f"exit status {status}"

    def _listen(self) -> None:
        for line in self._stdout:
            # Anything else was printed by a start-up hook of the interpreter.
            with contextlib.suppress(ValidationError):
                self.messages.put(SamplerMessage.model_validate_json(line))
        self.messages.put(None)
