"""From what a person types to a package: a recipe's id, a GGUF file or a package folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edgeagent import __version__
from edgeagent.config.model import ToolCallFormat, load_recipe
from edgeagent.config.package import Package, is_package, read_package
from edgeagent.config.paths import packages_dir, sources_dir
from edgeagent.errors import ConfigError
from edgeagent.export.protocol import ModelFacts, OnExportProgress, ignore_progress
from edgeagent.export.settings import ExportSettings
from edgeagent.export.sources import OnProgress, origin_of, pull

_GGUF_SUFFIX = ".gguf"


@dataclass(frozen=True)
class Target:
    """What a name stands for.

    Attributes:
        facts: What is known about the model beside its weights.
        folder: Where its package is, or will be.
        fetch: Returns the weights file, downloading it if it is not on this machine.
    """

    facts: ModelFacts
    folder: Path
    fetch: Callable[[OnProgress | None], Path]


def resolve(model: str) -> Target:
    """Find out what `model` stands for; nothing is downloaded or written.

    Args:
        model: A recipe's id or the path of a GGUF file.

    Raises:
        ConfigError: It is neither.
    """
    path = Path(model).expanduser()
    if path.suffix.lower() == _GGUF_SUFFIX or path.is_file():
        return _file_target(path)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder without a manifest.json, so it is no package.")
    recipe = load_recipe(model)
    return Target(
        facts=ModelFacts(
            model_id=recipe.id,
            license=recipe.license,
            tool_call_format=recipe.tool_call_format.value,
        ),
        folder=packages_dir() / recipe.id,
        fetch=lambda on_progress: pull(recipe, sources_dir(), on_progress=on_progress),
    )


def export_model(
    model: str,
    out: Path | None = None,
    *,
    on_pull: OnProgress | None = None,
    on_export: OnExportProgress = ignore_progress,
    settings: ExportSettings | None = None,
) -> Package:
    """Export a model, downloading its weights if they are not there yet.

    Args:
        model: A recipe's id or the path of a GGUF file.
        out: Folder of the package, `None` for one below the cache folder.
        on_pull: Told how far a download is.
        on_export: Told how far the export is.
        settings: Export settings, `None` for the defaults.

    Raises:
        ConfigError: `model` stands for nothing, or `out` is something else than a package.
        EdgeAgentError: What `pull` and `export_checkpoint` raise.
    """
    from edgeagent.export.native import export_checkpoint

    target = resolve(model)
    folder = out or target.folder
    source = target.fetch(on_pull)
    facts = replace(target.facts, origin=origin_of(source) or target.facts.origin)
    export_checkpoint(source, folder, facts=facts, settings=settings, on_progress=on_export)
    return read_package(folder)


def ensure_package(
    model: str,
    *,
    on_pull: OnProgress | None = None,
    on_export: OnExportProgress = ignore_progress,
) -> Package:
    """Return the package of a model, downloading and exporting only what is not there yet.

    Args:
        model: A recipe's id, the path of a GGUF file, or a package folder.
        on_pull: Told how far a download is.
        on_export: Told how far an export is.

    Raises:
        ConfigError: `model` stands for nothing.
        EdgeAgentError: What `export_model` raises.
    """
    folder = Path(model).expanduser()
    if is_package(folder):
        return read_package(folder.resolve())
    return _usable(resolve(model).folder) or export_model(
        model, on_pull=on_pull, on_export=on_export
    )


def _file_target(path: Path) -> Target:
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.")
    path = path.resolve()
    stat = path.stat()
    # Another file at the same path gets another package; hashing gigabytes to know is not worth it.
    identity = f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}"
    key = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return Target(
        facts=ModelFacts(model_id=path.stem, tool_call_format=_tool_call_format(path).value),
        folder=packages_dir() / f"{path.stem}-{key}",
        fetch=lambda _on_progress: path,
    )


def _tool_call_format(path: Path) -> ToolCallFormat:
    """Tell from the chat template inside a GGUF how its model writes tool calls."""
    from edgeagent.export.checkpoint.gguf.reader import GGUFFile

    with GGUFFile.open(path) as gguf:
        template = gguf.get_str("tokenizer.chat_template", "")
    is_hermes = "<tool_call>" in template and "<tool_response>" in template
    return ToolCallFormat.HERMES if is_hermes else ToolCallFormat.COMPACT


def _usable(folder: Path) -> Package | None:
    """Return the package in a folder if this version wrote it; others are exported again."""
    if not is_package(folder):
        return None
    try:
        package = read_package(folder)
    except ConfigError:
        return None
    return package if package.manifest.edgeagent_version == __version__ else None
