"""One task of one agent, turn by turn: what may come next, what was called, when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeagent.agent.calls import Called, CallLog, run_calls
from edgeagent.agent.chat.template import Message
from edgeagent.agent.compaction import Exchange, compacted
from edgeagent.agent.formats.protocol import Example, Observation, Turn, TurnRules
from edgeagent.agent.grounding import (
    best_sentence,
    is_empty,
    lacks_figure,
    quotable,
    says_nothing,
    unstated,
    unstated_figures,
)
from edgeagent.agent.honesty import borrowed, not_found, refusal
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.protocol import Offer, offers
from edgeagent.agent.turns import Dialogue, TurnRequest, nothing_yet, whole_text
from edgeagent.engine.protocol import DecodeParams
from edgeagent.record.outcome import FailureMode, Step, StepKind

if TYPE_CHECKING:
    from edgeagent.agent.loop import Agent

MAX_REPEATED_CALLS = 1
"""How often an agent may repeat a call and be told so; one more and it has to answer."""


LEAD_CHARS = 200
"""Longest text before the calls of a turn, for formats that have that."""


class Talk:
    """See the module. An agent that is stuck is made to answer before anybody gives up on it."""

    def __init__(self, agent: Agent, runtime: Runtime, question: str, task: TaskRun) -> None:
        """Begin; the question is harmless already."""
        self._agent = agent
        self._role = agent.role
        self._model = agent.model
        self._budget = runtime.budget
        self._question = question
        self._task = task
        self._recalled: tuple[Example, ...] = agent.recall(question)
        self._opening = agent.opening(question, self._recalled)
        if self._recalled:
            questions = [example.question for example in self._recalled]
            self._add(StepKind.RECALL, "\n".join(questions))
        self._exchanges: list[Exchange] = []
        self._log = CallLog()
        self._quotes: tuple[str, ...] = ()
        self._must_answer = False
        """Set when the agent is stuck: nothing but an answer is left."""

    def turns(self) -> Dialogue:
        """Return the turns, see `turns.Dialogue`.

        Raises:
            AgentStop: It is stuck, although it was made to answer where it had something to say.
        """
        try:
            return (yield from self._turns())
        except AgentStop as stop:
            raise AgentStop(stop.failure, stop.reason, stop.best or self._log.best) from stop

    def _turns(self) -> Dialogue:
        for index in range(self._budget.max_turns):
            if index and index == self._budget.max_turns - 1 and self._log.results:
                self._must_answer = True
            rules = self._rules(first=index == 0)
            text = yield from self._generate(rules)
            turn = self._parse(text)
            if turn is not None and (copied := self._copied(turn)):
                self._forget(copied)
                text = yield from self._generate(rules)
                turn = self._parse(text)
            if turn is not None and self._is_made_up(turn, rules):
                text = yield from self._generate(replace(rules, may_answer=False))
                turn = self._parse(text)
            if turn is None:
                continue
            if not turn.calls:
                return self._answered(turn.answer)
            self._called(text, turn)
        raise AgentStop(FailureMode.TURN_LIMIT, f"{self._budget.max_turns} turns brought no answer")

    def _is_made_up(self, turn: Turn, rules: TurnRules) -> bool:
        """Whether a grounded agent knows nothing or makes it up, and asks no tool that has work."""
        return (
            self._model.grounded
            and bool(rules.tools)
            and not self._log
            and not turn.calls
            and (unstated(turn.answer, [self._question]) or is_empty(turn.answer, self._question))
        )

    def _copied(self, turn: Turn) -> frozenset[str]:
        """Return the numbers and names of a turn that only remembered examples have."""
        arguments = (str(value) for call in turn.calls for value in call.arguments.values())
        said = "\n".join((turn.answer, *arguments))
        return borrowed(said, self._question, self._log.results, self._recalled)

    def _forget(self, copied: frozenset[str]) -> None:
        """Go on without remembered examples."""
        self._add(StepKind.RECALL, f"left out, copied from: {', '.join(sorted(copied))}")
        self._recalled = ()
        self._opening = self._agent.opening(self._question)

    def _may_be_taken_back(self) -> bool:
        """Whether the next answer could be refused or asked for again, and so is not streamed."""
        if self._recalled or any(one.failed for one in self._log.findings[-1:]):
            return True
        return self._model.grounded and bool(self._agent.tools)

    def _rules(self, *, first: bool) -> TurnRules:
        """Return what the next turn may be."""
        results = tuple(self._log.results)
        offered = self._offered(results)
        opened = self._opened(offered) if results else ()
        may_answer = not opened and not (first and self._role.must_call_first)
        tools = () if self._must_answer else opened or offered
        grounded = self._model.grounded
        may_answer = self._must_answer or may_answer
        return TurnRules(
            tools=tuple(tools),
            may_answer=may_answer,
            max_calls=1 if grounded else self._budget.max_calls_per_turn,
            has_result=bool(self._log),
            quotes=self._quotes,
            max_thinking_tokens=0 if self._must_answer else self._budget.max_thinking_tokens,
            lead_chars=LEAD_CHARS if may_answer and not grounded else 0,
        )

    def _offered(self, results: Sequence[str]) -> tuple[Offer, ...]:
        """Return what may be called now; a grounded agent calls each tool once."""
        grounded = self._model.grounded
        tools = [
            tool
            for tool in self._agent.tools
            if tool.is_delegate or not grounded or not self._log.used(tool.name)
        ]
        return offers(tools, self._question, results, narrow=grounded)

    def _opened(self, offered: Sequence[Offer]) -> tuple[Offer, ...]:
        """Return the work that results opened, to be done before there is an answer.

        Very small models stop at the first result: they look a price up and forget to multiply.
        """
        if not self._model.grounded:
            return ()
        delegates = {tool.name for tool in self._agent.tools if tool.is_delegate}
        before = {
            offer.name
            for offer in offers(self._agent.tools, self._question, (), narrow=True)
            if offer.name not in delegates
        }
        return tuple(offer for offer in offered if offer.name not in before)

    def _generate(self, rules: TurnRules) -> Dialogue:
        """Ask for a turn; if the context is full, shorten what was seen and ask again."""
        text_format = self._model.format
        params = DecodeParams(
            max_new_tokens=self._budget.max_new_tokens + rules.max_thinking_tokens,
            grammar=text_format.grammar(rules) if self._budget.constrained else None,
        )
        while True:
            request = TurnRequest(
                self._messages(),
                self._agent.prefix.tools,
                params,
                self._agent.prefix.variables,
                nothing_yet
                if self._may_be_taken_back()
                else text_format.answer_part
                if self._agent.tools
                else whole_text,
                rules.lead_chars if rules.tools else 0,
            )
            try:
                return (yield request)
            except AgentStop as stop:
                if stop.failure is not FailureMode.CONTEXT_EXCEEDED:
                    raise
                shorter = compacted(self._exchanges)
                if shorter is None:
                    raise
                self._exchanges = shorter

    def _messages(self) -> list[Message]:
        text_format = self._model.format
        messages = list(self._opening)
        for exchange in self._exchanges:
            messages.append(text_format.reply(exchange.reply))
            messages += text_format.observations(exchange.observations, self._question)
        return messages

    def _parse(self, text: str) -> Turn | None:
        """Take a turn apart; one that cannot be read leaves the agent one more try, to answer."""
        try:
            turn = self._model.format.parse(text)
            if not turn.calls and not turn.answer:
                raise ValueError("the answer is empty")
        except ValueError as error:
            if self._must_answer or not self._log:
                raise AgentStop(FailureMode.PROTOCOL_VIOLATION, str(error)) from error
            self._must_answer = True
            return None
        if turn.thought:
            self._add(StepKind.THOUGHT, turn.thought)
        return turn

    def _called(self, text: str, turn: Turn) -> None:
        """Run the calls of a turn and remember what they brought."""
        known = [self._log.known(call) for call in turn.calls]
        fresh = [call for call, found in zip(turn.calls, known, strict=True) if found is None]
        new = iter(run_calls(fresh, self._agent, self._budget, self._task))
        called: list[Called] = []
        for call, found in zip(turn.calls, known, strict=True):
            if found is None:
                called.append(self._log.add(next(new)))
            else:
                self._log.repeated += 1
                note = f"{found.shown} (already known; answer now)"
                called.append(Called(call, note, found.result, failed=found.failed))
        if self._log.repeated > MAX_REPEATED_CALLS:
            if not self._log.results:
                raise AgentStop(
                    FailureMode.REPEATED_CALL, f"{turn.calls[0].tool} was called again and again"
                )
            self._must_answer = True
        self._exchanges.append(
            Exchange(text, tuple(Observation(one.call, one.shown) for one in called))
        )
        last = called[-1]
        if self._model.grounded and not last.failed:
            self._quotes = (last.result,) if last.delegated else quotable(last.result)

    def _answered(self, answer: str) -> str:
        """Return the answer, or say that there is none if it was made up after a failure."""
        grounded = self._model.grounded
        refused = refusal(answer, self._question, self._log.findings, grounded=grounded)
        answer = refused or answer
        if grounded and not refused:
            answer = self._as_found(answer)
        if refused or self._may_be_taken_back():
            self._task.show(self._role.name, answer)
        self._add(StepKind.ANSWER, answer)
        return answer

    def _as_found(self, answer: str) -> str:
        """Return what was found instead of an answer that says nothing, or says what was not."""
        results = self._log.results
        if not results:
            return answer
        if says_nothing(answer, self._question):
            return best_sentence(results[-1], self._question) or answer
        if lacks_figure(self._question, results) or unstated_figures(
            answer, [self._question, *results]
        ):
            return not_found(self._log.findings[-1].tool)
        return answer

    def _add(self, kind: StepKind, text: str) -> None:
        self._task.add(Step(agent=self._role.name, kind=kind, text=text))
