"""Show what thresholds of `escalate` do: who would be asked again, what is gained and what is lost.

    .venv/bin/python scripts/calibrate_escalation.py PACKAGE [--stronger PACKAGE] [--first base]
        [--to single] [--suite core] [--every N] [--out answers.jsonl]
    .venv/bin/python scripts/calibrate_escalation.py --read answers.jsonl
    .venv/bin/python scripts/calibrate_escalation.py --run RUN_FOLDER [--first base] [--to single]

The first form answers every task of a suite with both paradigms, the stronger one maybe with
another model, and remembers how sure the first one's model was. The others look at answers that are
there: those of an earlier call, or of a run of `edgeagent profile --paradigms
base,single,escalate`.

A threshold that was chosen on a suite is a little too good for that suite; choose it on tasks of
your own. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

THRESHOLDS = tuple(round(step / 20, 2) for step in range(21))


@dataclass(frozen=True)
class Answered:
    """One task answered by both.

    Attributes:
        task: Its id.
        confidence: How sure the first one's model was, `None` if it was not asked or is unknown.
        doubted: Whether the first answer is in doubt whatever the threshold.
        first_solved: Whether the first one solved it.
        stronger_solved: Whether the stronger one did.
        first_s: Seconds of the first one.
        stronger_s: Seconds of the stronger one.
    """

    task: str
    confidence: float | None
    doubted: bool
    first_solved: bool
    stronger_solved: bool
    first_s: float
    stronger_s: float

    def escalates(self, threshold: float) -> bool:
        """Whether the stronger one is asked."""
        return self.doubted or (self.confidence is not None and self.confidence < threshold)


@dataclass(frozen=True)
class Effect:
    """What a threshold does.

    Attributes:
        threshold: The threshold.
        escalated: Share of tasks that are escalated.
        solved: Tasks solved.
        kept_wrong: Tasks that the stronger one solves and is not asked about.
        spoiled: Tasks whose right first answer is replaced by a wrong one.
        seconds: Mean seconds of a task.
    """

    threshold: float
    escalated: float
    solved: int
    kept_wrong: int
    spoiled: int
    seconds: float


def effect(answers: Sequence[Answered], threshold: float) -> Effect:
    """Return what a threshold does to these answers."""
    asked = [one.escalates(threshold) for one in answers]
    pairs = list(zip(answers, asked, strict=True))
    return Effect(
        threshold=threshold,
        escalated=sum(asked) / len(answers),
        solved=sum(one.stronger_solved if on else one.first_solved for one, on in pairs),
        kept_wrong=sum(
            not on and one.stronger_solved and not one.first_solved for one, on in pairs
        ),
        spoiled=sum(on and one.first_solved and not one.stronger_solved for one, on in pairs),
        seconds=sum(one.first_s + on * one.stronger_s for one, on in pairs) / len(answers),
    )


def best(effects: Iterable[Effect]) -> Effect:
    """Return the threshold that solves most, of those the one that escalates least."""
    return max(effects, key=lambda one: (one.solved, -one.escalated, -one.threshold))


def table(answers: Sequence[Answered]) -> list[str]:
    """Return the effects of all thresholds as lines."""
    effects = [effect(answers, threshold) for threshold in THRESHOLDS]
    total = len(answers)
    lines = ["threshold  escalated  solved      kept wrong  spoiled  s/task"]
    for one in effects:
        solved = f"{one.solved} of {total}"
        lines.append(
            f"{one.threshold:9.2f}  {one.escalated:9.0%}  {solved:<10}  {one.kept_wrong:10}  "
            f"{one.spoiled:7}  {one.seconds:6.2f}"
        )
    first, stronger = (sum(found) for found in zip(*_solved(answers), strict=True))
    lines.append(f"The first one alone solves {first} of {total}, the stronger one {stronger}.")
    found = best(effects)
    lines.append(f"Most are solved at {found.threshold:.2f}, with {found.escalated:.0%} escalated.")
    return lines


def _solved(answers: Sequence[Answered]) -> list[tuple[bool, bool]]:
    return [(one.first_solved, one.stronger_solved) for one in answers]


def answer_live(arguments: argparse.Namespace) -> list[Answered]:
    """Answer the tasks of a suite with both."""
    from edgeagent.agent.confidence import confidence, doubt, needs_tool
    from edgeagent.agent.task import TaskRun
    from edgeagent.config.run import Budget
    from edgeagent.config.workspace import Workspace
    from edgeagent.export.resolve import ensure_package
    from edgeagent.profiling.checks import score
    from edgeagent.profiling.suites import open_suite
    from edgeagent.profiling.workbench import Workbench, load_engine

    package = ensure_package(arguments.package)
    suite = open_suite(arguments.suite)
    bench = Workbench(
        load_engine(package.folder),
        workspace=Workspace(documents=suite.documents_dir),
        budget=Budget().for_model(package.manifest.parameters),
        tool_call_format=package.manifest.tool_call_format,
    )
    answers = []
    try:
        first = bench.catalog.make(arguments.first, bench.runtime)
        larger = bench.runtime.with_model(arguments.stronger)
        stronger = bench.catalog.make(arguments.to, larger)
        for paradigm in (first, stronger):
            paradigm.warm_up()
        tools = tuple(bench.runtime.tools.values())
        for task in suite.spec.task[:: arguments.every]:
            runs, outcomes, seconds = [], [], []
            for paradigm in (first, stronger):
                run = TaskRun(600.0, functions=task.function_descriptions())
                run.recorder.wants_logprobs = paradigm is first
                began = time.perf_counter()
                outcomes.append(paradigm.run(task.prompt(), run))
                seconds.append(time.perf_counter() - began)
                runs.append(run)
            needed = not task.functions and needs_tool(task.prompt(), tools)
            answers.append(
                Answered(
                    task=task.id,
                    confidence=confidence(runs[0].recorder.trace()),
                    doubted=doubt(outcomes[0], needed_tool=needed) is not None,
                    first_solved=score(task, outcomes[0]),
                    stronger_solved=score(task, outcomes[1]),
                    first_s=seconds[0],
                    stronger_s=seconds[1],
                )
            )
            print(f"{len(answers)} {task.id}", file=sys.stderr)
    finally:
        bench.close()
    return answers


def answers_of_run(folder: Path, first: str, to: str) -> list[Answered]:
    """Take answers from a run that has both paradigms and `escalate`, which knows how sure it was.

    Raises:
        SystemExit: It has not.
    """
    from edgeagent.agent.confidence import confidence
    from edgeagent.report.load import load_run

    records = {(one.paradigm, one.task_id, one.repetition): one for one in load_run(folder).tasks}
    answers = []
    for (paradigm, task, repetition), escalated in records.items():
        pair = [records.get((name, task, repetition)) for name in (first, to)]
        if paradigm != "escalate" or pair[0] is None or pair[1] is None:
            continue
        sure = confidence(span for span in escalated.spans if span.logprob is not None)
        reasons = [one.text for one in escalated.outcome.steps if one.kind.value == "escalation"]
        answers.append(
            Answered(
                task=task,
                confidence=sure,
                doubted=any(not text.startswith("confidence ") for text in reasons),
                first_solved=pair[0].solved,
                stronger_solved=pair[1].solved,
                # What was not asked first cost nothing.
                first_s=pair[0].spans[0].duration_ns / 1e9 if sure is not None else 0.0,
                stronger_s=pair[1].spans[0].duration_ns / 1e9,
            )
        )
    if not answers:
        sys.exit(f"{folder} has no tasks that {first}, {to} and escalate answered.")
    return answers


def main() -> None:
    """Answer or read, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", nargs="?", help="the model that answers first")
    parser.add_argument("--stronger", help="the model that is asked again; default: the same")
    parser.add_argument("--first", default="base", help="paradigm that answers first")
    parser.add_argument("--to", default="single", help="paradigm that is asked again")
    parser.add_argument("--suite", default="core")
    parser.add_argument("--every", type=int, default=1, help="take every n-th task only")
    parser.add_argument("--out", type=Path, help="write the answers there")
    parser.add_argument("--read", type=Path, help="read answers instead of asking")
    parser.add_argument("--run", type=Path, help="take the answers of a profile's run folder")
    arguments = parser.parse_args()
    if arguments.read is not None:
        lines = arguments.read.read_text(encoding="utf-8").splitlines()
        answers = [Answered(**json.loads(line)) for line in lines if line.strip()]
    elif arguments.run is not None:
        answers = answers_of_run(arguments.run, arguments.first, arguments.to)
    elif arguments.package:
        answers = answer_live(arguments)
    else:
        parser.error("name a package, or --read or --run")
    if arguments.out is not None:
        text = "".join(f"{json.dumps(asdict(one))}\n" for one in answers)
        arguments.out.write_text(text, encoding="utf-8")
    print("\n".join(table(answers)))
    print(json.dumps(asdict(best(effect(answers, threshold) for threshold in THRESHOLDS))))


if __name__ == "__main__":
    main()
