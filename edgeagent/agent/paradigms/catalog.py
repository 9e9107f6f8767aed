"""All paradigms that a user can name: built-in, of plugins, of team files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from edgeagent.agent.paradigms import PARADIGM_NAMES, make_paradigm
from edgeagent.agent.paradigms.protocol import Paradigm
from edgeagent.agent.paradigms.team import make_team, named_paradigms
from edgeagent.agent.runtime import Runtime
from edgeagent.config.team import TeamSpec, load_team
from edgeagent.errors import ConfigError


class ParadigmClass(Protocol):
    """A class of a plugin's file: what it makes is a paradigm."""

    name: str
    """As on the command line."""

    def __call__(self, runtime: Runtime) -> Paradigm:
        """Return the paradigm; nothing is prefilled yet."""
        ...


class Catalog:
    """Finds paradigms by name; reads the files of teams at once, and makes nothing before asked."""

    def __init__(self, plugins: Iterable[ParadigmClass] = (), teams: Iterable[Path] = ()) -> None:
        """Collect the names.

        Args:
            plugins: Classes from `PARADIGMS` of the user's Python files.
            teams: TOML files, see `config.team`.

        Raises:
            ConfigError: A team's file is not valid, or a name is taken.
        """
        self._plugins: dict[str, ParadigmClass] = {}
        self._teams: dict[str, tuple[TeamSpec, Path]] = {}
        for plugin in plugins:
            self._require_free(plugin.name, "a plugin's paradigm")
            self._plugins[plugin.name] = plugin
        for path in teams:
            team = load_team(path)
            self._require_free(team.name, str(path))
            self._teams[team.name] = (team, path)
        for name in self._teams:
            self._check_escalation(name, ())

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the built-in ones first."""
        return (*PARADIGM_NAMES, *self._plugins, *self._teams)

    def check(self, name: str) -> str:
        """Return the name if there is such a paradigm.

        Raises:
            ConfigError: There is none.
        """
        if name not in self.names:
            raise ConfigError(f"There is no paradigm {name!r}; choose {', '.join(self.names)}.")
        return name

    def make(self, name: str, runtime: Runtime) -> Paradigm:
        """Return a paradigm that works with this runtime.

        Raises:
            ConfigError: There is none of that name, or a team names what this runtime has not.
        """
        self.check(name)
        if name in self._plugins:
            return self._plugins[name](runtime)
        if name in self._teams:
            team, path = self._teams[name]
            return make_team(team, path, runtime, self.make)
        return make_paradigm(name, runtime)

    def _require_free(self, name: str, where: str) -> None:
        if name in self.names:
            raise ConfigError(
                f"{where}: there already is a paradigm {name!r}; choose another name."
            )

    def _check_escalation(self, name: str, asked_by: tuple[str, ...]) -> None:
        """Refuse a team that names a paradigm that is not there, or in the end itself."""
        if name not in self._teams:
            return
        team, path = self._teams[name]
        if name in asked_by:
            raise ConfigError(f"{path}: the team {name!r} escalates to itself; name another one.")
        for key, other in named_paradigms(team):
            if other not in self.names:
                raise ConfigError(
                    f"{path}: {key}: there is no paradigm {other!r}; choose "
                    f"{', '.join(self.names)}."
                )
            self._check_escalation(other, (*asked_by, name))
