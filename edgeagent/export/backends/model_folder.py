"""A Hugging Face folder in the dialect that a tool reads; weights are linked, never changed.

transformers 5 writes `rope_parameters` into `config.json` where version 4 reads `rope_theta` and
`rope_scaling`. Version 4 ignores the new key and silently computes with other frequencies, so what
a tool of that age is to read is written the old way. The tokenizer is written anew as well: classes
of version 5 do not exist in version 4.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from edgeagent.errors import UnsupportedError
from edgeagent.export.tokenizer import TokenizerFiles, write_tokenizer

_GENERIC_TOKENIZER = "PreTrainedTokenizerFast"  # known to transformers 4 and 5


def write_model_folder(
    files: tuple[Path, ...],
    config: Mapping[str, Any],
    tokenizer: TokenizerFiles,
    folder: Path,
    dialect: Literal["transformers-4", "transformers-5"],
) -> None:
    """Make a folder that a tool can load.

    Args:
        files: Weights, their index and `generation_config.json`; others are left out.
        config: Content of `config.json`.
        tokenizer: The model's tokenizer.
        folder: A new folder.
        dialect: Which `config.json` the tool understands.

    Raises:
        UnsupportedError: The configuration cannot be said in that dialect.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        if ".safetensors" in path.name or path.name == "generation_config.json":
            _link(path, folder / path.name)
    rewritten = as_transformers_4(config) if dialect == "transformers-4" else dict(config)
    rewritten.pop("auto_map", None)  # programs of a checkpoint are never run
    write_json(folder / "config.json", rewritten)
    write_folder_tokenizer(tokenizer, folder)


def write_folder_tokenizer(tokenizer: TokenizerFiles, folder: Path) -> None:
    """Write a tokenizer so that every version of transformers loads it."""
    write_tokenizer(tokenizer, folder)
    write_json(
        folder / "tokenizer_config.json",
        tokenizer.config | {"tokenizer_class": _GENERIC_TOKENIZER},
    )


def as_transformers_4(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with its rotary embedding described as transformers 4 reads it.

    Raises:
        UnsupportedError: Kinds of layers differ in a way that version 4 has no keys for.
    """
    rewritten = dict(config)
    rope = rewritten.pop("rope_parameters", None)
    if rope is None:
        return rewritten
    if not isinstance(rope, Mapping):
        raise _unknown_rope()
    if any(isinstance(part, Mapping) for part in rope.values()):
        # Gemma-3: layers that see everything, and layers with a window and a base of their own.
        if set(rope) != {"full_attention", "sliding_attention"}:
            raise _unknown_rope()
        local = rope["sliding_attention"]
        if _kind(local) != "default":
            raise _unknown_rope()
        rewritten["rope_local_base_freq"] = local["rope_theta"]
        rope = rope["full_attention"]
    scaling = dict(rope)
    for key in ("rope_theta", "partial_rotary_factor"):
        if (value := scaling.pop(key, None)) is not None:
            rewritten[key] = value
    if _kind(rope) == "longrope":
        # Phi-3's own words: three keys, and the original length beside them.
        if (original := scaling.pop("original_max_position_embeddings", None)) is not None:
            rewritten.setdefault("original_max_position_embeddings", original)
        scaling["type"] = scaling.pop("rope_type")
    rewritten["rope_scaling"] = None if _kind(rope) == "default" else scaling
    return rewritten


def _kind(rope: Any) -> object:
    if not isinstance(rope, Mapping) or "rope_theta" not in rope:
        raise _unknown_rope()
    return rope.get("rope_type", "default")


def _unknown_rope() -> UnsupportedError:
    return UnsupportedError(
        "config.json describes a rotary embedding that the version of transformers which this"
        " backend uses has no words for; use --backend builder."
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with the same bytes on every platform."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_bytes(text.encode("utf-8"))


def _link(source: Path, target: Path) -> None:
    """Make a file appear at another place, without a copy where the file system can."""
    real = source.resolve()
    for make in (os.symlink, os.link):
        try:
            make(real, target)
        except OSError:
            continue  # Windows without the right to link; another disk
        return
    shutil.copyfile(real, target)
