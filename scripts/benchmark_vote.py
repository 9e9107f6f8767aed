r"""Measure what a vote of several samples costs on this machine, beside a vote of one.

    .venv/bin/python scripts/benchmark_vote.py PACKAGE [--k 4] [--suite core] [--every N] \
        [--single] [--no-spinning]

Both answer every task of the suite, one right after the other, in turns first; each task gives one
ratio of wall times. The ratio of the totals is the figure to quote: it weighs tasks by what they
take. Answers are scored as `edgeagent profile` does. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeagent.agent.paradigms.protocol import Paradigm
    from edgeagent.config.suite import TaskSpec


@dataclass(frozen=True)
class Answered:
    """One task answered by one paradigm."""

    wall_s: float
    cpu_s: float
    prefill_s: float
    decode_s: float
    generated: int
    turns: int
    solved: bool
    unaided: bool


def answer(paradigm: Paradigm, task: TaskSpec) -> Answered:
    """Answer a task on the clock."""
    from edgeagent.agent.task import TaskRun
    from edgeagent.profiling.checks import score
    from edgeagent.record.spans import SpanKind

    run = TaskRun(600.0, functions=task.function_descriptions())
    began, cpu_began = time.perf_counter(), time.process_time()
    outcome = paradigm.run(task.prompt(), run)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    trace = run.recorder.trace()
    seconds = {
        kind: sum(span.duration_ns for span in trace if span.kind is kind) / 1e9
        for kind in (SpanKind.PREFILL, SpanKind.DECODE)
    }
    return Answered(
        wall_s=wall_s,
        cpu_s=cpu_s,
        prefill_s=seconds[SpanKind.PREFILL],
        decode_s=seconds[SpanKind.DECODE],
        generated=sum(span.tokens_out for span in trace),
        turns=outcome.turns,
        solved=score(task, outcome),
        unaided=outcome.completed_unaided,
    )


def line(name: str, answers: list[Answered]) -> str:
    """The totals of a paradigm."""
    wall_s = sum(one.wall_s for one in answers)
    prefill_s = sum(one.prefill_s for one in answers)
    decode_s = sum(one.decode_s for one in answers)
    return (
        f"{name}: {sum(one.solved for one in answers)} of {len(answers)} solved, "
        f"{sum(one.unaided for one in answers)} unaided, {wall_s:.1f} s "
        f"({prefill_s:.1f} prefill, {decode_s:.1f} decode), "
        f"{sum(one.generated for one in answers)} tokens in {sum(one.turns for one in answers)} "
        "turns"
    )


def summary(name: str, reference: list[Answered], answers: list[Answered]) -> float:
    """Print how a paradigm compares with the vote of one; return the ratio of the totals."""
    ratios = sorted(
        one.wall_s / other.wall_s for one, other in zip(answers, reference, strict=True)
    )
    total = sum(one.wall_s for one in answers) / sum(one.wall_s for one in reference)
    cpu = sum(one.cpu_s for one in answers) / sum(one.cpu_s for one in reference)
    low, median, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    )
    print(
        f"{name}: {total:.2f}x the wall time of a vote of one; "
        f"per task {median:.2f}x ({low:.2f} to {high:.2f}, at most {ratios[-1]:.2f}); "
        f"{cpu:.2f}x its CPU time"
    )
    return total


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--k", type=int, default=4, help="samples of the vote")
    parser.add_argument("--suite", default="core")
    parser.add_argument("--every", type=int, default=1, help="take every N-th task only")
    parser.add_argument("--single", action="store_true", help="measure `single` as well")
    parser.add_argument("--no-spinning", action="store_true", help="let idle threads sleep")
    args = parser.parse_args()

    from edgeagent.agent.paradigms.single import Single
    from edgeagent.agent.paradigms.vote import Vote
    from edgeagent.config.package import read_package
    from edgeagent.config.run import Budget, EngineConfig
    from edgeagent.config.suites import load_suite
    from edgeagent.config.workspace import Workspace
    from edgeagent.profiling.workbench import Workbench, load_engine

    suite = load_suite(args.suite)
    tasks = suite.spec.task[:: args.every]
    manifest = read_package(args.package).manifest
    bench = Workbench(
        load_engine(args.package, EngineConfig(allow_spinning=not args.no_spinning)),
        workspace=Workspace(documents=suite.documents_dir),
        budget=Budget().for_model(manifest.parameters),
        tool_call_format=manifest.tool_call_format,
    )
    one, several = "vote of 1", f"vote of {args.k}"
    paradigms: Mapping[str, Paradigm] = {
        one: Vote(bench.runtime, 1, name=one),
        several: Vote(bench.runtime, args.k, name=several),
        **({"single": Single(bench.runtime)} if args.single else {}),
    }
    for paradigm in paradigms.values():
        paradigm.warm_up()
    print("prefixes are cached", file=sys.stderr)
    answers: dict[str, list[Answered]] = {name: [] for name in paradigms}
    for index, task in enumerate(tasks):
        names = list(paradigms)
        for name in names if index % 2 == 0 else reversed(names):
            answers[name].append(answer(paradigms[name], task))
        walls = ", ".join(f"{name} {answers[name][-1].wall_s:.2f} s" for name in names)
        print(f"{index + 1}/{len(tasks)} {task.id}: {walls}", file=sys.stderr)
    bench.close()
    for name, given in answers.items():
        print(line(name, given))
    ratios = {
        name: summary(name, answers[one], given) for name, given in answers.items() if name != one
    }
    print(json.dumps({"package": args.package.name, "tasks": len(tasks), "ratio": ratios}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
