"""What a backend is: another tool that turns a checkpoint into a graph, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from edgeagent.export.backends.requirements import RequirementSet
from edgeagent.export.backends.settings import BackendSettings
from edgeagent.export.tokenizer import TokenizerFiles

BackendStage: TypeAlias = Literal["environment", "hash", "convert", "build", "load", "verify"]


class OnBackendProgress(Protocol):
    """Called from the exporting thread after each piece of work."""

    def __call__(self, stage: BackendStage, done: int, total: int | None, detail: str) -> None:
        """Report progress.

        Args:
            stage: What is being done.
            done: Work finished: packages for `environment`, bytes for `hash`, tokens for
                `verify`, steps of the tool elsewhere.
            total: Work of the stage in the same unit, `None` if the tool does not tell.
            detail: What the tool is at, may be empty.
        """


def ignore_backend_progress(stage: BackendStage, done: int, total: int | None, detail: str) -> None:
    """Progress callback that does nothing."""


class RunChild(Protocol):
    """Runs a program in the backend's interpreter, without network, its output going to a log."""

    def __call__(self, arguments: Sequence[str], on_line: Callable[[str], None]) -> None:
        """Run `python ARGUMENTS` and wait for it.

        Args:
            arguments: What follows the interpreter, such as `["-m", "module"]`.
            on_line: Told every line that the program prints.

        Raises:
            ExportError: It failed; the message has its last telling line and the log's path.
        """


@dataclass(frozen=True)
class BuildJob:
    """Everything that a backend needs to build one package.

    Attributes:
        model: Hugging Face folder in the dialect that the tool reads.
        work: Folder for intermediate files; removed afterwards.
        out: Empty folder that the graph, its data and `genai_config.json` go to.
        layers: Number of decoder layers, for progress.
        tokenizer: The model's tokenizer.
        settings: What to build.
        run: Runs the tool.
        on_progress: Told how far the tool is.
    """

    model: Path
    work: Path
    out: Path
    layers: int
    tokenizer: TokenizerFiles
    settings: BackendSettings
    run: RunChild
    on_progress: OnBackendProgress


class Backend(Protocol):
    """Another exporter behind the same command."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    @property
    def requirements(self) -> RequirementSet:
        """The packages that its interpreter must have."""
        ...

    @property
    def folder_dialect(self) -> Literal["transformers-4", "transformers-5"]:
        """The `config.json` that its tool understands."""
        ...

    @property
    def memory_factor(self) -> float:
        """Peak memory of its processes, in multiples of the weights as float32."""
        ...

    @property
    def scratch_copies(self) -> int:
        """Intermediate files on disk, in multiples of the weights as float32."""
        ...

    def check(self, settings: BackendSettings) -> None:
        """Refuse what the tool would silently ignore or build without use.

        Raises:
            ConfigError: The combination is not supported; the message lists what is.
        """
        ...

    def options(self, settings: BackendSettings) -> dict[str, str]:
        """Return the tool's options, defaults included; they go into the manifest."""
        ...

    def build(self, job: BuildJob) -> None:
        """Write the graph, its data and `genai_config.json`.

        Raises:
            ExportError: The tool failed or wrote something unexpected.
        """
        ...
