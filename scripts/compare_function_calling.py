"""Does a model call functions better in its own format, held by a grammar?

Asks questions of the Berkeley function-calling leaderboard twice: in the model's native format with
a grammar, and with the same instructions and the functions as JSON in the prompt, the reply a free
text. Both answers come from the same weights, without sampling, in one turn and without fallback.
Grounding (docs/agents.md) acts through the grammar, so `--no-grounding` tells what it adds.
Solved questions are judged by the benchmark's own checker and compared in pairs.

    python scripts/compare_function_calling.py qwen2.5-coder-0.5b-instruct --out calls.jsonl

Needs `pip install --no-deps bfcl-eval`. Every answer is on disk before the next question is asked:
the same command goes on where it was interrupted, also with a larger `--limit`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeagent.agent.functions import function_agent
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop, Limits
from edgeagent.agent.task import Silent, TaskRun
from edgeagent.clock import to_seconds
from edgeagent.config.run import Budget
from edgeagent.config.suite import FunctionSpec, TaskSpec
from edgeagent.engine.protocol import Engine
from edgeagent.errors import INTERRUPTED_EXIT_CODE, EdgeAgentError, RunDataError
from edgeagent.export.resolve import ensure_package
from edgeagent.profiling.checks import score
from edgeagent.profiling.engine_for import engine_config_for
from edgeagent.profiling.suites import open_suite
from edgeagent.profiling.workbench import load_engine
from edgeagent.record import jsonl
from edgeagent.record.base import Record
from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind
from edgeagent.record.spans import SpanKind
from edgeagent.report import format as fmt
from edgeagent.report.interval import Difference
from edgeagent.report.metrics import tokens_of
from edgeagent.report.stats import paired_difference, wilson_interval

_ROLE = "caller"
CATEGORIES = "simple_python,irrelevance"


@dataclass(frozen=True)
class Arm:
    """One way of asking.

    Attributes:
        name: What it is called.
        native: Whether tools are shown and calls written as the model learned it.
        constrained: Whether a grammar holds the turn.
    """

    name: str
    native: bool
    constrained: bool


ARMS = {
    arm.name: arm
    for arm in (
        Arm("native+grammar", native=True, constrained=True),
        Arm("plain", native=False, constrained=False),
        Arm("native", native=True, constrained=False),
        Arm("plain+grammar", native=False, constrained=True),
    )
}
"""The first two are compared unless others are asked for; the last two tell which part helps."""


class Answer(Record):
    """One question asked in one way: a line of the file.

    Attributes:
        setting: What answers of one file share; a file never mixes models or versions.
        arm: Name of the arm.
        task_id: The question.
        category: Its category.
        text: What the model wrote.
        solved: The checker's verdict.
        failure: Why the turn could not be used, `None` if it could.
        malformed: Whether it was meant as a call and could not be read.
        calls: Calls that were read from it.
        unfit: Calls of these that name no function, lack an argument or have one too many.
        tokens_in: Prompt tokens, and the part that was cached.
        cached: See `tokens_in`.
        out: Generated tokens, and the part that the grammar left no choice about.
        forced: See `out`.
        seconds: Length of the turn.
    """

    setting: dict[str, str]
    arm: str
    task_id: str
    category: str
    text: str
    solved: bool
    failure: FailureMode | None
    malformed: bool
    calls: int
    unfit: int
    tokens_in: int
    cached: int
    out: int
    forced: int
    seconds: float


class _Written(Silent):
    """Keeps what the model writes."""

    def __init__(self) -> None:
        self.text = ""

    def on_text(self, agent: str, text: str) -> None:
        del agent
        self.text += text


class Asker:
    """Asks one question in one way; both ways share the loaded model."""

    def __init__(self, engine: Engine, native_format: str, budget: Budget, arm: Arm) -> None:
        """Prepare; the cache is allocated at the first question."""
        self.arm = arm
        self._budget = budget.model_copy(update={"constrained": arm.constrained})
        self._runtime = Runtime(engine, (), self._budget, native_format if arm.native else "plain")

    def ask(self, task: TaskSpec, setting: Mapping[str, str]) -> Answer:
        """Return what came of one question; what a model does never raises."""
        written = _Written()
        run = TaskRun(
            listener=written,
            limits=Limits.of(self._budget),
            functions=task.function_descriptions(),
        )
        answer, failure = "", None
        with run.recorder.span(SpanKind.ORCHESTRATE, _ROLE, "task"):
            try:
                answer = function_agent(self._runtime, _ROLE, run).run(task.prompt(), run)
            except AgentStop as stop:
                failure = stop.failure
        outcome = Outcome(answer=answer, failure=failure, turns=run.turns, steps=tuple(run.steps))
        calls = [step for step in run.steps if step.kind is StepKind.CALL]
        trace = run.recorder.trace()
        tokens = tokens_of(trace)
        return Answer(
            setting=dict(setting),
            arm=self.arm.name,
            task_id=task.id,
            category=task.category,
            text=written.text,
            solved=score(task, outcome),
            failure=failure,
            # What has no brace was no call: "[]" says in JSON that nothing is called.
            malformed=failure is FailureMode.PROTOCOL_VIOLATION and "{" in written.text,
            calls=len(calls),
            unfit=sum(not fits(call, task.functions) for call in calls),
            tokens_in=tokens.tokens_in,
            cached=tokens.cached,
            out=tokens.out,
            forced=tokens.forced,
            seconds=to_seconds(trace[0].duration_ns),
        )

    def close(self) -> None:
        """Free the cache."""
        self._runtime.close()


def fits(call: Step, functions: Iterable[FunctionSpec]) -> bool:
    """Whether a call names a function and has the arguments that it takes and needs."""
    for function in functions:
        if function.name == call.tool:
            properties = function.parameters.get("properties")
            required = function.parameters.get("required")
            given = set(call.arguments)
            is_closed = function.parameters.get("additionalProperties") is False
            lacks = isinstance(required, list) and not given.issuperset(map(str, required))
            adds = isinstance(properties, dict) and not given <= set(properties)
            return not lacks and not (adds and is_closed)
    return False


@dataclass(frozen=True)
class Compared:
    """Two arms on one category."""

    category: str
    solved: tuple[int, int]
    questions: int
    difference: Difference


def compare(answers: Sequence[Answer], arms: tuple[str, str], category: str) -> Compared | None:
    """Compare the first arm with the second on the questions that both answered."""
    first, second = (
        {
            answer.task_id: float(answer.solved)
            for answer in answers
            if answer.arm == arm and answer.category == category
        }
        for arm in arms
    )
    difference = paired_difference(first, second, higher_is_better=True)
    if difference is None:
        return None
    both = first.keys() & second.keys()
    solved = tuple(round(sum(found[task_id] for task_id in both)) for found in (first, second))
    return Compared(category, (solved[0], solved[1]), len(both), difference)


def show(answers: Sequence[Answer], arms: Sequence[str], categories: Sequence[str]) -> None:
    """Print solved questions per category and arm, what the calls cost, and the differences."""
    print(f"\n{'':<22}" + "".join(f"{arm:>24}" for arm in arms))
    for category in categories:
        cells = []
        for arm in arms:
            found = [one for one in answers if (one.arm, one.category) == (arm, category)]
            solved = sum(one.solved for one in found)
            interval = fmt.percent_interval(wilson_interval(solved, len(found)))
            cells.append(f"{solved}/{len(found)} ({interval})" if found else "-")
        print(f"{category:<22}" + "".join(f"{cell:>24}" for cell in cells))
    by_arm = [[one for one in answers if one.arm == arm] for arm in arms]

    def row(label: str, cell: Callable[[list[Answer]], str]) -> None:
        values = [cell(found) if found else "-" for found in by_arm]
        print(f"{label:<22}" + "".join(f"{value:>24}" for value in values))

    row("answers in words", lambda found: f"{sum(map(_is_answer, found))} of {len(found)}")
    row("malformed calls", lambda found: f"{_sum(found, 'malformed'):.0f} of {len(found)}")
    row("unfit calls", lambda found: f"{_sum(found, 'unfit'):.0f} of {_sum(found, 'calls'):.0f}")
    row("cut off or stuck", lambda found: str(sum(map(_is_stuck, found))))
    for field in ("tokens_in", "cached", "out", "forced", "seconds"):
        row(f"{field.replace('_', ' ')}, mean", partial(_mean, field))
    for other in arms[1:]:
        print(f"\n{arms[0]} against {other}, paired, 95 % bootstrap interval")
        for category in categories:
            pair = compare(answers, (arms[0], other), category)
            if pair is not None:
                print(f"  {category:<20}{fmt.difference(pair.difference, 'points', 100)}")


def _is_answer(answer: Answer) -> bool:
    """Whether the model said something: where no function fits, silence and scrap also count."""
    return answer.failure is None and answer.calls == 0


def _is_stuck(answer: Answer) -> bool:
    return answer.failure not in {None, FailureMode.PROTOCOL_VIOLATION}


def _mean(field: str, found: Sequence[Answer]) -> str:
    return f"{_sum(found, field) / len(found):.1f}"


def _sum(found: Iterable[Answer], field: str) -> float:
    return sum(float(getattr(one, field)) for one in found)


def read_answers(path: Path, setting: Mapping[str, str]) -> list[Answer]:
    """Return the answers that are there; a line that was torn by an interruption is cut off.

    Raises:
        RunDataError: The file holds answers of something else.
    """
    if not path.is_file():
        return []
    jsonl.truncate_torn_tail(path)
    answers = list(jsonl.read(path, Answer))
    for answer in answers:
        if answer.setting != setting:
            differing = [key for key, value in setting.items() if answer.setting.get(key) != value]
            raise RunDataError(
                f"{path} holds answers of other settings ({', '.join(differing)} differ); choose "
                "another file with --out."
            )
    return answers


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, compare, and return the exit status."""
    options = _parse(arguments)
    try:
        return _run(options)
    except EdgeAgentError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"\ninterrupted; answers are kept in {options.out}", file=sys.stderr)
        return INTERRUPTED_EXIT_CODE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="Example: compare_function_calling.py model.gguf --limit 50 --out calls.jsonl",
    )
    parser.add_argument("model", help="a recipe's id, a GGUF file or a package folder")
    parser.add_argument("--out", type=Path, required=True, help="file of the answers")
    parser.add_argument("--categories", default=CATEGORIES, help=f"of bfcl (default {CATEGORIES})")
    parser.add_argument("--limit", type=int, help="questions of each category (default: all)")
    parser.add_argument(
        "--arms",
        default="native+grammar,plain",
        help=f"of {', '.join(ARMS)}; the first is compared with the others",
    )
    parser.add_argument("--context", type=int, default=Budget().max_context_len, help="tokens")
    parser.add_argument(
        "--grounding",
        action=argparse.BooleanOptionalAction,
        help="whether only functions that the question speaks of are offered to a grammar "
        "(default: below one billion weights)",
    )
    parser.add_argument("--json", action="store_true", help="print the differences as JSON")
    options = parser.parse_args(arguments)
    options.arms = [name.strip() for name in options.arms.split(",")]
    if unknown := [name for name in options.arms if name not in ARMS]:
        parser.error(f"there is no arm {unknown[0]!r}; choose from {', '.join(ARMS)}")
    if len(set(options.arms)) < len(options.arms):
        parser.error("an arm is named twice")
    if options.limit is not None and options.limit < 1:
        parser.error("--limit needs at least 1")
    return options


