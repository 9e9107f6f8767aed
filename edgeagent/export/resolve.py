"""From what a person types to a package: a recipe's id, weights, or a package folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgeagent import __version__
from edgeagent.config.model import load_recipe
from edgeagent.config.package import Package, is_package, read_package
from edgeagent.config.paths import packages_dir, sources_dir
from edgeagent.errors import ConfigError
from edgeagent.export.backends.protocol import OnBackendProgress, ignore_backend_progress
from edgeagent.export.backends.settings import BackendSettings
from edgeagent.export.protocol import ModelFacts, OnExportProgress, ignore_progress
from edgeagent.export.settings import ExportSettings
from edgeagent.export.sources import OnProgress, origin_of, pull
from edgeagent.export.sources.repository import (
    listing_of,
    parse_address,
    pull_repository,
)
from edgeagent.record.manifest import MANIFEST_NAME

_WEIGHT_SUFFIXES = frozenset({".gguf", ".safetensors"})
_CONFIG_NAME = "config.json"
_HUB_SCHEME = "hf:"


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
        model: A recipe's id, a GGUF file, a Hugging Face folder, or an address of the hub such as
            `hf:OWNER/REPO`.

    Raises:
        ConfigError: It is none of them.
    """
    if model.startswith(_HUB_SCHEME):
        return _hub_target(model)
    path = Path(model).expanduser()
    if path.is_dir() and (path / _CONFIG_NAME).is_file():
        return _local_target(path, path.absolute().name, _folder_identity(path))
    if path.is_dir():
        raise ConfigError(
            f"{path} is a folder without a {MANIFEST_NAME}, so it is no package, and without a"
            f" {_CONFIG_NAME}, so it is no model."
        )
    if path.suffix.lower() in _WEIGHT_SUFFIXES or path.is_file():
        if not path.is_file():
            raise ConfigError(f"There is no file {path}.")
        return _local_target(path, path.stem, _file_identity(path))
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
    adapters: Mapping[str, Path] | None = None,
) -> Package:
    """Export a model with the native exporter, downloading its weights if they are not there yet.

    Args:
        model: What `resolve` takes.
        out: Folder of the package, `None` for one below the cache folder.
        on_pull: Told how far a download is.
        on_export: Told how far the export is.
        settings: Export settings, `None` for the defaults.
        adapters: LoRA adapters by the name that they will have in the package.

    Raises:
        ConfigError: `model` stands for nothing, or `out` is something else than a package.
        EdgeAgentError: What `pull` and `export_checkpoint` raise.
    """
    from edgeagent.export.native import export_checkpoint

    source, folder, facts = fetch_source(model, out, on_pull=on_pull)
    export_checkpoint(
        source, folder, facts=facts, settings=settings, adapters=adapters, on_progress=on_export
    )
    return read_package(folder)


def export_with(
    backend: str,
    model: str,
    out: Path | None = None,
    *,
    on_pull: OnProgress | None = None,
    on_export: OnBackendProgress = ignore_backend_progress,
    settings: ExportSettings | None = None,
    backend_settings: BackendSettings | None = None,
) -> Package:
    """Export a model with another tool; see `edgeagent.export.backends`.

    Args:
        backend: Name of the tool.
        model: What `resolve` takes.
        out: Folder of the package, `None` for one below the cache folder.
        on_pull: Told how far a download is.
        on_export: Told how far the export is.
        settings: Context and verification, `None` for the defaults.
        backend_settings: What to build and where the tool is, `None` for the defaults.

    Raises:
        ConfigError: `model` stands for nothing, or `out` is something else than a package.
        EdgeAgentError: What `pull` and `export_with_backend` raise.
    """
    from edgeagent.export.backends.export import backend_of, export_with_backend

    backend_of(backend)
    source, folder, facts = fetch_source(model, out, on_pull=on_pull)
    export_with_backend(
        backend,
        source,
        folder,
        facts=facts,
        settings=settings or ExportSettings(),
        backend_settings=backend_settings,
        on_progress=on_export,
    )
    return read_package(folder)


def fetch_source(
    model: str, out: Path | None, *, on_pull: OnProgress | None = None
) -> tuple[Path, Path, ModelFacts]:
    """The weights of a model, the folder of its package, and what is known about it.

    Raises:
        ConfigError: `model` stands for nothing.
        EdgeAgentError: What `pull` raises.
    """
    target = resolve(model)
    source = target.fetch(on_pull)
    listing = listing_of(source)
    facts = replace(
        target.facts,
        origin=origin_of(source) or target.facts.origin,
        license=target.facts.license or (listing.license if listing else ""),
    )
    return source, out or target.folder, facts


def ensure_package(
    model: str,
    *,
    on_pull: OnProgress | None = None,
    on_export: OnExportProgress = ignore_progress,
) -> Package:
    """Return the package of a model, downloading and exporting only what is not there yet.

    Args:
        model: What `resolve` takes, or a package folder.
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


def _hub_target(model: str) -> Target:
    address = parse_address(model)
    if address is None:
        raise ConfigError(f"{model} is not an address; write {_HUB_SCHEME}OWNER/REPO.")
    return Target(
        facts=ModelFacts(model_id=address.model_id, origin=address.origin),
        folder=packages_dir() / address.package_name,
        fetch=lambda on_progress: pull_repository(address, sources_dir(), on_progress=on_progress),
    )


def _local_target(path: Path, name: str, identity: str) -> Target:
    # Other weights at the same path get another package; hashing gigabytes to know is not worth it.
    key = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return Target(
        facts=ModelFacts(model_id=name),
        folder=packages_dir() / f"{name}-{key}",
        # Links are not followed: what a link points to has no siblings, in a cache of the hub.
        fetch=lambda _on_progress: path.absolute(),
    )


def _file_identity(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"


def _folder_identity(path: Path) -> str:
    files = sorted([*path.glob("*.json"), *path.glob("*.safetensors")])
    return "\0".join(_file_identity(each) for each in files)


def _usable(folder: Path) -> Package | None:
    """Return the package in a folder if this version wrote it; others are exported again."""
    if not is_package(folder):
        return None
    try:
        package = read_package(folder)
    except ConfigError:
        return None
    return package if package.manifest.edgeagent_version == __version__ else None
