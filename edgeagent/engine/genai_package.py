"""Reading what a package says about itself before the runtime sees it.

Packages may come from anywhere, and the runtime's own errors name neither the file nor the cure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.errors import EngineError
from edgeagent.record.manifest import ADAPTER_FOLDER, MANIFEST_NAME, is_adapter_name

CONFIG_NAME = "genai_config.json"
TOKENIZER_NAME = "tokenizer.json"
ALL_POSITIONS_NAME = "all_positions.onnx"
"""The same decoder with the logits of all positions, over the same weights file."""
CHAT_TEMPLATE_NAME = "chat_template.jinja"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
_MAX_TEXT_BYTES = 256 << 20
_FLOAT32_BYTES = 4


TokenId = Annotated[int, Field(ge=0, le=1 << 31)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _SessionOptions(_Part):
    custom_ops_library: str | None = None


class _Decoder(_Part):
    filename: str
    session_options: _SessionOptions = _SessionOptions()
    head_size: int = Field(ge=1, le=1 << 16)
    num_hidden_layers: int = Field(ge=1, le=1 << 16)
    num_key_value_heads: int = Field(ge=1, le=1 << 16)
    sliding_window: dict[str, object] | None = None


class _Model(_Part):
    context_length: int = Field(ge=1, le=1 << 31)
    vocab_size: int = Field(ge=1, le=1 << 31)
    eos_token_id: TokenId | Annotated[tuple[TokenId, ...], Field(min_length=1)]
    decoder: _Decoder


class _Search(_Part):
    past_present_share_buffer: bool = False


class _Config(_Part):
    model: _Model
    search: _Search = _Search()


class _Adapter(_Part):
    name: str
    file: str


class _Manifest(_Part):
    files: dict[str, int] = Field(default_factory=dict)
    adapters: tuple[_Adapter, ...] = ()


class _AddedToken(_Part):
    id: int
    content: str
    special: bool = False


class _TokenText(_Part):
    content: str


class _TokenizerConfig(_Part):
    bos_token: str | _TokenText | None = None
    eos_token: str | _TokenText | None = None
    pad_token: str | _TokenText | None = None
    unk_token: str | _TokenText | None = None
    add_bos_token: bool | None = None

    def named_tokens(self) -> dict[str, str]:
        """The texts of the tokens, by the names that chat templates have for them."""
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        found = {name: getattr(self, name) for name in names}
        return {
            name: token.content if isinstance(token, _TokenText) else token
            for name, token in found.items()
            if token is not None
        }


class _Normalizer(_Part):
    type: str
    normalizers: tuple[_Normalizer, ...] = ()

    @property
    def is_nfc(self) -> bool:
        return self.type == "NFC" or any(part.is_nfc for part in self.normalizers)


class _Tokenizer(_Part):
    added_tokens: tuple[_AddedToken, ...] = ()
    normalizer: _Normalizer | None = None


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """What the engine needs to know of a package.

    Attributes:
        folder: The package.
        context_len: Longest context in tokens.
        vocab_size: Width of the logits.
        eos_ids: Tokens that end a turn.
        graph: File name of the decoder.
        extends_cache_in_place: Whether the decoder is said to write new keys and values into the
            buffers that it reads the old ones from, and to keep them all.
        kv_bytes_per_token: Computed; the CPU keeps keys and values as float32.
        weights_bytes: Size of the model files.
        tokenizer_json: Text of the tokenizer file.
        control_tokens: Texts that the tokenizer turns into single tokens of their own.
        hidden_ids: Control tokens that are not part of any text.
        normalizes_nfc: Whether the tokenizer expects text in Unicode's NFC.
        chat_template: The jinja2 template, `None` if there is none. It writes the token that the
            model's texts begin with, also where the tokenizer was meant to do that.
        chat_tokens: Texts of tokens, by the names that chat templates have for them.
        adapters: Path inside the package of each LoRA adapter, by its name.
    """

    folder: Path
    context_len: int
    vocab_size: int
    eos_ids: tuple[int, ...]
    graph: str
    extends_cache_in_place: bool
    kv_bytes_per_token: int
    weights_bytes: int
    tokenizer_json: str
    control_tokens: frozenset[str]
    hidden_ids: frozenset[int]
    normalizes_nfc: bool
    chat_template: str | None
    chat_tokens: Mapping[str, str]
    adapters: Mapping[str, str]


def read_package(folder: Path) -> PackageFacts:
    """Read and check the small files of a package.

    Raises:
        EngineError: A file is missing or does not make sense; the message names it.
    """
    manifest = _read_manifest(folder)
    _check_sizes(folder, manifest)
    config_file = folder / CONFIG_NAME
    config = _parse(config_file, _Config)[0]
    model = config.model
    tokenizer, tokenizer_json = _parse(folder / TOKENIZER_NAME, _Tokenizer)
    decoder = model.decoder
    graph = folder / decoder.filename
    if graph.parent != folder or not graph.is_file():
        raise EngineError(
            f"{config_file} names the graph {decoder.filename!r}, which is not in the package; "
            "export the model again."
        )
    if decoder.session_options.custom_ops_library is not None:
        raise EngineError(
            f"{config_file} asks to load the program library "
            f"{decoder.session_options.custom_ops_library!r}; packages with code of their own are "
            "not run."
        )
    eos = model.eos_token_id
    eos_ids = (eos,) if isinstance(eos, int) else eos
    if max(eos_ids) >= model.vocab_size:
        raise EngineError(
            f"{config_file} is damaged: eos_token_id {max(eos_ids)} is not in the vocabulary of "
            f"{model.vocab_size}; export the model again."
        )
    template = folder / CHAT_TEMPLATE_NAME
    named = _TokenizerConfig()
    if (folder / TOKENIZER_CONFIG_NAME).is_file():
        named = _parse(folder / TOKENIZER_CONFIG_NAME, _TokenizerConfig)[0]
    return PackageFacts(
        folder=folder,
        context_len=model.context_length,
        vocab_size=model.vocab_size,
        eos_ids=eos_ids,
        graph=decoder.filename,
        extends_cache_in_place=config.search.past_present_share_buffer
        and decoder.sliding_window is None,
        kv_bytes_per_token=2
        * decoder.num_hidden_layers
        * decoder.num_key_value_heads
        * decoder.head_size
        * _FLOAT32_BYTES,
        weights_bytes=sum(file.stat().st_size for file in folder.glob("*.onnx*")),
        tokenizer_json=tokenizer_json,
        control_tokens=frozenset(t.content for t in tokenizer.added_tokens if t.content),
        hidden_ids=frozenset(t.id for t in tokenizer.added_tokens if t.special),
        normalizes_nfc=tokenizer.normalizer is not None and tokenizer.normalizer.is_nfc,
        chat_template=_with_bos(_read(template), named) if template.is_file() else None,
        chat_tokens=named.named_tokens(),
        adapters=_adapters(folder, manifest),
    )


def _with_bos(template: str, named: _TokenizerConfig) -> str:
    """Return the template so that it begins with the token that the model expects there."""
    bos = named.named_tokens().get("bos_token")
    if not named.add_bos_token or not bos or "bos_token" in template or bos in template:
        return template
    return "{{ bos_token }}" + template


def _read_manifest(folder: Path) -> _Manifest:
    """The manifest, an empty one for a package of another exporter."""
    path = folder / MANIFEST_NAME
    return _parse(path, _Manifest)[0] if path.is_file() else _Manifest()


def require_all_positions(folder: Path) -> None:
    """Check that the package has the graph that speculation runs.

    Raises:
        EngineError: It has not.
    """
    if not (folder / ALL_POSITIONS_NAME).is_file():
        raise EngineError(
            f"{folder} has no {ALL_POSITIONS_NAME}, which n-gram speculation needs; export the "
            "model again with edgeagent's own exporter, or run it without speculation."
        )


def _check_sizes(folder: Path, manifest: _Manifest) -> None:
    """Compare the files with the manifest, where there is one: a copy may have been cut off."""
    for name, size_bytes in manifest.files.items():
        file = folder / name
        if ".onnx" not in name or file.parent not in {folder, folder / ADAPTER_FOLDER}:
            continue  # the small files may be edited, and are checked when they are read
        found = file.stat().st_size if file.is_file() else 0
        if found != size_bytes:
            raise EngineError(
                f"{file} is damaged: it has {found} of {size_bytes} bytes; export the model again."
            )


def _adapters(folder: Path, manifest: _Manifest) -> dict[str, str]:
    """Files of the adapters by their names; a manifest from elsewhere may name any path."""
    for adapter in manifest.adapters:
        expected = f"{ADAPTER_FOLDER}/{adapter.name}.onnx_adapter"
        if not is_adapter_name(adapter.name) or adapter.file != expected:
            raise EngineError(
                f"{folder / MANIFEST_NAME} is damaged: {adapter.file[:80]!r} is not the file of an"
                " adapter; export the model again."
            )
    return {adapter.name: adapter.file for adapter in manifest.adapters}


PartT = TypeVar("PartT", bound=_Part)


def _parse(path: Path, part: type[PartT]) -> tuple[PartT, str]:
    text = _read(path)
    try:
        return part.model_validate(json.loads(text)), text
    except (ValueError, RecursionError) as error:
        detail: object = error
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            detail = f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
        raise EngineError(f"{path} is damaged: {detail}; export the model again.") from error


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_TEXT_BYTES:
            raise EngineError(f"{path} is larger than {_MAX_TEXT_BYTES >> 20} MiB.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise EngineError(
            f"{path.parent} is not a package: {path.name} cannot be read ({error.strerror})."
        ) from error
    except UnicodeDecodeError as error:
        raise EngineError(
            f"{path} is damaged: it is not text in UTF-8; export the model again."
        ) from error
