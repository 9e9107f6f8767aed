"""A model that is ready to be exported: an open checkpoint, its decoder and its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

from edgeagent.errors import DamagedFileError
from edgeagent.export.checkpoint.gguf.checkpoint import GGUFCheckpoint
from edgeagent.export.checkpoint.open import Checkpoint, open_checkpoint
from edgeagent.export.checkpoint.safetensors import SafetensorsFolder
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.families import family_of_folder, family_of_gguf
from edgeagent.export.families.from_folder import ignored, read_folder
from edgeagent.export.families.from_gguf import IGNORED, read_gguf
from edgeagent.export.tokenizer import TokenizerFiles, build_tokenizer, read_folder_tokenizer
from edgeagent.export.tokenizer.components import loaded_tokenizer


@dataclass(frozen=True)
class SourceModel:
    """What an export starts from.

    Attributes:
        checkpoint: The open weights.
        spec: What they compute.
        tokenizer: The tokenizer in the form of a package.
        ignored: Tensors that are not part of the graph.
        architecture: As the source names it.
        name: Of the model as the source gives it, may be empty.
        license: What the source says, may be empty.
    """

    checkpoint: Checkpoint
    spec: DecoderSpec
    tokenizer: TokenizerFiles
    ignored: frozenset[str]
    architecture: str
    name: str
    license: str

    @property
    def parameters(self) -> int:
        """Number of weights, shared ones counted once."""
        used = {part.tensor for part in self.spec.weights.parts()}
        return sum(prod(self.checkpoint.tensors[name].shape) for name in used)


@contextmanager
def open_model(path: Path, context_len: int | None) -> Iterator[SourceModel]:
    """Open a model and read everything but its weights.

    Args:
        path: A GGUF file, or a Hugging Face folder.
        context_len: Longest context of the package, `None` for the usual.

    Raises:
        SourceError: The source is missing or cannot be read.
        DamagedFileError: It is truncated or contradicts itself.
        UnsupportedError: It is of a kind that is not exported.
    """
    with open_checkpoint(path) as checkpoint:
        if isinstance(checkpoint, GGUFCheckpoint):
            model = _from_gguf(checkpoint, context_len)
        else:
            model = _from_folder(checkpoint, context_len)
        yield model


def _from_gguf(gguf: GGUFCheckpoint, context_len: int | None) -> SourceModel:
    family = family_of_gguf(gguf.architecture)
    return SourceModel(
        checkpoint=gguf,
        spec=read_gguf(family, gguf, context_len),
        tokenizer=build_tokenizer(gguf),
        ignored=IGNORED,
        architecture=gguf.architecture,
        name=gguf.get_str("general.name", ""),
        license=gguf.get_str("general.license", ""),
    )


def _from_folder(folder: SafetensorsFolder, context_len: int | None) -> SourceModel:
    classes = folder.config.get_strings("architectures", None) or [folder.architecture]
    family = family_of_folder(classes[0])
    spec = read_folder(family, folder, context_len)
    tokenizer = read_folder_tokenizer(folder.folder, folder.config.values)
    _check_vocabulary(folder, tokenizer, spec.vocab)
    return SourceModel(
        checkpoint=folder,
        spec=spec,
        tokenizer=tokenizer,
        ignored=ignored(folder, spec),
        architecture=classes[0],
        name=folder.config.get_str("_name_or_path", ""),
        license="",
    )


def _check_vocabulary(folder: SafetensorsFolder, files: TokenizerFiles, vocab: int) -> None:
    tokens = loaded_tokenizer(files.tokenizer_json).get_vocab_size(with_added_tokens=True)
    if tokens > vocab:
        raise DamagedFileError(
            f"{folder.path} has a tokenizer of {tokens} tokens and {vocab} embeddings; they are of"
            " different models."
        )
