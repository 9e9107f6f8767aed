"""Tokenizer and chat template of a Hugging Face folder, as the files onnxruntime-genai reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from edgeagent.errors import DamagedFileError, SourceError, UnsupportedError
from edgeagent.export.tokenizer.components import (
    AddedToken,
    check_loads,
    damaged_tokenizer,
    tokenizer_json,
)
from edgeagent.export.tokenizer.files import TokenizerFiles, end_of_answer, runtime_config
from edgeagent.export.tokenizer.pretokenizers import Json
from edgeagent.export.tokenizer.published import PublishedTokenizer

_MAX_BYTES = 40 * 2**20  # the largest published tokenizer.json has about 33 MB
_MAX_CONFIG_BYTES = 16 * 2**20
_MAX_TOKENS = 2_000_000  # the largest published vocabularies have about 260,000
_TEMPLATE_NAMES = ("default", "tool_use")


def read_folder_tokenizer(folder: Path, config: Mapping[str, object]) -> TokenizerFiles:
    """Read the tokenizer of a Hugging Face folder and bring it into the runtime's form.

    Read are `tokenizer.json`, `tokenizer_config.json`, `generation_config.json` and the chat
    template from `chat_template.jinja`, `chat_template.json` or `tokenizer_config.json`, in this
    order. Only the first is required.

    Args:
        folder: the folder of the model.
        config: content of its `config.json`: ids of special tokens, `vocab_size`.

    Raises:
        SourceError: there is no `tokenizer.json`.
        UnsupportedError: a tokenizer that the runtime would read differently.
        DamagedFileError: a file that is not JSON, is too large, or contradicts itself.
        MissingExtraError: the `tokenizers` package is not installed.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise _no_tokenizer(folder)
    document = _read_json(path, _MAX_BYTES)
    settings = _read_json_if_there(folder / "tokenizer_config.json")
    generation = _read_json_if_there(folder / "generation_config.json")
    chat_template = _chat_template(folder, settings)
    published = PublishedTokenizer(path, document)
    tokens = _Tokens(path, document, settings, _vocab_size(config))
    bos_id = tokens.first_id([_text(settings, "bos_token"), *_ids("bos_token_id", config)])
    eos_ids = end_of_answer(
        [
            tokens.first_id([_text(settings, "eos_token")]),
            *map(tokens.known_id, _ids("eos_token_id", generation, config)),
        ],
        tokens.control_id,
    )
    if not eos_ids:
        raise damaged_tokenizer(path, "no token ends an answer")
    pads = [_text(settings, "pad_token"), *_ids("pad_token_id", generation, config)]
    pad_id = tokens.first_id(pads)
    if pad_id is None:
        pad_id = eos_ids[0]
    components = published.components(tokens.vocab, starts_special=chat_template is not None)
    unknown_id = tokens.first_id(
        [_text(settings, "unk_token"), _text(document["model"], "unk_token")]
    )
    unknown = None if unknown_id is None else tokens.text[unknown_id]
    content = tokenizer_json(tokens.vocab, tokens.added, components, unknown)
    check_loads(content, tokens.added, path)
    add_bos = bos_id is not None and _adds_bos(settings, document, tokens.text[bos_id])
    runtime = runtime_config(
        components.tokenizer_class,
        bos=None if bos_id is None else tokens.text[bos_id],
        eos=tokens.text[eos_ids[0]],
        pad=tokens.text[pad_id],
        unknown=unknown,
        add_bos=add_bos,
        chat_template=chat_template,
    )
    return TokenizerFiles(content, runtime, chat_template, bos_id, tuple(eos_ids), pad_id, add_bos)


class _Tokens:
    """The checked tokens of a tokenizer.json.

    Attributes:
        vocab: id of every token of the model by its text.
        added: tokens that are found in text before it is cut, without those that the model has no
            embedding for (Gemma 3 lists a token for images after its last row).
        text: every token by its id.
    """

    def __init__(self, path: Path, document: Json, settings: Json, size: int | None) -> None:
        self._path = path
        model = document.get("model")
        vocab = model.get("vocab") if isinstance(model, dict) else None
        if not isinstance(vocab, dict) or not 0 < len(vocab) <= _MAX_TOKENS:
            raise self._damaged("its model has no vocabulary")
        limit = _MAX_TOKENS if size is None else size
        if not all(type(index) is int and 0 <= index < limit for index in vocab.values()):
            raise self._damaged(f"it has tokens beyond the {limit} rows of the embedding")
        self.vocab: dict[str, int] = vocab
        self.text = {index: token for token, index in vocab.items()}
        if len(self.text) != len(vocab):
            raise self._damaged("two of its tokens have one id")
        self.added: list[AddedToken] = []
        for item in _listed_tokens(document, settings):
            token = self._added_token(item)
            if token.id < limit:
                self.added.append(token)
        self.text |= {token.id: token.content for token in self.added}
        self._ids = {**vocab, **{token.content: token.id for token in self.added}}
        self._control = {token.content: token.id for token in self.added if token.special}

    def first_id(self, candidates: list[str | int | None]) -> int | None:
        """The id of the first candidate, a token or an id, that there is."""
        for candidate in candidates:
            known = (
                self._ids.get(candidate) if isinstance(candidate, str) else self.known_id(candidate)
            )
            if known is not None:
                return known
        return None

    def known_id(self, index: int | None) -> int | None:
        """`index` if it is that of a token."""
        return index if index in self.text else None

    def control_id(self, token: str) -> int | None:
        """Id of a special token, None if there is none of that text."""
        return self._control.get(token)

    def _added_token(self, item: object) -> AddedToken:
        match item:
            case {"id": int(index), "content": str(content)} if index >= 0 and content:
                attributes = cast(Json, item)
            case _:
                raise self._damaged(f"the added token {str(item)[:80]!r} has no id or no text")
        for key in ("lstrip", "single_word"):
            if attributes.get(key) is True:
                raise UnsupportedError(
                    f"{self._path} sets {key} for the token {content[:40]!r}, which"
                    " onnxruntime-genai passes over; this tokenizer is not supported."
                )
        if self.vocab.get(content, index) != index or self.text.get(index, content) != content:
            raise self._damaged(f"the added token {content[:40]!r} has two ids")
        special, rstrip = (attributes.get(key) is True for key in ("special", "rstrip"))
        return AddedToken(index, content, special, rstrip)

    def _damaged(self, what: str) -> DamagedFileError:
        return damaged_tokenizer(self._path, what)


