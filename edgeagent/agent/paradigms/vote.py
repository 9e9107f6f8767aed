"""Self-consistency: several samples of one agent, decoded together; what most of them say counts.

The first sample is greedy, so that a vote is never worse informed than a single agent; the others
are drawn at a temperature. Samples share the prefix, what they agree on, and the results of equal
calls. The vote ends as soon as what is left cannot change it.

Self-consistency improves chain of thought reasoning in language models, arXiv:2203.11171.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeagent.agent.ballots import ballot, calls_ballot, elected, is_decided
from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.protocol import Turn
from edgeagent.agent.functions import calls_text, function_agent
from edgeagent.agent.groups import Rows
from edgeagent.agent.loop import Agent, Role
from edgeagent.agent.paradigms.base import INSTRUCTIONS, Base
from edgeagent.agent.paradigms.fallback import run_with_fallback
from edgeagent.agent.roles import SINGLE
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.together import Manner, Result, run_together
from edgeagent.agent.tools.shared import SharedTool
from edgeagent.agent.turns import Dialogue, TurnRequest
from edgeagent.engine.protocol import DecodeParams
from edgeagent.errors import ConfigError
from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind
from edgeagent.record.spans import SpanKind

TEMPERATURE = 0.7
"""Of the samples behind the first one, as in the paper's experiments; a choice."""

TOP_P = 0.95


