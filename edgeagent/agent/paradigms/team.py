"""Paradigms from the TOML files of users: the code is that of the built-in ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeagent.agent.endpoint import Endpoint
from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.loop import Role
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.escalate import Escalate, Escalation
from edgeagent.agent.paradigms.multi import Multi, Team
from edgeagent.agent.paradigms.pipeline import Pipeline
from edgeagent.agent.paradigms.plan import Plan
from edgeagent.agent.paradigms.protocol import Paradigm
from edgeagent.agent.paradigms.single import Single
from edgeagent.agent.paradigms.vote import Vote
from edgeagent.agent.roles import SINGLE
from edgeagent.agent.runtime import Runtime
from edgeagent.config.team import (
    EscalateSpec,
    ExampleSpec,
    RoleSpec,
    SupervisorSpec,
    TeamSpec,
    model_path,
)
from edgeagent.errors import ConfigError, EdgeAgentError

_DEFAULT = (Base.name, Single.name)
DEFAULT_SAMPLES = 4
MakeByName = Callable[[str, Runtime], Paradigm]
"""Makes any paradigm of the catalog."""


def make_team(team: TeamSpec, path: Path, runtime: Runtime, make: MakeByName) -> Paradigm:
    """Return the paradigm that a team's file describes.

    Args:
        team: What the file says.
        path: The file, for errors and for the paths of models.
        runtime: What paradigms share.
        make: Makes the paradigms that the file names.

    Raises:
        ConfigError: It names a tool, a model or an adapter that is not there.
    """
    if team.kind == "escalate":
        return Escalate(runtime, _escalation(team, path, runtime, make), team.name)
    roles = tuple(_role(spec, path) for spec in team.role)
    for role in roles:
        _check(role, path, runtime)
    if team.kind == "single":
        return Single(runtime, roles[0], team.name)
    if team.kind == "plan":
        return Plan(runtime, roles[0], team.name)
    if team.kind == "vote":
        samples = team.samples or DEFAULT_SAMPLES
        return Vote(runtime, samples, role=roles[0], name=team.name)
    if team.kind == "pipeline":
        return Pipeline(runtime, roles, team.name)
    supervisor = _supervisor(team.supervisor or SupervisorSpec(), team.role, path)
    _check(supervisor, path, runtime)
    does = {spec.name: spec.does for spec in team.role if spec.does}
    return Multi(runtime, Team(team.name, supervisor, roles, does))


def named_paradigms(team: TeamSpec) -> tuple[tuple[str, str], ...]:
    """Return the paradigms that a team asks, each with the key that names it."""
    if team.kind != "escalate":
        return ()
    spec = team.escalate or EscalateSpec()
    asked = [("escalate.first", spec.first)]
    if team.endpoint is None:
        asked.append(("escalate.to", spec.to))
    return tuple(asked)


def _escalation(team: TeamSpec, path: Path, runtime: Runtime, make: MakeByName) -> Escalation:
    """Return who is asked; the stronger model is named now and loaded when it is needed.

    Raises:
        ConfigError: The model's name stands for nothing, or the key of the endpoint is missing.
    """
    spec = team.escalate or EscalateSpec()
    model = model_path(spec.model, path)
    try:
        runtime.check_model(model)
        endpoint = Endpoint(team.endpoint) if team.endpoint is not None else None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return Escalation(
        first=lambda: make(spec.first, runtime),
        stronger=None if endpoint else lambda: make(spec.to, runtime.with_model(model)),
        endpoint=endpoint,
        threshold=spec.threshold,
        only_tools=endpoint is None and model is None and (spec.first, spec.to) == _DEFAULT,
    )


def _role(spec: RoleSpec, path: Path) -> Role:
    return Role(
        name=spec.name,
        instructions=spec.instructions or SINGLE.instructions,
        tools=spec.tools,
        examples=tuple(map(_example, spec.example)),
        must_call_first=spec.must_call_first,
        model=model_path(spec.model, path),
        adapter=spec.adapter,
    )


def _supervisor(spec: SupervisorSpec, roles: tuple[RoleSpec, ...], path: Path) -> Role:
    duties = ", ".join(f"{role.name} {role.does}".rstrip() for role in roles)
    instructions = spec.instructions or (
        f"You lead {len(roles)} specialists and have no tools of your own: {duties}. Ask the right "
        "specialist, then answer with what was reported. Keep answers short."
    )
    return Role(
        name="supervisor",
        instructions=instructions,
        examples=tuple(map(_example, spec.example)),
        must_call_first=spec.must_call_first,
        model=model_path(spec.model, path),
        adapter=spec.adapter,
    )


def _example(spec: ExampleSpec) -> Example:
    turns = tuple(Turn(calls=(Call(call.tool, dict(call.arguments)),)) for call in spec.calls)
    return Example(
        spec.question,
        (*turns, Turn(answer=spec.answer)),
        tuple(call.result for call in spec.calls),
    )


def _check(role: Role, path: Path, runtime: Runtime) -> None:
    """Refuse what is not there; a role must not work with less than its file says.

    Raises:
        ConfigError: A tool or an adapter is missing.
        EdgeAgentError: The model cannot be loaded.
    """
    missing = [name for name in role.tools if name != "*" and name not in runtime.tools]
    if missing:
        raise ConfigError(
            f"{path}: role {role.name!r}: there is no tool {missing[0]!r}; there are "
            f"{', '.join(runtime.tools) or 'none'}. Give what the tool works on, such as "
            "--documents or --tools, or take it out of `tools`."
        )
    try:
        engine = runtime.model(role.model).engine
    except EdgeAgentError as error:
        raise type(error)(f"{path}: role {role.name!r}: model: {error}") from error
    if role.adapter is not None and role.adapter not in engine.adapters:
        raise ConfigError(
            f"{path}: role {role.name!r}: its model has no adapter {role.adapter!r}; it has "
            f"{', '.join(engine.adapters) or 'none'}."
        )
