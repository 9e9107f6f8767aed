"""Self-consistency: several samples of one agent, decoded together; what most of them say counts.

The first sample is greedy, so that a vote is never worse informed than a single agent; the others
are drawn at a temperature. Samples share the prefix, what they agree on, and the results of equal
calls. The vote ends as soon as what is left cannot change it.

Self-consistency improves chain of thought reasoning in language models, arXiv:2203.11171.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial

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

_PLAIN = "plain"
"""Its rows keep the prefix of the base model, those of the paradigm's own name the agent's."""


class Vote:
    """See the module."""

    name = "vote"

    def __init__(
        self, runtime: Runtime, k: int = 4, role: Role = SINGLE, name: str = "vote"
    ) -> None:
        """Prepare; nothing is prefilled yet.

        Args:
            runtime: What paradigms share.
            k: Number of samples.
            role: Who the agent is.
            name: The paradigm's name.

        Raises:
            ConfigError: There are no samples.
        """
        if k < 1:
            raise ConfigError(f"A vote of {k} samples decides nothing; take one at least.")
        self.name = name
        self._runtime = runtime
        self._role = role
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
            self._rows(_PLAIN).conversations[0].warm_up(TurnRequest(_plain_opening("")[:1]))
        self._base.warm_up()

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Let the samples vote, else fall back to the base answer."""
        return run_with_fallback(
            self.name, lambda: self._attempt(question, task), question, task, self._base
        )

    def _attempt(self, question: str, task: TaskRun) -> str:
        for tool in self._tools:
            tool.begin()
        if task.functions:
            callers = [function_agent(self._runtime, sample, task) for sample in self._names]
            return self._elect(
                self._rows(self.name),
                [caller.dialogue(question, task) for caller in callers],
                task,
                count=partial(calls_ballot, question=question),
                read=self._read_calls,
            )
        if self._agents[0].has_work(question):
            return self._elect(
                self._rows(self.name),
                [agent.dialogue(question, task) for agent in self._agents],
                task,
                count=partial(ballot, question=question),
                read=self._read_answer,
            )
        # No tool has anything to work on: a very small model answers best without their examples.
        return self._elect(
            self._rows(_PLAIN),
            [self._plain(sample, question, task) for sample in self._names],
            task,
            count=partial(ballot, question=question),
            read=str.strip,
        )

    def _elect(
        self,
        rows: Rows,
        dialogues: Sequence[Dialogue],
        task: TaskRun,
        *,
        count: Callable[[str], Hashable],
        read: Callable[[str], str],
    ) -> str:
        """Run the samples and return the answer of the first one of those that agree most.

        Args:
            rows: Where they are.
            dialogues: The samples.
            task: The task.
            count: Returns what an answer votes for.
            read: Returns the answer that a turn is, empty if it is none.
        """

        def is_settled(results: Mapping[int, Result]) -> bool:
            undecided = [row for row in range(len(dialogues)) if row not in results]
            return is_decided(_ballots(results, count), undecided)

        with task.recorder.span(SpanKind.ORCHESTRATE, self.name, "samples"):
            results = run_together(
                rows,
                dict(enumerate(dialogues)),
                task,
                name=self.name,
                manner=Manner(
                    adjust=_sampled,
                    peek=lambda _row, _request, text: read(text) or None,
                    settled=is_settled,
                ),
            )
        ballots = _ballots(results, count)
        if not ballots:
            raise _stuck(results)
        winner = elected(ballots)
        votes = sum(one == ballots[winner] for one in ballots.values())
        answer = str(results[winner])
        share = f"{votes} of {len(ballots)} answers agree"
        task.add(Step(agent=self.name, kind=StepKind.THOUGHT, text=share))
        task.add(Step(agent=self.name, kind=StepKind.ANSWER, text=answer))
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

    def _rows(self, group: str) -> Rows:
        role = self._role
        return self._runtime.rows(group, self._names, model=role.model, adapter=role.adapter)


def _plain_opening(question: str) -> list[Message]:
    return [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": question},
    ]


def _sampled(row: int, params: DecodeParams) -> DecodeParams:
    """The first sample is greedy."""
    if row == 0:
        return params
    return replace(params, temperature=TEMPERATURE, top_p=TOP_P, seed=row)


def _ballots(
    results: Mapping[int, Result], count: Callable[[str], Hashable]
) -> dict[int, Hashable]:
    """Return the votes of those that have an answer; who is stuck abstains."""
    return {
        row: count(result)
        for row, result in results.items()
        if isinstance(result, str) and result.strip()
    }


def _stuck(results: Mapping[int, Result]) -> AgentStop:
    """Return why there is no answer: what stopped the first sample, with the best there is."""
    stops = [results[row] for row in sorted(results)]
    reasons = [stop for stop in stops if isinstance(stop, AgentStop)]
    if not reasons:
        return AgentStop(FailureMode.PROTOCOL_VIOLATION, "the answer is empty")
    best = next((stop.best for stop in reasons if stop.best), "")
    return AgentStop(reasons[0].failure, reasons[0].reason, best)
