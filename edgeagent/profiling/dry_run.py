"""What a paradigm needs of its models, found by running it once on models that say but one word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeagent.agent.models import Model, model_of
from edgeagent.agent.tools.protocol import JsonSchema, Tool, object_schema
from edgeagent.config.run import Budget
from edgeagent.config.team import load_team
from edgeagent.config.workspace import Workspace
from edgeagent.engine.grammar import GrammarMatcher
from edgeagent.engine.scripted import ScriptedEngine, ScriptedSession
from edgeagent.engine.turns import TurnGroup
from edgeagent.profiling.workbench import Workbench

_CONTEXT_LEN = 1 << 18
_QUESTION = "How much is 21 plus 34?"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a paradigm needs of one engine.

    Attributes:
        sessions: KV caches that it opens.
        uses_grammars: Whether it writes tool calls under a grammar.
        batches: Whether sessions decode together, for which the weights are loaded once more.
        further: The same of other models that its roles name, by their names.
    """

    sessions: int
    uses_grammars: bool
    batches: bool = False
    further: Mapping[str, Plan] | None = None


def plan_of(paradigm: str, workspace: Workspace, budget: Budget) -> Plan:
    """Return what a paradigm needs if every role has a session of its own where none is shared.

    Raises:
        ConfigError: There is no paradigm of that name, or something of the workspace cannot be
            used.
    """
    # Its tokens are bytes, so prompts are several times longer than with a real model.
    roomy = budget.model_copy(
        update={"max_context_len": _CONTEXT_LEN, "sessions": budget.sessions or "own"}
    )
    engine = _DryEngine()
    further: dict[str, _DryEngine] = {}

    def open_model(name: str) -> Model:
        further[name] = _DryEngine()
        return model_of(further[name], "compact", grounded=bool(budget.grounding))

    # Servers and programs of a tools file are not started for that: they change no cache.
    dry = workspace.model_copy(update={"tools_file": None})
    bench = Workbench(engine, workspace=dry, budget=roomy, open_model=open_model)
    try:
        bench.runtime.may_send = False
        bench.runtime.tools = {**_stand_ins(workspace), **bench.runtime.tools}
        bench.paradigm(paradigm).warm_up()
        bench.run(paradigm, _QUESTION)
        others = {name: one.plan() for name, one in further.items()}
        return engine.plan(others or None)
    finally:
        bench.close()


def _stand_ins(workspace: Workspace) -> dict[str, Tool]:
    """Return tools of the names that teams give: theirs come from a tools file that is not opened.

    A name that is nowhere is found when the real tools are there.
    """
    if workspace.tools_file is None:
        return {}
    roles = [role for path in workspace.teams for role in load_team(path).role]
    return {name: _StandIn(name) for role in roles for name in role.tools if name != "*"}


class _StandIn:
    """A tool that is never worth calling."""

    is_delegate = False
    description = "Nothing."
    parameters = object_schema()

    def __init__(self, name: str) -> None:
        self.name = name

    def offer(self, _question: str, _results: object) -> JsonSchema | None:
        return None

    def run(self, _arguments: Mapping[str, object]) -> str:
        return "nothing"


class _AnyAdapter(tuple[str, ...]):
    """Adapters of every name."""

    __slots__ = ()

    def __contains__(self, _name: object) -> bool:
        return True


class _DryEngine(ScriptedEngine):
    """A model that says but one word, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(lambda _conversation: "Yes.", context_len=_CONTEXT_LEN)
        self.adapters = _AnyAdapter()
        self._sessions = 0
        self._uses_grammars = False
        self._batches = False

    def plan(self, further: Mapping[str, Plan] | None = None) -> Plan:
        """What was asked for."""
        return Plan(self._sessions, self._uses_grammars, self._batches, further)

    def open(self, max_context_len: int, adapter: str | None = None) -> ScriptedSession:
        del adapter  # it would change what a model says
        self._sessions += 1
        return super().open(max_context_len)

    def open_group(self, rows: int, max_context_len: int, adapter: str | None = None) -> TurnGroup:
        # Sessions of an adapter take turns.
        self._batches |= adapter is None
        return super().open_group(rows, max_context_len, adapter)

    def matcher(self, grammar: str) -> GrammarMatcher:
        self._uses_grammars = True
        return super().matcher(grammar)
