"""LoRA adapters of a package in the runtime: loaded at first use, activated per generator.

The runtime never deactivates an adapter, and silently mixes two on one generator; so a generator
gets at most one, before its first token. A rewind keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeagent.engine.genai_runtime import first_line
from edgeagent.errors import EngineError


class GenaiAdapters:
    """The adapters of one loaded model."""

    def __init__(self, og: Any, model: Any, folder: Path, files: Mapping[str, str]) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            og: The runtime.
            model: The loaded model.
            folder: Its package.
            files: Path inside the package by the name of the adapter.
        """
        self._og = og
        self._model = model
        self._folder = folder
        self._files = files
        self._container: Any = None
        self._loaded: set[str] = set()

    def activate(self, generator: Any, name: str) -> None:
        """Activate an adapter on a generator that has no tokens yet.

        Raises:
            EngineError: The runtime refused its file.
        """
        file = self._folder / self._files[name]
        try:
            if self._container is None:
                self._container = self._og.Adapters(self._model)
            if name not in self._loaded:
                self._container.load(str(file), name)
                self._loaded.add(name)
            generator.set_active_adapter(self._container, name)
        except Exception as error:
            raise EngineError(
                f"{file} cannot be used: {first_line(error)}; export the model again."
            ) from error