class Vote:
    """See the module."""

    name = "vote"

    def __init__(
        self,
        runtime: Runtime,
        k: int = 4,
        *,
        temperature: float = TEMPERATURE,
        role: Role = SINGLE,
        name: str = "vote",
    ) -> None:
        """Prepare; nothing is prefilled yet.

        Args:
            runtime: What paradigms share.
            k: Number of samples.
            temperature: Of the samples behind the first one.
            role: Who the agent is.
            name: The paradigm's name.

        Raises:
            ConfigError: There are no samples.
        """
        if k < 1:
            raise ConfigError(f"A vote of {k} samples decides nothing; take one at least.")
        self.name = name
        self._runtime = runtime.with_model(role.model)
        self._role = role
        self._temperature = temperature
        # Rows of their own for each prefix, so that both stay cached.
        self._plain_name = f"{name} plain"
        self._base = Base(runtime, model=role.model)
        self._tools = tuple(SharedTool(tool) for tool in runtime.select_tools(role.tools))
        self._names = tuple(f"{role.name} {number + 1}" for number in range(k))
        self._agents = [
            Agent(runtime, replace(role, name=sample), self._tools) for sample in self._names
        ]

    def warm_up(self) -> None:
        """Prefill the prefix of the agent and that of the base model, in the first sample's row.

        The other rows copy it with the first question.
        """
        prefix = self._agents[0].prefix
        self._rows(self.name).conversations[0].warm_up(
            TurnRequest(prefix.messages, prefix.tools, variables=prefix.variables)
        )
        if self._agents[0].model.grounded:
            self._rows(self._plain_name).conversations[0].warm_up(
                TurnRequest(_plain_opening("")[:1])
            )
        self._base.warm_up()

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Let the samples vote, else fall back to the base answer."""
        return run_with_fallback(
            self.name, lambda: self._attempt(question, task), question, task, self._base
        )

    def _attempt(self, question: str, task: TaskRun) -> str:
        for tool in self._tools:
            tool.begin()
        # Samples keep their steps to themselves: the one that is elected tells how it came about.
        parts = [_part_of(task) for _ in self._names]
        samples = list(zip(self._names, parts, strict=True))
        if task.functions:
            callers = [function_agent(self._runtime, name, part) for name, part in samples]
            ballots = _Ballots(calls_ballot, question, self._read_calls)
            dialogues = [
                caller.dialogue(question, part) for caller, part in zip(callers, parts, strict=True)
            ]
            return self._elect(self._rows(self.name), dialogues, parts, ballots, task)
        if self._agents[0].has_work(question):
            ballots = _Ballots(ballot, question, self._read_answer)
            dialogues = [
                agent.dialogue(question, part)
                for agent, part in zip(self._agents, parts, strict=True)
            ]
            return self._elect(self._rows(self.name), dialogues, parts, ballots, task)
        # No tool has anything to work on: a very small model answers best without their examples.
        ballots = _Ballots(ballot, question, str.strip)
        dialogues = [self._plain(name, question, part) for name, part in samples]
        return self._elect(self._rows(self._plain_name), dialogues, parts, ballots, task)

    def _elect(
        self,
        rows: Rows,
        dialogues: Sequence[Dialogue],
        parts: Sequence[TaskRun],
        ballots: _Ballots,
        task: TaskRun,
    ) -> str:
        """Run the samples and return the answer of the first one of those that agree most."""

        def is_settled(results: Mapping[int, Result]) -> bool:
            undecided = [row for row in range(len(dialogues)) if row not in results]
            return is_decided(ballots.of(results), undecided)

        manner = Manner(
            adjust=self._sampled,
            peek=lambda _row, _request, text: ballots.read(text) or None,
            settled=is_settled,
        )
        with task.recorder.span(SpanKind.ORCHESTRATE, self.name, "samples"):
            results = run_together(
                rows, dict(enumerate(dialogues)), task, name=self.name, manner=manner
            )
        votes = ballots.of(results)
        if not votes:
            row, stop = _stuck(results)
            _tell(parts[row], task)
            raise stop
        winner = elected(votes)
        answer = str(results[winner])
        _tell(parts[winner], task)
        agreed = sum(one == votes[winner] for one in votes.values())
        share = f"{agreed} of {len(votes)} answers agree"
        task.add(Step(agent=self.name, kind=StepKind.THOUGHT, text=share))
        task.add(Step(agent=self.name, kind=StepKind.ANSWER, text=answer))
        task.speaker = self.name
        task.show(self.name, answer)
        return answer

    def _read_answer(self, text: str) -> str:
        turn = self._parsed(text)
        return "" if turn is None or turn.calls else turn.answer

    def _read_calls(self, text: str) -> str:
        turn = self._parsed(text)
        if turn is None:
            return ""
        return calls_text(turn.calls) if turn.calls else turn.answer

    def _parsed(self, text: str) -> Turn | None:
        try:
            return self._agents[0].model.format.parse(text)
        except ValueError:
            return None

    def _plain(self, sample: str, question: str, task: TaskRun) -> Dialogue:
        """Answer as the base model does."""
        messages = _plain_opening(self._agents[0].model.neutralize(question))
        params = DecodeParams(max_new_tokens=self._runtime.budget.max_new_tokens)
        text = yield TurnRequest(messages, params=params)
        answer = text.strip()
        if not answer:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, "the answer is empty")
        task.add(Step(agent=sample, kind=StepKind.ANSWER, text=answer))
        return answer

    def _sampled(self, row: int, params: DecodeParams) -> DecodeParams:
        """Return how a sample is drawn: the first one is greedy."""
        if row == 0:
            return params
        return replace(params, temperature=self._temperature, top_p=TOP_P, seed=row)

    def _rows(self, group: str) -> Rows:
        role = self._role
        return self._runtime.rows(group, self._names, model=role.model, adapter=role.adapter)


def _plain_opening(question: str) -> list[Message]:
    return [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": question},
    ]


@dataclass(frozen=True, slots=True)
class _Ballots:
    """How answers to a question are counted.

    Attributes:
        count: Returns what an answer to the question votes for.
        question: The question.
        read: Returns the answer that a turn is, empty if it is none.
    """

    count: Callable[[str, str], Hashable]
    question: str
    read: Callable[[str], str]

    def of(self, results: Mapping[int, Result]) -> dict[int, Hashable]:
        """Return the votes of those that have an answer; who is stuck abstains."""
        return {
            row: self.count(result, self.question)
            for row, result in results.items()
            if isinstance(result, str) and result.strip()
        }


def _part_of(task: TaskRun) -> TaskRun:
    """Return a task of the same spans and limits with steps of its own, which nobody is shown."""
    part = TaskRun(limits=task.limits, functions=task.functions)
    part.recorder = task.recorder
    return part


def _tell(part: TaskRun, task: TaskRun) -> None:
    for step in part.steps:
        task.add(step)


def _stuck(results: Mapping[int, Result]) -> tuple[int, AgentStop]:
    """Return a sample that is stuck and why: the first one with something to show, if any."""
    stops = {row: stop for row, stop in sorted(results.items()) if isinstance(stop, AgentStop)}
    if not stops:
        return 0, AgentStop(FailureMode.PROTOCOL_VIOLATION, "the answer is empty")
    row = next((row for row, stop in stops.items() if stop.best), min(stops))
    return row, stops[row]
