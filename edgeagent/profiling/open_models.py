"""Further models of a run: those that roles of a team name, and the larger one of `escalate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgeagent.agent.models import Model, model_of
from edgeagent.config.package import Package, is_package
from edgeagent.config.run import Budget, EngineConfig
from edgeagent.engine.protocol import Engine
from edgeagent.export.resolve import ensure_package, resolve
from edgeagent.profiling.engine_for import engine_config_for

LoadEngine = Callable[[Path, EngineConfig | None], Engine]
"""Loads a package."""


def load_genai(folder: Path, config: EngineConfig | None) -> Engine:
    """Load a package with the real engine.

    Raises:
        EngineError: The package or the runtime is not usable.
        ResourceError: Not enough memory.
    """
    from edgeagent.engine.genai import GenaiEngine

    return GenaiEngine(folder, config)


class ModelOpener:
    """Loads models by the names that roles give, each package once."""

    def __init__(
        self,
        budget: Budget,
        *,
        config: EngineConfig | None = None,
        loaded: Mapping[Path, Engine] | None = None,
        load: LoadEngine = load_genai,
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            budget: Of the run. Whether a further model is grounded is decided by its own weights.
            config: Settings of the runtime, `None` for what `tune` found for each package on this
                device, else the defaults.
            loaded: Engines that are there already, by the folder of their package, such as the
                run's own: a role that names it again gets the same one.
            load: Loads a package.
        """
        self._budget = budget.model_copy(update={"grounding": None})
        self._config = config
        self._load = load
        self._engines = {folder.resolve(): engine for folder, engine in (loaded or {}).items()}

    def check(self, name: str) -> None:
        """Refuse a name that stands for no model; nothing is downloaded or loaded.

        Raises:
            ConfigError: It is no recipe's id, GGUF file or package folder.
        """
        if not is_package(Path(name).expanduser()):
            resolve(name)

    def __call__(self, name: str) -> Model:
        """Return a model; it is downloaded and exported first if it has to be.

        Args:
            name: A recipe's id, the path of a GGUF file, or a package folder.

        Raises:
            EdgeAgentError: A subclass says what is wrong and what to do.
        """
        package = ensure_package(name)
        folder = package.folder.resolve()
        if folder not in self._engines:
            self._engines[folder] = self._load(package.folder, self._config_for(package))
        manifest = package.manifest
        return model_of(
            self._engines[folder],
            manifest.tool_call_format,
            grounded=bool(self._budget.for_model(manifest.parameters).grounding),
        )

    def _config_for(self, package: Package) -> EngineConfig:
        return self._config or engine_config_for(package).config
