"""What a paradigm made of a task: the answer, how it got there, and how it failed."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from edgeagent.record.base import Record


class FailureMode(StrEnum):
    """Why an agent did not finish by itself.

    The first five are the taxonomy of the paradigm trade-off study (arXiv 2604.19299); the others
    split its "stuck" cases, which need different cures, and add the limits that a user sets.
    """

    CONTEXT_EXCEEDED = "context_exceeded"
    NO_DELEGATION = "no_delegation"
    DELEGATION_FAILURE = "delegation_failure"
    TIMEOUT = "timeout"
    PROTOCOL_VIOLATION = "protocol_violation"
    TURN_LIMIT = "turn_limit"
    REPEATED_CALL = "repeated_call"
    TOKEN_LIMIT = "token_limit"
    ENERGY_LIMIT = "energy_limit"
    ERROR = "error"


class StepKind(StrEnum):
    """What one step of an agent was."""

    RECALL = "recall"
    """Past successes were shown as examples, or taken away again because one was copied from."""
    THOUGHT = "thought"
    CALL = "call"
    OBSERVATION = "observation"
    ROUTE = "route"
    ANSWER = "answer"
    FALLBACK = "fallback"
    ESCALATION = "escalation"
    SENT = "sent"


class Step(Record):
    """One visible step of an agent, for `--trace` and for reading a run afterwards.

    Attributes:
        agent: The role that took the step.
        kind: What it was.
        text: The model's text, the tool's output, the reason of a fallback or an escalation, or
            the text that left the device.
        tool: The tool or specialist named by a call or a route, the host that text was sent to,
            else empty.
        arguments: A call's arguments as given by the model.
        sources: Documents that an observation comes from.
        failed: Whether an observation is the failure of a tool.
    """

    agent: str
    kind: StepKind
    text: str = ""
    tool: str = ""
    arguments: dict[str, object] = Field(default_factory=dict)
    sources: tuple[str, ...] = ()
    failed: bool = False


class Outcome(Record):
    """The result of one paradigm on one task.

    Attributes:
        answer: The final answer; empty only if even the fallback gave none.
        failure: Why the paradigm did not finish unaided, `None` if it did.
        fell_back: Whether the answer came from a fallback: the best result so far, else the base
            model.
        turns: Model turns of all agents, the fallback's included.
        steps: What the agents did, in order.
        error: The message of an unexpected error behind `failure == error`, else empty.
    """

    answer: str
    failure: FailureMode | None = None
    fell_back: bool = False
    turns: int = 0
    steps: tuple[Step, ...] = ()
    error: str = ""

    @property
    def completed(self) -> bool:
        """Whether there is an answer at all, by the paradigm itself or by the fallback."""
        return bool(self.answer.strip())

    @property
    def completed_unaided(self) -> bool:
        """Whether the paradigm gave an answer by itself."""
        return self.completed and self.failure is None and not self.fell_back

    @property
    def sources(self) -> tuple[str, ...]:
        """The documents that tools read for this answer, each once, in order."""
        return tuple(dict.fromkeys(source for step in self.steps for source in step.sources))

    @property
    def sent_to(self) -> tuple[str, ...]:
        """The hosts that text of this task was sent to, each once; empty: nothing left the device.

        There are none unless the user configured one.
        """
        return tuple(dict.fromkeys(step.tool for step in self.steps if step.kind is StepKind.SENT))
