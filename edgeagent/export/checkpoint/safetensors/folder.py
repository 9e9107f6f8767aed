"""A Hugging Face folder with safetensors as one checkpoint, in one file or in shards."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError, SourceError
from edgeagent.export.checkpoint.access import access_to
from edgeagent.export.checkpoint.mapped import MappedFile
from edgeagent.export.checkpoint.protocol import TensorInfo
from edgeagent.export.checkpoint.safetensors.config import HFConfig
from edgeagent.export.checkpoint.safetensors.header import read_header
from edgeagent.export.checkpoint.safetensors.index import (
    INDEX_NAME,
    SINGLE_NAME,
    SUFFIX,
    read_weight_map,
)
from edgeagent.export.checkpoint.safetensors.refusals import (
    CONFIG_NAME,
    refuse_folder_without_weights,
    refuse_other_file,
    refuse_quantized,
    refuse_without_config,
)

_KIND = "safetensors file"


class SafetensorsFolder:
    """An open Hugging Face checkpoint; use it as a context manager.

    Construct it with `SafetensorsFolder.open`. The configuration and the list of tensors are in
    memory; the weights are read-only memory maps. Files must not be changed while they are open.

    Attributes:
        path: What the user named.
        folder: Where `config.json` and the weight files are.
        files: The weight files.
        size_bytes: Bytes of all weight files.
        config: `config.json`.
        tensors: Every tensor by name, in the order of the files.
    """

    def __init__(
        self, path: Path, config: HFConfig, maps: list[MappedFile], tensors: dict[str, TensorInfo]
    ) -> None:
        self.path = path
        self.folder = config.path.parent
        self.files = tuple(mapped.path for mapped in maps)
        self.size_bytes = sum(mapped.size_bytes for mapped in maps)
        self.config = config
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(tensors)
        self._maps = maps

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a folder, or one weight file in it, and check configuration, index and headers.

        `model.safetensors` is taken where it exists, the shards of the index otherwise; other
        files (`consolidated.safetensors`, copies for other frameworks) are left alone. A file
        that the index lists stands for the whole folder; any other is opened by itself.

        Raises:
            SourceError: Folder, configuration or a weight file is missing or may not be read.
            DamagedFileError: A file is truncated, or they contradict themselves or each other.
            UnsupportedError: Weights in another format, already quantized, or of an adapter.
        """
        folder, single = _locate(path)
        config = _read_config(folder)
        if single is not None:
            shards: dict[str, list[str]] | None = None
            names = [single]
        else:
            shards = read_weight_map(folder / INDEX_NAME)
            names = list(shards)
        tensors: dict[str, TensorInfo] = {}
        with ExitStack() as opened:
            maps: list[MappedFile] = []
            for part, name in enumerate(names):
                mapped = opened.enter_context(MappedFile.open(folder / name, _KIND))
                maps.append(mapped)
                found = read_header(mapped, part)
                if shards is not None:
                    _check_shard(mapped.path, found, set(shards[name]))
                tensors |= found
            if not tensors:
                raise DamagedFileError(f"{path} holds no tensors; download it again.")
            checkpoint = cls(path, config, maps, tensors)
            opened.pop_all()
        return checkpoint

    @property
    def architecture(self) -> str:
        """The model family that the configuration names, for example `llama`."""
        return self.config.get_str("model_type")

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The stored bytes of a tensor as `(rows, row_bytes)`, a view without a copy.

        Raises:
            DamagedFileError: There is no such tensor.
            ValueError: The checkpoint is closed.
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise DamagedFileError(f"{self.path} has no tensor {name}, which this model needs.")
        return self._maps[tensor.part].rows(tensor)

    def release(self) -> None:
        """Let go of the pages that were read so far; they are read again when they are needed."""
        for mapped in self._maps:
            mapped.release()

    def close(self) -> None:
        """Release the memory maps; views handed out by `raw` keep theirs until they are gone."""
        for mapped in self._maps:
            mapped.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _locate(path: Path) -> tuple[Path, str | None]:
    """The folder, and the name of its only weight file, None where an index lists them."""
    with access_to(path):
        if path.is_dir():
            if (path / SINGLE_NAME).exists():
                return path, SINGLE_NAME
            if (path / INDEX_NAME).exists():
                return path, None
            raise refuse_folder_without_weights(path)
        if path.name == INDEX_NAME:
            return path.parent, None
        if not path.exists():
            raise SourceError(f"{path} does not exist; give a folder with {SINGLE_NAME}.")
        if path.suffix != SUFFIX:
            raise refuse_other_file(path)
        index = path.parent / INDEX_NAME
        if path.name != SINGLE_NAME and index.exists() and path.name in read_weight_map(index):
            return path.parent, None
        return path.parent, path.name


def _read_config(folder: Path) -> HFConfig:
    path = folder / CONFIG_NAME
    if not path.exists():
        raise refuse_without_config(folder)
    config = HFConfig.read(path)
    refuse_quantized(config)
    return config


def _check_shard(path: Path, found: Mapping[str, TensorInfo], listed: set[str]) -> None:
    missing, extra = sorted(listed - found.keys()), sorted(found.keys() - listed)
    if missing:
        raise DamagedFileError(
            f"{path} lacks the tensor {missing[0][:80]!r}, which {INDEX_NAME} says it holds;"
            " index and weight files are of different downloads."
        )
    if extra:
        raise DamagedFileError(
            f"{path} holds the tensor {extra[0][:80]!r}, which {INDEX_NAME} does not list there;"
            " index and weight files are of different downloads."
        )
