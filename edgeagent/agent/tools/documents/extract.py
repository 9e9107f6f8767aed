"""Reading documents, those of rich formats in a process that can be ended."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import psutil
from pydantic import ValidationError

from edgeagent.agent.tools.documents.blocks import Block
from edgeagent.agent.tools.documents.messages import ReadJob, ReadReply
from edgeagent.agent.tools.documents.reading import Document, read_here, usable_reader
from edgeagent.config.child import JsonChild
from edgeagent.errors import ResourceError, ToolError

TIME_LIMIT_S = 120.0
"""Of one document; a small board parses some hundred pages in it."""

MEMORY_BYTES = 768 << 20
_WATCH_S = 0.2
_MODULE = "edgeagent.agent.tools.documents.worker"


class Extractor:
    """Reads documents of all formats; thread-safe."""

    def __init__(
        self, *, time_limit_s: float = TIME_LIMIT_S, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        """Prepare; the process is started for the first document that needs it.

        Args:
            time_limit_s: Longest time for one document.
            memory_bytes: Most memory that parsing may take.
        """
        self._time_limit_s = time_limit_s
        self._memory_bytes = memory_bytes
        self._child: JsonChild | None = None
        self._lock = threading.Lock()

    def read(self, folder: Path, name: str) -> Document:
        """Read the document `name` (relative, forward slashes) in `folder`.

        Raises:
            ResourceError: The process cannot be started.
            ToolError: Why there is nothing to read.
        """
        if not usable_reader(name).isolated:
            return read_here(folder, name)
        with self._lock:
            reply = self._ask(folder, name)
        if reply.failed is not None:
            raise ToolError(reply.failed)
        blocks = tuple(Block(*block) for block in reply.blocks)
        return Document(reply.sha256, blocks, reply.remark)

    def close(self) -> None:
        """End the process; idempotent."""
        with self._lock:
            self._end(at_once=True)

    def _ask(self, folder: Path, name: str) -> ReadReply:
        try:
            if self._child is None:
                self._child = JsonChild(_MODULE, name="The process that parses documents")
            # Its own watchdog comes later than ours: it is for the case that we are gone.
            job = ReadJob.of(folder, name, self._memory_bytes, self._time_limit_s + 10)
            self._child.send(job.model_dump_json())
            return self._receive(self._child)
        except OSError as error:  # no room for its temporary file
            self._end(at_once=True)
            raise ResourceError(
                f"The process that parses documents cannot be started: {error.strerror}; free some "
                "space and try again."
            ) from error
        except BaseException:
            self._end(at_once=True)
            raise

    def _receive(self, child: JsonChild) -> ReadReply:
        try:
            while (
                line := child.receive(
                    lambda: self._watch(child), _WATCH_S, timeout_s=self._time_limit_s
                )
            ) is not None:
                try:
                    return ReadReply.model_validate_json(line)
                except ValidationError:
                    continue  # printed by a start-up hook of the interpreter
        except TimeoutError as error:
            raise ToolError(f"parsing it takes longer than {self._time_limit_s:g} s") from error
        raise ToolError("its parser crashed, or took all memory that it may")

    def _watch(self, child: JsonChild) -> None:
        """End what takes too much, also where the system does not."""
        try:
            family = [psutil.Process(child.pid)]
            if os.name == "nt":  # an environment's interpreter is started by a launcher there
                family += family[0].children(recursive=True)
            rss_bytes = sum(member.memory_info().rss for member in family)
        except psutil.Error:
            return  # it has just ended
        if rss_bytes > self._memory_bytes:
            raise ToolError(f"parsing it needs more than {self._memory_bytes >> 20} MiB of memory")

    def _end(self, *, at_once: bool) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end(at_once=at_once)