def _run(options: argparse.Namespace) -> int:
    categories = [name.strip() for name in options.categories.split(",")]
    draw = "" if options.limit is None else f"@{options.limit}"
    suite = open_suite(f"bfcl:{','.join(f'{name}{draw}' for name in categories)}")
    package = ensure_package(options.model)
    manifest = package.manifest
    limits = Budget(max_context_len=options.context, grounding=options.grounding)
    budget = limits.for_model(manifest.parameters)
    setting = {
        "package_sha256": package.sha256,
        "questions": f"bfcl-eval {suite.spec.version}",
        "native_format": manifest.tool_call_format,
        "context": str(options.context),
        "grounding": str(budget.grounding),
    }
    answers = read_answers(options.out, setting)
    done = {(answer.arm, answer.task_id) for answer in answers}
    engine = load_engine(package.folder, engine_config_for(package).config)
    askers = [Asker(engine, manifest.tool_call_format, budget, ARMS[name]) for name in options.arms]
    total = len(suite.spec.task) * len(askers)
    try:
        for index, task in enumerate(suite.spec.task):
            # In turns, so that whatever the machine does meanwhile meets all arms alike.
            for asker in askers if index % 2 == 0 else reversed(askers):
                if (asker.arm.name, task.id) not in done:
                    answers.append(asker.ask(task, setting))
                    jsonl.append(options.out, answers[-1])
                    _progress(len(answers), total, task.id)
    finally:
        for asker in askers:
            asker.close()
        engine.close()
    asked = {task.id for task in suite.spec.task}
    answers = [one for one in answers if one.task_id in asked and one.arm in options.arms]
    if options.json:
        print(json.dumps(as_json(answers, options.arms, categories), indent=2))
    else:
        print(f"{manifest.model_id}, {setting['questions']}, {options.out}")
        show(answers, options.arms, categories)
    return 0


def as_json(
    answers: Sequence[Answer], arms: Sequence[str], categories: Sequence[str]
) -> list[dict[str, object]]:
    """Return the comparisons of the first arm with the others."""
    return [
        {
            "category": category,
            "arm": arms[0],
            "against": other,
            "questions": found.questions,
            "solved": found.solved,
            "difference": found.difference.model_dump(mode="json"),
            "malformed": [
                sum(one.malformed for one in answers if (one.arm, one.category) == (arm, category))
                for arm in (arms[0], other)
            ],
        }
        for other in arms[1:]
        for category in categories
        if (found := compare(answers, (arms[0], other), category)) is not None
    ]


def _progress(done: int, total: int, task_id: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total}: {task_id:<40}", end="", file=sys.stderr, flush=True)
    elif done % 20 == 0:
        print(f"{done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
