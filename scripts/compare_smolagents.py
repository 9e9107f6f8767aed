r"""Compare `single` with smolagents' CodeAgent on the same weights and the same tasks.

    .venv/bin/python scripts/compare_smolagents.py --gguf FILE.gguf --package DIR \
        --other-python PATH/TO/python --tasks 6 --out comparison.json

Run it with an interpreter that has edgeagent. `--other-python` is one that has smolagents and
llama-cpp-python, which are no dependencies of this project:

    python -m venv other && other/bin/pip install smolagents llama-cpp-python

(llama-cpp-python compiles for about a quarter of an hour.) Make the package with
`edgeagent export FILE.gguf --out DIR`.

Both keep their model loaded, each in a process of its own, with the same number of threads, and
take turns task by task; only one computes at a time. The tasks are the first arithmetic ones of
the core suite, and its checker judges both. smolagents has its own prompts, its Python interpreter
as tool, greedy decoding, and as many steps as an agent of ours has turns. One question is asked
before the first counted one, so both start with their prefixes cached. Nothing uses the network.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_process import ComparisonError, ModelProcess, model_process

ROOT = Path(__file__).resolve().parent.parent
WORKER = Path(__file__).resolve().with_name("compare_smolagents_worker.py")
SIDES = ("edgeagent", "smolagents")
WARM_UP = "How much is 21 plus 34?"
MAX_STEPS = 5


@dataclass(frozen=True)
class Result:
    """One task of one side.

    Attributes:
        side: Who answered.
        task_id: The task.
        solved: Whether the suite's checker accepts the answer.
        seconds: Wall time from question to answer.
        prompt_tokens: Of all turns, cached or not.
        generated_tokens: Of all turns.
        turns: Calls of the model.
        answer: What was answered, shortened.
        error: Why there is no answer, else empty.
    """

    side: str
    task_id: str
    solved: bool
    seconds: float
    prompt_tokens: int
    generated_tokens: int
    turns: int
    answer: str
    error: str


@dataclass(frozen=True)
class Side:
    """One side over all tasks: solved ones, and means per task."""

    solved: int
    tasks: int
    seconds: float
    prompt_tokens: float
    generated_tokens: float
    turns: float


def summarize(results: Sequence[Result], side: str) -> Side:
    """Return what one side came to."""
    own = [result for result in results if result.side == side]
    return Side(
        solved=sum(result.solved for result in own),
        tasks=len(own),
        seconds=statistics.fmean(result.seconds for result in own),
        prompt_tokens=statistics.fmean(result.prompt_tokens for result in own),
        generated_tokens=statistics.fmean(result.generated_tokens for result in own),
        turns=statistics.fmean(result.turns for result in own),
    )


def table(sides: dict[str, Side]) -> str:
    """Return both sides and their ratios as a Markdown table."""
    ours, theirs = (sides[name] for name in SIDES)
    rows = [
        ("solved", f"{ours.solved}/{ours.tasks}", f"{theirs.solved}/{theirs.tasks}", ""),
        *(
            (label, f"{a:,.{digits}f}", f"{b:,.{digits}f}", f"{b / a:,.1f}" if a else "")
            for label, a, b, digits in (
                ("seconds per task", ours.seconds, theirs.seconds, 2),
                ("prompt tokens per task", ours.prompt_tokens, theirs.prompt_tokens, 0),
                ("generated tokens per task", ours.generated_tokens, theirs.generated_tokens, 0),
                ("model calls per task", ours.turns, theirs.turns, 1),
            )
        ),
    ]
    head = ("", "edgeagent single", "smolagents CodeAgent", "ratio")
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def order_of(index: int) -> tuple[str, ...]:
    """Return who goes first: the order flips with every task, so a steady drift cancels."""
    return SIDES if index % 2 == 0 else SIDES[::-1]


def started(
    name: str, python: Path, model: Path, threads: int
) -> AbstractContextManager[ModelProcess]:
    """Return a worker that is started on entry and ended on exit."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    if name == "edgeagent":
        environment["PYTHONPATH"] = str(ROOT)
    command = [python, "-P", WORKER, name, model, threads, MAX_STEPS]
    return model_process(name, command, environment)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return all results and what they come to."""
    sys.path.insert(0, str(ROOT))
    from edgeagent.config.suites import load_suite
    from edgeagent.profiling.checks import score
    from edgeagent.record.outcome import Outcome

    suite = load_suite("core")
    tasks = [task for task in suite.spec.task if task.category == "arithmetic"][: args.tasks]
    results: list[Result] = []
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(started(name, python, model, args.threads))
            for name, python, model in (
                ("edgeagent", Path(sys.executable), args.package),
                ("smolagents", args.other_python, args.gguf),
            )
        }
        for name in SIDES:
            workers[name].ask({"question": WARM_UP})
        for index, task in enumerate(tasks):
            for name in order_of(index):
                reply = workers[name].ask({"question": task.prompt()})
                answer = str(reply.pop("answer"))
                result = Result(
                    side=name,
                    task_id=task.id,
                    solved=score(task, Outcome(answer=answer)),
                    answer=answer[:200],
                    **reply,
                )
                results.append(result)
                print(
                    f"{task.id} {name}: {'solved' if result.solved else 'not solved'}, "
                    f"{result.seconds:.1f} s, {result.prompt_tokens} prompt tokens, "
                    f"{result.answer[:60]!r}",
                    file=sys.stderr,
                )
        versions = {name: worker.versions for name, worker in workers.items()}
    return {
        "suite": f"{suite.spec.name}@{suite.spec.version}",
        "suite_sha256": suite.sha256,
        "gguf": args.gguf.name,
        "threads": args.threads,
        "versions": versions,
        "sides": {name: asdict(summarize(results, name)) for name in SIDES},
        "results": [asdict(result) for result in results],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, write JSON, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gguf", type=Path, required=True, help="weights for llama.cpp")
    parser.add_argument("--package", type=Path, required=True, help="package of these weights")
    parser.add_argument("--other-python", type=Path, required=True, help="Python with smolagents")
    parser.add_argument("--tasks", type=int, default=6, help="arithmetic tasks (default 6)")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--out", type=Path, help="JSON file of all results")
    args = parser.parse_args(argv)
    if args.tasks < 1 or args.threads < 1:
        parser.error("--tasks and --threads are at least 1")
    for path in (args.gguf, args.package, args.other_python):
        if not path.exists():
            parser.error(f"{path} does not exist")
    try:
        found = run(args)
    except ComparisonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.out is not None:
        args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table({name: Side(**side) for name, side in found["sides"].items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
