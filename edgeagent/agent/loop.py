"""The agent loop that paradigms share: think, call a tool, observe, until there is an answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.protocol import Call, Example, Prefix
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.protocol import Offer, Tool, offers
from edgeagent.agent.tools.sentences import sentences
from edgeagent.engine.protocol import DecodeParams
from edgeagent.errors import EdgeAgentError, ToolError
from edgeagent.record.outcome import FailureMode, Step, StepKind
from edgeagent.record.spans import SpanKind

_ERROR = "Error: "

MAX_REPEATED_CALLS = 1
"""How often an agent may repeat a call and be told so; one more and it is stuck."""


@dataclass(frozen=True)
class Role:
    """Who an agent is.

    Attributes:
        name: Shown in traces and spans.
        instructions: The system prompt.
        tools: Names of the tools it may call.
        examples: Worked examples, for formats that need them.
        must_call_first: Whether the first turn has to be a call, as for a supervisor.
    """

    name: str
    instructions: str
    tools: tuple[str, ...] = ()
    examples: tuple[Example, ...] = field(default=())
    must_call_first: bool = False


class Agent:
    """A role with its tools and its conversation."""

    def __init__(self, runtime: Runtime, role: Role, tools: Sequence[Tool]) -> None:
        """Prepare; nothing is prefilled yet."""
        self.role = role
        self._runtime = runtime
        self._format = runtime.format
        self._tools = {tool.name: tool for tool in tools}
        self._prefix: Prefix = self._format.prefix(role.instructions, tools, role.examples)

    def warm_up(self) -> None:
        """Put the prefix into the cache, so that the first task does not pay for it."""
        self._runtime.conversation(self.role.name).warm_up(
            self._prefix.messages, self._prefix.tools
        )

    def has_work(self, question: str) -> bool:
        """Whether a tool has something to work on, or that is left to the model."""
        return not self._runtime.grounded or self.is_able(question, ())

    def is_able(self, question: str, results: Sequence[str]) -> bool:
        """Whether its tools, if it has any, have something to work on."""
        tools = tuple(self._tools.values())
        return not tools or bool(offers(tools, question, results, narrow=True))

    def run(self, question: str, task: TaskRun) -> str:
        """Return the agent's answer to the question.

        Raises:
            AgentStop: It is stuck: turns, context or time are used up, it repeats itself, or its
                turn cannot be read.
        """
        with task.recorder.span(SpanKind.ORCHESTRATE, self.role.name, "agent"):
            question = self._runtime.neutralize(question)
            messages = [*self._prefix.messages, self._format.question(question)]
            if self._runtime.grounded and not self._tools:
                return self._plain(messages, task)
            return self._turns(question, messages, task)

    def _plain(self, messages: list[Message], task: TaskRun) -> str:
        """Answer as a chat: without tools a format would only distract."""
        answer = self._generate(messages, task, None).strip()
        if not answer:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, "the answer is empty")
        task.add(Step(agent=self.role.name, kind=StepKind.ANSWER, text=answer))
        return answer

    def _turns(self, question: str, messages: list[Message], task: TaskRun) -> str:
        calls: dict[str, str] = {}
        used: set[str] = set()
        quotes: tuple[str, ...] = ()
        repeated = 0
        for turn_index in range(self._runtime.budget.max_turns):
            offered = self._offered(question, tuple(calls.values()), used)
            opened = self._opened(offered, question) if calls else ()
            may_answer = not opened and (turn_index > 0 or not self.role.must_call_first)
            grammar = self._format.grammar(
                opened or offered, may_answer=may_answer, has_result=bool(calls), quotes=quotes
            )
            text = self._generate(messages, task, grammar)
            call, answer = self._parse(text, task)
            if call is None:
                task.add(Step(agent=self.role.name, kind=StepKind.ANSWER, text=answer))
                return answer
            if call.key() in calls:
                repeated += 1
                if repeated > MAX_REPEATED_CALLS:
                    raise AgentStop(
                        FailureMode.REPEATED_CALL, f"{call.tool} was called again and again"
                    )
                observation = f"{calls[call.key()]} (already known; answer now)"
            else:
                observation = calls[call.key()] = self._observe(call, task)
            used.add(call.tool)
            if self._runtime.grounded and not observation.startswith(_ERROR):
                result = calls[call.key()]
                delegated = self._tools[call.tool].is_delegate
                quotes = (result,) if delegated else sentences(result)
            messages += [self._format.reply(text), self._format.observation(observation, question)]
        raise AgentStop(
            FailureMode.TURN_LIMIT, f"{self._runtime.budget.max_turns} turns brought no answer"
        )

    def _offered(
        self, question: str, results: Sequence[str], used: Collection[str]
    ) -> tuple[Offer, ...]:
        """Return what may be called now; a grounded agent calls each tool once."""
        grounded = self._runtime.grounded
        tools = [
            tool
            for tool in self._tools.values()
            if tool.is_delegate or not grounded or tool.name not in used
        ]
        return offers(tools, question, results, narrow=grounded)

    def _opened(self, offered: Sequence[Offer], question: str) -> tuple[Offer, ...]:
        """Return the work that results opened, to be done before there is an answer.

        Very small models stop at the first result: they look a price up and forget to multiply.
        """
        if not self._runtime.grounded:
            return ()
        before = {
            offer.name
            for offer in offers(tuple(self._tools.values()), question, (), narrow=True)
            if not self._tools[offer.name].is_delegate
        }
        return tuple(offer for offer in offered if offer.name not in before)

    def _generate(self, messages: Sequence[Message], task: TaskRun, grammar: str | None) -> str:
        task.deadline.check()
        task.turns += 1
        params = DecodeParams(max_new_tokens=self._runtime.budget.max_new_tokens, grammar=grammar)
        return self._runtime.conversation(self.role.name).turn(
            messages,
            self._prefix.tools,
            params,
            recorder=task.recorder,
            deadline=task.deadline,
            on_text=task.text_sink(
                self.role.name, self._format.answer_part if grammar else lambda text: text
            ),
        )

    def _parse(self, text: str, task: TaskRun) -> tuple[Call | None, str]:
        try:
            turn = self._format.parse(text)
        except ValueError as error:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, str(error)) from error
        if turn.thought:
            task.add(Step(agent=self.role.name, kind=StepKind.THOUGHT, text=turn.thought))
        if turn.call is None and not turn.answer:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, "the answer is empty")
        return turn.call, turn.answer

    def _observe(self, call: Call, task: TaskRun) -> str:
        """Run a call and return what the model shall see; failures of a tool are observations."""
        tool = self._tools.get(call.tool)
        if tool is None:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, f"there is no tool {call.tool!r}")
        route = tool.is_delegate
        task.add(
            Step(
                agent=self.role.name,
                kind=StepKind.ROUTE if route else StepKind.CALL,
                tool=call.tool,
                arguments=call.arguments,
            )
        )
        kind = SpanKind.ORCHESTRATE if route else SpanKind.TOOL
        with task.recorder.span(kind, self.role.name, call.tool):
            try:
                output = tool.run(call.arguments)
            except ToolError as error:
                output = f"{_ERROR}{error}"
            except (AgentStop, EdgeAgentError):
                raise
            except Exception as error:  # a defect of somebody's tool must not end a whole run
                output = f"{_ERROR}the tool failed ({type(error).__name__})"
        shown = self._runtime.neutralize(output[: self._runtime.budget.max_observation_chars])
        task.add(Step(agent=self.role.name, kind=StepKind.OBSERVATION, text=shown, tool=call.tool))
        return shown
