"""The process that parses documents: started as `python -m`, one `ReadJob` a line, one reply each.

It has its limits from the system: address space where that is limited, and a watchdog that does
not depend on the interpreter, since a parser may be stuck inside of native code.
"""

from __future__ import annotations

import faulthandler
import logging
import sys

from edgeagent.agent.tools.documents.messages import ReadJob, ReadReply
from edgeagent.agent.tools.documents.reading import read_here
from edgeagent.config.child import private_stdout
from edgeagent.errors import ToolError


def main() -> int:
    """Answer until there are no more jobs."""
    pipe = private_stdout()
    logging.disable(logging.CRITICAL)  # parsers complain at length about damaged files
    for line in sys.stdin:
        job = ReadJob.model_validate_json(line)
        _limit_memory(job.memory_bytes)
        faulthandler.dump_traceback_later(job.time_limit_s, exit=True)
        try:
            reply = _read(job)
        finally:
            faulthandler.cancel_dump_traceback_later()
        print(reply.model_dump_json(), file=pipe, flush=True)
    return 0


def _read(job: ReadJob) -> ReadReply:
    try:
        document = read_here(job.folder, job.name)
    except ToolError as error:
        return ReadReply(failed=str(error))
    blocks = tuple((block.text, block.is_heading, block.page) for block in document.blocks)
    return ReadReply(sha256=document.sha256, blocks=blocks, remark=document.remark)


def _limit_memory(memory_bytes: int) -> None:
    if sys.platform == "win32":
        return  # the parent watches
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (OSError, ValueError):
        return  # macOS refuses limits below what is mapped already; the parent watches


if __name__ == "__main__":
    sys.exit(main())
