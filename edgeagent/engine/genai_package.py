"""Reading what a package says about itself before the runtime sees it.

Packages may come from anywhere, and the runtime's own errors name neither the file nor the cure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.errors import EngineError

CONFIG_NAME = "genai_config.json"
TOKENIZER_NAME = "tokenizer.json"
CHAT_TEMPLATE_NAME = "chat_template.jinja"
_MAX_JSON_BYTES = 256 << 20
_FLOAT32_BYTES = 4


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Decoder(_Part):
    filename: str
    head_size: int = Field(ge=1, le=1 << 16)
    num_hidden_layers: int = Field(ge=1, le=1 << 16)
    num_key_value_heads: int = Field(ge=1, le=1 << 16)


class _Model(_Part):
    context_length: int = Field(ge=1, le=1 << 31)
    vocab_size: int = Field(ge=1, le=1 << 31)
    eos_token_id: int | tuple[int, ...]
    decoder: _Decoder


class _Config(_Part):
    model: _Model


class _AddedToken(_Part):
    content: str


class _Tokenizer(_Part):
    added_tokens: tuple[_AddedToken, ...] = ()


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """What the engine needs to know of a package.

    Attributes:
        folder: The package.
        context_len: Longest context in tokens.
        vocab_size: Width of the logits.
        eos_ids: Tokens that end a turn.
        kv_bytes_per_token: Computed; the CPU keeps keys and values as float32.
        weights_bytes: Size of the model files.
        tokenizer_json: Text of the tokenizer file.
        control_tokens: Texts that the tokenizer turns into single tokens of their own.
        chat_template: The jinja2 template, `None` if there is none.
    """

    folder: Path
    context_len: int
    vocab_size: int
    eos_ids: tuple[int, ...]
    kv_bytes_per_token: int
    weights_bytes: int
    tokenizer_json: str
    control_tokens: frozenset[str]
    chat_template: str | None


def read_package(folder: Path) -> PackageFacts:
    """Read and check the small files of a package.

    Raises:
        EngineError: A file is missing or does not make sense; the message names it.
    """
    model = _parse(folder / CONFIG_NAME, _Config)[0].model
    tokenizer, tokenizer_json = _parse(folder / TOKENIZER_NAME, _Tokenizer)
    graph = folder / model.decoder.filename
    if graph.parent != folder or not graph.is_file():
        raise EngineError(
            f"{folder / CONFIG_NAME} names the graph {model.decoder.filename!r}, which is not in "
            "the package; export the model again."
        )
    decoder = model.decoder
    eos = model.eos_token_id
    template = folder / CHAT_TEMPLATE_NAME
    return PackageFacts(
        folder=folder,
        context_len=model.context_length,
        vocab_size=model.vocab_size,
        eos_ids=(eos,) if isinstance(eos, int) else eos,
        kv_bytes_per_token=2
        * decoder.num_hidden_layers
        * decoder.num_key_value_heads
        * decoder.head_size
        * _FLOAT32_BYTES,
        weights_bytes=sum(file.stat().st_size for file in folder.glob("*.onnx*")),
        tokenizer_json=tokenizer_json,
        control_tokens=frozenset(t.content for t in tokenizer.added_tokens if t.content),
        chat_template=template.read_text(encoding="utf-8") if template.is_file() else None,
    )


PartT = TypeVar("PartT", bound=_Part)


def _parse(path: Path, part: type[PartT]) -> tuple[PartT, str]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise EngineError(f"{path} is larger than {_MAX_JSON_BYTES >> 20} MiB.")
        text = path.read_text(encoding="utf-8")
        return part.model_validate(json.loads(text)), text
    except OSError as error:
        raise EngineError(
            f"{path.parent} is not a package: {path.name} cannot be read ({error.strerror})."
        ) from error
    except (ValueError, RecursionError) as error:
        detail = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error
        raise EngineError(f"{path} is damaged: {detail}; export the model again.") from error
