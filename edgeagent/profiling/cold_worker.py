"""The worker of `cold`: loads a package, runs one paradigm, says so, and waits to be measured.

Started as `python -m edgeagent.profiling.cold_worker` with one line of JSON on standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeagent.clock import now_ns
from edgeagent.config.run import Budget, EngineConfig
from edgeagent.config.workspace import Workspace
from edgeagent.engine.genai_runtime import import_runtime
from edgeagent.errors import EdgeAgentError
from edgeagent.meter.memory.phase_peaks import PhasePeaks
from edgeagent.profiling.workbench import Workbench, load_engine


def main() -> int:
    """Do one job; return the exit code."""
    job = json.loads(sys.stdin.readline())
    try:
        _work(job)
    except EdgeAgentError as error:
        _say(failed=str(error))
        return error.exit_code
    except Exception as error:  # the parent shows it; a traceback would tell its user nothing
        _say(failed=f"{type(error).__name__}: {error}")
        return 1
    sys.stdin.read()  # measured from outside until the parent closes the pipe
    return 0


def _work(job: Mapping[str, Any]) -> None:
    peaks = PhasePeaks(first="start")
    with peaks.phase("import"):
        import_runtime()
    with peaks.phase("load"):
        engine = load_engine(Path(job["package"]), EngineConfig.model_validate(job["engine"]))
    bench = Workbench(
        engine,
        workspace=Workspace.model_validate(job["workspace"]),
        budget=Budget.model_validate(job["budget"]),
        tool_call_format=job["tool_call_format"],
    )
    _say(loaded={"load_ns": engine.info.load_ns})
    sys.stdin.readline()  # the parent looks at the memory of a loaded model first
    with peaks.phase("warm_up"):
        t0_ns = now_ns()
        bench.paradigm(job["paradigm"]).warm_up()
        warm_up_ns = now_ns() - t0_ns
    sessions = bench.runtime.sessions()
    prefix_tokens = sum(len(session.tokens) for session in sessions)
    for task in job["tasks"]:
        bench.run(job["paradigm"], task["question"], edges=peaks, functions=task["functions"])
    memory = peaks.result()
    _say(
        finished={
            "warm_up_ns": warm_up_ns,
            "prefix_tokens": prefix_tokens,
            "sessions": len(bench.runtime.sessions()),
            "shares_sessions": bench.runtime.shares_sessions,
            "kv_cache_bytes": bench.runtime.kv_cache_bytes(),
            "rss_peak_by_phase_bytes": memory.rss_peak_bytes,
            "rss_anon_by_phase_bytes": memory.rss_anon_bytes,
            "rss_file_by_phase_bytes": memory.rss_file_bytes,
        }
    )


def _say(**message: object) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - the pipe to the parent


if __name__ == "__main__":
    sys.exit(main())
