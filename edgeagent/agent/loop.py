"""The agent that paradigms share: think, call tools, observe, until there is an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeagent.agent.chat.conversation import Conversation
from edgeagent.agent.chat.template import Message
from edgeagent.agent.dialogue import Talk
from edgeagent.agent.formats.protocol import Example, Prefix
from edgeagent.agent.memory.recall import harmless
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.protocol import Tool, offers
from edgeagent.agent.turns import Dialogue, TurnRequest, whole_text
from edgeagent.engine.protocol import DecodeParams
from edgeagent.record.outcome import FailureMode, Step, StepKind
from edgeagent.record.spans import SpanKind


@dataclass(frozen=True)
class Role:
    """Who an agent is.

    Attributes:
        name: Shown in traces and spans; the role's conversation goes by it.
        instructions: The system prompt.
        tools: Names of the tools it may call; `*` is all that are not named.
        examples: Worked examples, for formats that need them.
        must_call_first: Whether the first turn has to be a call, as for a supervisor.
        model: The model it speaks with, as a recipe's id or a path; `None`: that of the run.
        adapter: LoRA adapter of that model, `None` for none.
    """

    name: str
    instructions: str
    tools: tuple[str, ...] = ()
    examples: tuple[Example, ...] = field(default=())
    must_call_first: bool = False
    model: str | None = None
    adapter: str | None = None


class Agent:
    """A role with its tools and its conversation."""

    def __init__(self, runtime: Runtime, role: Role, tools: Sequence[Tool]) -> None:
        """Prepare; nothing is prefilled yet."""
        self.role = role
        self.model = runtime.model(role.model)
        self.tools = tuple(tools)
        self._runtime = runtime
        self.prefix: Prefix = self.model.format.prefix(
            role.instructions,
            self.tools,
            _possible(role, self.tools),
            thinking=runtime.budget.max_thinking_tokens > 0,
        )

    def warm_up(self) -> None:
        """Put the prefix into the cache, so that the first task does not pay for it."""
        prefix = self.prefix
        self._conversation().warm_up(
            TurnRequest(prefix.messages, prefix.tools, variables=prefix.variables)
        )

    def has_work(self, question: str) -> bool:
        """Whether a tool has something to work on, or that is left to the model."""
        return not self.model.grounded or self.is_able(question, ())

    def is_able(self, question: str, results: Sequence[str]) -> bool:
        """Whether its tools, if it has any, have something to work on."""
        return not self.tools or bool(offers(self.tools, question, results, narrow=True))

    def run(self, question: str, task: TaskRun) -> str:
        """Return the agent's answer to the question.

        Raises:
            AgentStop: It is stuck: a limit is used up, it repeats itself, or its turn cannot be
                read. The best answer so far comes with it.
        """
        with task.recorder.span(SpanKind.ORCHESTRATE, self.role.name, "agent"):
            return self._converse(self.dialogue(question, task), task)

    def dialogue(self, question: str, task: TaskRun) -> Dialogue:
        """Return the turns to an answer, for whoever runs them (see `turns`)."""
        question = self.model.neutralize(question)
        if self.model.grounded and not self.tools:
            return self._plain(question, task)
        return Talk(self, self._runtime, question, task).turns()

    def recall(self, question: str) -> tuple[Example, ...]:
        """Return past successes that resemble the question, with control tokens broken."""
        memory = self._runtime.memory
        if memory is None or not self.tools:
            return ()
        found = memory.examples(question, [tool.name for tool in self.tools])
        return tuple(harmless(example, self.model.neutralize) for example in found)

    def opening(self, question: str, recalled: Sequence[Example] = ()) -> list[Message]:
        """Return the messages of a conversation up to its question, which is harmless already."""
        text_format = self.model.format
        # Behind the prefix, so that its cache stays valid.
        examples = [message for one in recalled for message in text_format.example(one)]
        return [*self.prefix.messages, *examples, text_format.question(question)]

    def _conversation(self) -> Conversation:
        role = self.role
        return self._runtime.conversation(role.name, model=role.model, adapter=role.adapter)

    def _converse(self, dialogue: Dialogue, task: TaskRun) -> str:
        """Run a dialogue in the role's own conversation."""
        conversation = self._conversation()
        try:
            request = next(dialogue)
            while True:
                task.turns += 1
                try:
                    text = conversation.turn(
                        request,
                        recorder=task.recorder,
                        limits=task.limits,
                        on_text=task.text_sink(
                            self.role.name, request.answer_part, request.held_chars
                        ),
                    )
                except AgentStop as stop:
                    request = dialogue.throw(stop)
                else:
                    request = dialogue.send(text)
        except StopIteration as end:
            return str(end.value)

    def _plain(self, question: str, task: TaskRun) -> Dialogue:
        """Answer as a chat: without tools a format would only distract."""
        params = DecodeParams(max_new_tokens=self._runtime.budget.max_new_tokens)
        text = yield TurnRequest(self.opening(question), params=params, answer_part=whole_text)
        answer = text.strip()
        if not answer:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, "the answer is empty")
        task.add(Step(agent=self.role.name, kind=StepKind.ANSWER, text=answer))
        return answer


def _possible(role: Role, tools: Sequence[Tool]) -> tuple[Example, ...]:
    """Return the examples that call nothing but these tools, the tools' own ones first."""
    names = {tool.name for tool in tools}
    own = [example for tool in tools for example in getattr(tool, "examples", ())]
    return tuple(
        example
        for example in (*own, *role.examples)
        if all(call.tool in names for turn in example.turns for call in turn.calls)
    )
