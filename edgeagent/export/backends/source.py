"""The checkpoint that a backend exports: a Hugging Face folder with safetensors, or a GGUF file."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from edgeagent.errors import SourceError
from edgeagent.export.checkpoint.gguf.metadata import MetadataReader
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.checkpoint.protocol import TensorSource
from edgeagent.export.checkpoint.safetensors import HFConfig, SafetensorsFolder
from edgeagent.export.sources.transfer import PullProgress, sha256_of
from edgeagent.export.tokenizer import TokenizerFiles, build_tokenizer, read_folder_tokenizer

_FOLDER_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
"""What belongs to a model beside its weights. Programs (`*.py`) and pickles are not looked at."""

_GROUPS = (
    ("embedding", re.compile(r"embed_tokens|token_embd|\bwte\b|word_embeddings")),
    ("head", re.compile(r"lm_head|^output\.weight|embed_out")),
    ("norm", re.compile(r"norm|\bln_")),
    ("attention", re.compile(r"attn|attention")),
    ("mlp", re.compile(r"mlp|ffn|feed_forward|experts")),
)


@dataclass(frozen=True)
class BackendSource:
    """What is known about a checkpoint before anything runs.

    Attributes:
        path: What the user named.
        kind: How the weights are stored.
        files: Every file that counts for the hash: weights first, then configuration.
        size_bytes: Of these files.
        architecture: As the checkpoint names it.
        name: Of the model, as the checkpoint gives it; may be empty.
        license: As the checkpoint gives it; may be empty.
        layers: Number of decoder layers.
        parameters: Number of weights.
        types: For each group of tensors, how many are stored in which type.
        tokenizer: The model's tokenizer in the form that packages have.
        config: `config.json` of a folder, `None` for a GGUF.
    """

    path: Path
    kind: Literal["folder", "gguf"]
    files: tuple[Path, ...]
    size_bytes: int
    architecture: str
    name: str
    license: str
    layers: int
    parameters: int
    types: dict[str, dict[str, int]]
    tokenizer: TokenizerFiles
    config: HFConfig | None


def open_source(path: Path) -> BackendSource:
    """Read what a checkpoint says about itself.

    Raises:
        SourceError: It is missing, incomplete or neither a folder nor a GGUF file.
        ExportError: It is damaged, quantized by another tool, or has its weights as pickles.
    """
    path = path.expanduser()
    return _open_folder(path) if path.is_dir() else _open_gguf(path)


@dataclass(frozen=True)
class SourceHashes:
    """What identifies a checkpoint.

    Attributes:
        sha256: Of a GGUF file; of a folder, that of the lines `sha256sum` prints for its files.
        parts: SHA-256 of each weight file by name where there are several.
    """

    sha256: str
    parts: dict[str, str]


def hash_source(source: BackendSource, on_bytes: Callable[[int], None]) -> SourceHashes:
    """Hash every file of a checkpoint.

    Raises:
        SourceError: A file cannot be read.
    """
    done = 0
    hashes: dict[str, str] = {}

    def report(progress: PullProgress) -> None:
        on_bytes(done + progress.done_bytes)

    for path in source.files:
        hashes[path.name] = sha256_of(path, "the source", report)
        done += path.stat().st_size
    if source.kind == "gguf":
        return SourceHashes(hashes[source.path.name], {})
    weights = {name: digest for name, digest in hashes.items() if name.endswith(".safetensors")}
    listing = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    digest = hashlib.sha256(listing.encode("utf-8")).hexdigest()
    return SourceHashes(digest, weights if len(weights) > 1 else {})


def group_of(name: str) -> str:
    """Return the group that a tensor or a node of the graph belongs to, by its name."""
    return next((group for group, pattern in _GROUPS if pattern.search(name)), "norm")


def _open_folder(path: Path) -> BackendSource:
    with SafetensorsFolder.open(path) as folder:
        small = tuple(
            folder.folder / name for name in _FOLDER_FILES if (folder.folder / name).is_file()
        )
        text = folder.config.section("text_config", None) or folder.config
        layers = text.get_int("num_hidden_layers", None) or text.get_int("n_layer", None)
        if not layers:
            raise SourceError(
                f"{folder.config.path} names no number of layers, so it is not the configuration"
                " of a language model."
            )
        index = folder.folder / "model.safetensors.index.json"
        listed = (index,) if index.is_file() and len(folder.files) > 1 else ()
        files = (*folder.files, *listed, *small)
        return BackendSource(
            path=path,
            kind="folder",
            files=files,
            size_bytes=sum(file.stat().st_size for file in files),
            architecture=folder.architecture,
            name="",
            license="",
            layers=layers,
            parameters=_parameters(folder),
            types=_types(folder),
            tokenizer=read_folder_tokenizer(folder.folder, folder.config.values),
            config=folder.config,
        )


def _open_gguf(path: Path) -> BackendSource:
    with GGUFFile.open(path) as gguf:
        return BackendSource(
            path=path,
            kind="gguf",
            files=(path,),
            size_bytes=gguf.size_bytes,
            architecture=gguf.architecture,
            name=gguf.get_str("general.name", ""),
            license=gguf.get_str("general.license", ""),
            layers=_layers(gguf, gguf.architecture),
            parameters=_parameters(gguf),
            types=_types(gguf),
            tokenizer=build_tokenizer(gguf),
            config=None,
        )


def _layers(gguf: MetadataReader, architecture: str) -> int:
    return gguf.get_int(f"{architecture}.block_count")


def _parameters(source: TensorSource) -> int:
    return sum(
        prod(tensor.shape)
        for tensor in source.tensors.values()
        if not tensor.name.startswith("rope_")
    )


def _types(source: TensorSource) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for tensor in source.tensors.values():
        counts[group_of(tensor.name)][tensor.type.name] += 1
    return {group: dict(counter) for group, counter in counts.items()}
