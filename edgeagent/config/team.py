"""Teams: paradigms that a user writes down in a TOML file, without code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from edgeagent.config.spec import Spec, load_spec

TeamKind = Literal["single", "supervisor", "pipeline", "plan", "vote", "escalate"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""Names of teams and roles go into traces and file names."""

MAX_ROLES = 16
DEFAULT_THRESHOLD = 0.5
"""Confidence below which is escalated: a choice, which a model and its tasks may well not share.
`scripts/calibrate_escalation.py` shows what others do."""
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class CallSpec(Spec):
    """A call of a worked example, and what it brought."""

    tool: str
    arguments: dict[str, object] = Field(default_factory=dict)
    result: str = Field(min_length=1)


class ExampleSpec(Spec):
    """A worked example, for models that learn calls from the prompt."""

    question: str = Field(min_length=1)
    calls: tuple[CallSpec, ...] = ()
    """In order, one a turn. A supervisor's call is `ask` with the argument `specialist`."""
    answer: str = Field(min_length=1)


class VoiceSpec(Spec):
    """What every agent of a team has: instructions, a model, examples."""

    instructions: str | None = Field(default=None, min_length=1)
    """The system prompt; `None` takes that of the built-in agent."""
    model: str | None = Field(default=None, min_length=1)
    """Recipe id, or GGUF file or package folder relative to the team's file; `None`: the run's."""
    adapter: str | None = Field(default=None, min_length=1)
    """LoRA adapter of that model's package."""
    must_call_first: bool = False
    """Whether its first turn has to be a call."""
    example: tuple[ExampleSpec, ...] = ()


class SupervisorSpec(VoiceSpec):
    """Who leads a team of the kind `supervisor`."""

    must_call_first: bool = True


class RoleSpec(VoiceSpec):
    """One agent."""

    name: Name
    does: str = Field(default="", max_length=200)
    """What the supervisor is told of it, such as `computes with numbers`."""
    tools: tuple[str, ...] = ()
    """Names of the tools it may call; `*` is all that are not named."""


class EndpointSpec(Spec):
    """A server that speaks OpenAI's chat completions; questions are sent there."""

    url: str
    """Base address, such as `https://host.example/v1`."""
    model: str = Field(min_length=1)
    """The model's name there."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the key; keys do not belong into files."""
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    max_tokens: int = Field(default=256, ge=1, le=1 << 16)
    share_results: bool = False
    """Whether what local tools found is sent along with the question."""

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("an address begins with https:// and a host")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("only an address of this machine may be without https")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("an address has neither a password nor a query; name `api_key_env`")
        return url.rstrip("/")


class EscalateSpec(Spec):
    """A cheap first answer, and what is asked when nobody can be confident of it."""

    first: str = "base"
    """Name of the paradigm that answers first."""
    to: str = "single"
    """Name of the paradigm that is asked when confidence is low; not with an endpoint."""
    model: str | None = Field(default=None, min_length=1)
    """The model that `to` runs with; `None`: the run's."""
    threshold: float = Field(default=DEFAULT_THRESHOLD, ge=0, le=1)
    """Confidence below which is escalated; see `scripts/calibrate_escalation.py`."""


class TeamSpec(Spec):
    """A paradigm by configuration."""

    name: Name
    kind: TeamKind = "supervisor"
    supervisor: SupervisorSpec | None = None
    role: tuple[RoleSpec, ...] = Field(default=(), max_length=MAX_ROLES)
    samples: int | None = Field(default=None, ge=2, le=32)
    """How many answers a vote is about."""
    escalate: EscalateSpec | None = None
    endpoint: EndpointSpec | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> TeamSpec:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> list[str]:
        kind, count = self.kind, len(self.role)
        names = [role.name for role in self.role]
        twice = [name for name in names if names.count(name) > 1]
        found = (
            [f"the role {twice[0]!r} is there twice; roles have different names"] if twice else []
        )
        if kind == "escalate":
            if self.role:
                found.append("a team of the kind escalate has no [[role]]; name paradigms instead")
        elif self.escalate or self.endpoint:
            found.append(f'[escalate] and [endpoint] need kind = "escalate", not "{kind}"')
        if kind != "supervisor" and self.supervisor:
            found.append(f'[supervisor] needs kind = "supervisor", not "{kind}"')
        if kind != "vote" and self.samples is not None:
            found.append(f'samples needs kind = "vote", not "{kind}"')
        if kind in {"single", "plan", "vote"} and count != 1:
            found.append(f"a team of the kind {kind} has exactly one [[role]], not {count}")
        if kind in {"supervisor", "pipeline"} and count < 2:
            found.append(f"a team of the kind {kind} has two [[role]] at least, not {count}")
        return found


def load_team(path: Path) -> TeamSpec:
    """Read a team's file.

    Raises:
        ConfigError: It cannot be read or is not valid; the message names the file and the key.
    """
    return load_spec(path, TeamSpec)


def model_path(model: str | None, file: Path) -> str | None:
    """Return the model of a role, as a path if it lies beside the team's file.

    A recipe's id stays as it is; so does an address of a repository.
    """
    if model is None or re.match(r"^[a-z]+:", model):
        return model
    beside = file.parent / Path(model).expanduser()
    return str(beside.resolve()) if beside.exists() else model
