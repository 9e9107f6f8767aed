"""The files of a tokenizer in an ONNX package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgeagent.export.tokenizer.pretokenizers import Json

_END_OF_TURN = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
)
"""Control tokens that end an answer, whichever of them the source names as its EOS."""


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer in Hugging Face form.

    Attributes:
        tokenizer_json: content of tokenizer.json.
        config: content of tokenizer_config.json.
        chat_template: the Jinja template of the model, None if the source has none.
        bos_id: token that starts a text, None if there is none.
        eos_ids: tokens that end an answer; the first is the one the source names.
        pad_id: token that fills up batches.
        add_bos: whether the model expects BOS in front of a prompt.
    """

    tokenizer_json: str
    config: Json
    chat_template: str | None
    bos_id: int | None
    eos_ids: tuple[int, ...]
    pad_id: int
    add_bos: bool


def end_of_answer(
    named: Iterable[int | None], control_id: Callable[[str], int | None]
) -> list[int]:
    """Tokens that end an answer: those the source names, then the usual ones it also has.

    Args:
        named: ids in the order of trust, None where the source names none.
        control_id: id of a control token by its text, None if it is not one.
    """
    ids = [*named, *(control_id(token) for token in _END_OF_TURN)]
    return list(dict.fromkeys(index for index in ids if index is not None))


def runtime_config(
    tokenizer_class: str,
    *,
    bos: str | None,
    eos: str,
    pad: str,
    unknown: str | None,
    add_bos: bool,
    chat_template: str | None,
) -> Json:
    """The tokenizer_config.json that onnxruntime-genai reads; tokens are given by their text."""
    config: Json = {
        "tokenizer_class": tokenizer_class,
        "add_bos_token": add_bos,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "eos_token": eos,
        "pad_token": pad,
        # onnxruntime-extensions reads EOS and the unknown token only where there is a BOS.
        "bos_token": eos if bos is None else bos,
    }
    if unknown is not None:
        config["unk_token"] = unknown
    if chat_template is not None:
        config["chat_template"] = chat_template
    return config


def write_tokenizer(files: TokenizerFiles, folder: Path) -> tuple[Path, ...]:
    """Write `tokenizer.json`, `tokenizer_config.json` and, if there is one, `chat_template.jinja`.

    Args:
        files: from `build_tokenizer` or `read_folder_tokenizer`.
        folder: an existing folder; the exporter renames it into place when it is complete.

    Returns:
        The files written.
    """
    contents = {
        "tokenizer.json": files.tokenizer_json,
        "tokenizer_config.json": json.dumps(files.config, ensure_ascii=False, indent=2) + "\n",
    }
    if files.chat_template is not None:
        contents["chat_template.jinja"] = files.chat_template
    written = []
    for name, content in contents.items():
        path = folder / name
        path.write_bytes(content.encode("utf-8"))  # bytes: no platform changes the line ends
        written.append(path)
    return tuple(written)
