"""From the names and paths that a user gives to adapters that fit the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeagent.errors import ConfigError, DamagedFileError, SourceError
from edgeagent.export.adapter.adapter import Adapter
from edgeagent.export.adapter.gguf import GGUFAdapter
from edgeagent.export.adapter.peft import CONFIG_NAME, WEIGHTS_NAME, PeftFolder
from edgeagent.export.checkpoint.access import access_to
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.hashing import hashed
from edgeagent.record.manifest import is_adapter_name


def read_adapters(paths: Mapping[str, Path], spec: DecoderSpec) -> tuple[Adapter, ...]:
    """Read adapters and check that they are for this model; their numbers are held as float32.

    Args:
        paths: PEFT folders, or GGUF files that are adapters, by the name that sessions will use.
        spec: The model.

    Raises:
        ConfigError: A name cannot be the name of an adapter.
        SourceError: A path is not an adapter, or cannot be read.
        DamagedFileError: An adapter is damaged or for another model.
        UnsupportedError: It does more than LoRA of linear layers.
    """
    for name in paths:
        if not is_adapter_name(name):
            raise ConfigError(
                f"{name[:80]!r} cannot be the name of an adapter; take up to 64 lower-case"
                " letters, digits, '-' and '_' that begin with a letter or digit."
            )
    return tuple(_read(name, path, spec) for name, path in paths.items())


def _read(name: str, path: Path, spec: DecoderSpec) -> Adapter:
    source = _open(path)
    with hashed([source.weights]) as hashes:
        try:
            updates = source.updates(spec)
        except DamagedFileError as error:
            # Whatever is wrong, which of the adapters it is must be said.
            raise DamagedFileError(f"Adapter {name!r}: {error}") from error
        digest = hashes.result()[source.weights]
    return Adapter(name, path, digest, source.base_model, source.scale, updates)


def _open(path: Path) -> PeftFolder | GGUFAdapter:
    with access_to(path):
        if path.is_dir():
            folder = path
        elif path.name in {CONFIG_NAME, WEIGHTS_NAME} and path.is_file():
            folder = path.parent
        elif path.is_file():
            return GGUFAdapter(path)
        else:
            raise SourceError(f"{path} does not exist; give the folder of an adapter.")
        if not (folder / CONFIG_NAME).exists():
            raise SourceError(
                f"{path} is not a LoRA adapter: it has no {CONFIG_NAME}; give a folder that PEFT"
                " wrote, or a GGUF file that is an adapter."
            )
    return PeftFolder(folder)
