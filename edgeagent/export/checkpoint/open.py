"""From a path to an open checkpoint, whichever format it has."""

from __future__ import annotations

from pathlib import Path

from edgeagent.errors import SourceError
from edgeagent.export.checkpoint.access import access_to
from edgeagent.export.checkpoint.gguf.checkpoint import GGUFCheckpoint
from edgeagent.export.checkpoint.gguf.split import open_gguf
from edgeagent.export.checkpoint.safetensors.folder import SafetensorsFolder

Checkpoint = GGUFCheckpoint | SafetensorsFolder
"""An open checkpoint: a `TensorSource`, a context manager, with its metadata or configuration."""

ACCEPTED = (
    "a GGUF file (of a split model, any part), a Hugging Face folder with model.safetensors or its"
    " index, or a .safetensors file beside its config.json"
)

_GGUF_MAGIC = b"GGUF"
_GGUF_SUFFIX = ".gguf"


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a GGUF model or a Hugging Face folder; close it, or use it as a context manager.

    A file is taken for GGUF if it is called so or begins like one (caches name files by their
    hash); everything else is looked at as part of a Hugging Face folder.

    Raises:
        SourceError: Nothing is there, a part of it is missing, or it is something else.
        DamagedFileError: It is truncated or contradicts itself.
        UnsupportedError: It is a checkpoint of a kind that is not exported; the message says what
            to do instead.
    """
    with access_to(path):
        if not path.exists():
            raise SourceError(f"{path} does not exist; give {ACCEPTED}.")
        if not path.is_dir() and not path.is_file():  # opening a named pipe would wait for ever
            raise SourceError(f"{path} is neither a file nor a folder; give {ACCEPTED}.")
        is_gguf = path.is_file() and (path.suffix.lower() == _GGUF_SUFFIX or _begins_as_gguf(path))
    return open_gguf(path) if is_gguf else SafetensorsFolder.open(path)


def _begins_as_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GGUF_MAGIC)) == _GGUF_MAGIC
