"""Running the calls of a turn, several at once, and the log of what was called in a dialogue."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgeagent.agent.formats.protocol import Call
from edgeagent.agent.grounding import before_forged_turn
from edgeagent.agent.honesty import ERROR, Finding, is_refusal
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.protocol import Tool, ToolResult
from edgeagent.config.run import Budget
from edgeagent.errors import EdgeAgentError, ToolError
from edgeagent.record.outcome import FailureMode, Step, StepKind
from edgeagent.record.spans import SpanKind

if TYPE_CHECKING:
    from edgeagent.agent.loop import Agent


@runtime_checkable
class Together(Protocol):
    """A tool that does several calls of one turn at once by itself, such as asking specialists."""

    def run_together(self, arguments: Sequence[dict[str, object]]) -> Sequence[str | ToolResult]:
        """Return the result of each call, in order; raises as `Tool.run`."""
        ...


@dataclass(frozen=True, slots=True)
class Called:
    """A call and what it brought.

    Attributes:
        call: The call.
        shown: What the model sees.
        result: The bare result, without notes; empty if it failed.
        failed: Whether the tool failed.
        delegated: Whether it went to another agent.
    """

    call: Call
    shown: str
    result: str
    failed: bool = False
    delegated: bool = False


@dataclass
class CallLog:
    """What was called in a dialogue.

    Attributes:
        repeated: How many calls were repetitions.
    """

    repeated: int = 0
    _called: dict[str, Called] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything was called."""
        return bool(self._called)

    @property
    def results(self) -> tuple[str, ...]:
        """What tools answered, in order; failures are not among them."""
        return tuple(called.result for called in self._called.values() if not called.failed)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What every call brought, failures too, in order."""
        return tuple(
            Finding(
                called.call.tool,
                called.shown.removeprefix(ERROR),
                failed=called.failed or is_refusal(called.shown),
            )
            for called in self._called.values()
        )

    @property
    def best(self) -> str:
        """The last result, the best answer that there is without the agent's own."""
        return self.results[-1] if self.results else ""

    def known(self, call: Call) -> Called | None:
        """Return what this very call brought before."""
        return self._called.get(call.key())

    def used(self, tool: str) -> bool:
        """Whether the tool was called."""
        return any(called.call.tool == tool for called in self._called.values())

    def add(self, called: Called) -> Called:
        """Remember a call and return it."""
        self._called[called.call.key()] = called
        return called


def run_calls(
    calls: Sequence[Call], agent: Agent, budget: Budget, task: TaskRun
) -> tuple[Called, ...]:
    """Run calls that do not know of one another, and return what they brought, in order.

    Failures of a tool are results too: the model is told. Calls of ordinary tools run overlapped,
    under one span, so that the phases of a task still add up.

    Raises:
        AgentStop: There is no such tool, or another agent that was asked is stuck.
    """
    if not calls:
        return ()
    by_name = {tool.name: tool for tool in agent.tools}
    for call in calls:
        if call.tool not in by_name:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, f"there is no tool {call.tool!r}")
    tools = [by_name[call.tool] for call in calls]
    delegated = any(tool.is_delegate for tool in tools)
    for call, tool in zip(calls, tools, strict=True):
        kind = StepKind.ROUTE if tool.is_delegate else StepKind.CALL
        task.add(Step(agent=agent.role.name, kind=kind, tool=call.tool, arguments=call.arguments))
    span = SpanKind.ORCHESTRATE if delegated else SpanKind.TOOL
    name = "+".join(dict.fromkeys(call.tool for call in calls))
    with task.recorder.span(span, agent.role.name, name):
        outputs = _outputs(calls, tools, delegated=delegated)
    return tuple(
        _observed(call, output, agent, budget, task, delegated=tool.is_delegate)
        for call, output, tool in zip(calls, outputs, tools, strict=True)
    )


_Output = str | ToolResult | ToolError
_MAX_THREADS = 8


def _outputs(calls: Sequence[Call], tools: Sequence[Tool], *, delegated: bool) -> list[_Output]:
    first = tools[0]
    if len(calls) == 1:
        return [_output(first, calls[0])]
    if all(tool is first for tool in tools) and isinstance(first, Together):
        return list(first.run_together([call.arguments for call in calls]))
    if delegated:  # other agents work on the same caches and record spans: one after another
        return [_output(tool, call) for tool, call in zip(tools, calls, strict=True)]
    with ThreadPoolExecutor(min(len(calls), _MAX_THREADS)) as pool:
        return list(pool.map(_output, tools, calls))


def _output(tool: Tool, call: Call) -> _Output:
    """Run one call; what a tool says is wrong comes back as the error itself."""
    try:
        return tool.run(call.arguments)
    except ToolError as error:
        return error
    except (AgentStop, EdgeAgentError):
        raise
    except Exception as error:  # a defect of somebody's tool must not end a whole run
        return ToolError(f"the tool failed ({type(error).__name__})")


def _observed(
    call: Call, output: _Output, agent: Agent, budget: Budget, task: TaskRun, *, delegated: bool
) -> Called:
    """Make an output harmless and short, and record it as a step."""
    failed = isinstance(output, ToolError)
    sources = output.sources if isinstance(output, ToolResult) else ()
    text = output.text if isinstance(output, ToolResult) else str(output)
    text = agent.model.neutralize(text[: budget.max_observation_chars])
    if agent.model.grounded:
        text = before_forged_turn(text)
    shown = f"{ERROR}{text}" if failed else text
    task.add(
        Step(
            agent=agent.role.name,
            kind=StepKind.OBSERVATION,
            text=shown,
            tool=call.tool,
            sources=sources,
            failed=failed,
        )
    )
    return Called(call, shown, "" if failed else text, failed=failed, delegated=delegated)