def _listed_tokens(document: Json, settings: Json) -> Iterator[object]:
    """Added tokens of tokenizer.json, then those that only tokenizer_config.json lists."""
    listed = document.get("added_tokens")
    listed = listed if isinstance(listed, list) else []
    yield from listed
    seen = {item.get("id") for item in listed if isinstance(item, dict)}
    by_id = settings.get("added_tokens_decoder")
    for key, item in by_id.items() if isinstance(by_id, dict) else []:
        if isinstance(item, dict) and key.isdecimal() and int(key[:9]) not in seen:
            yield {"id": int(key[:9]), **item}


def _no_tokenizer(folder: Path) -> SourceError:
    slow = [
        name
        for name in ("tokenizer.model", "vocab.json", "merges.txt", "tekken.json", "spiece.model")
        if (folder / name).is_file()
    ]
    if not slow:
        return SourceError(f"{folder} has no tokenizer.json; download the whole folder again.")
    return SourceError(
        f"{folder} has {' and '.join(slow)} and no tokenizer.json; make one with transformers:"
        ' python -c "from transformers import AutoTokenizer;'
        " AutoTokenizer.from_pretrained('FOLDER').save_pretrained('FOLDER')\"."
    )


def _chat_template(folder: Path, settings: Json) -> str | None:
    """The template, "default" where there are several."""
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        return _read_text(jinja, _MAX_CONFIG_BYTES)
    named = _read_json_if_there(folder / "chat_template.json").get("chat_template")
    if named is None:
        named = settings.get("chat_template")
    if isinstance(named, list):
        by_name = {
            item.get("name"): item.get("template") for item in named if isinstance(item, dict)
        }
        named = next((by_name[name] for name in _TEMPLATE_NAMES if name in by_name), None)
    if named is not None and not (isinstance(named, str) and _is_text(named)):
        raise DamagedFileError(
            f"the chat template in {folder} is not text; download tokenizer_config.json again."
        )
    return named


def _is_text(content: str) -> bool:
    """Whether it can be written: JSON can hold halves of characters."""
    try:
        content.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _adds_bos(settings: Json, document: Json, bos: str) -> bool:
    """Whether prompts start with BOS: as the settings say, else as the post-processor does."""
    stated = settings.get("add_bos_token")
    if isinstance(stated, bool):
        return stated
    post = document.get("post_processor")
    steps = post.get("processors") if isinstance(post, dict) else None
    for step in steps if isinstance(steps, list) else [post]:
        match step:
            case {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": first}}, *_]}:
                return bool(first == bos)
    return False


def _vocab_size(config: Mapping[str, object]) -> int | None:
    size = config.get("vocab_size")
    return size if type(size) is int and 0 < size <= _MAX_TOKENS else None


def _text(settings: object, key: str) -> str | None:
    """A token by its text, which is stored plainly or with attributes."""
    token = settings.get(key) if isinstance(settings, dict) else None
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _ids(key: str, *configs: Mapping[str, object]) -> list[int]:
    """Ids at `key` in order, each stored as a number or a list of them."""
    found = []
    for config in configs:
        value = config.get(key)
        for index in value if isinstance(value, list) else [value]:
            if type(index) is int:
                found.append(index)
    return found


def _read_json_if_there(path: Path) -> Json:
    return _read_json(path, _MAX_CONFIG_BYTES) if path.is_file() else {}


def _read_json(path: Path, max_bytes: int) -> Json:
    try:
        content = json.loads(_read_text(path, max_bytes))
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is not valid JSON ({error}); download it again.") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} is not a JSON object; download it again.")
    return cast(Json, content)


def _read_text(path: Path, max_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}).") from error
    if len(content) > max_bytes:
        raise DamagedFileError(f"{path} is larger than {max_bytes >> 20} MiB; download it again.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} is not UTF-8 text; download it again.") from error
