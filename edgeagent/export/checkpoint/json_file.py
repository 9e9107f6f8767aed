"""JSON from files that are not trusted: bounded, no key twice, errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path

from edgeagent.errors import DamagedFileError, SourceError
from edgeagent.export.checkpoint.access import access_to

Json = str | int | float | bool | list["Json"] | dict[str, "Json"] | None
"""What a JSON document can hold."""

MAX_NESTING = 32
MAX_CONTAINERS = 1_000_000
"""Objects and arrays in one document; a tensor list has three for each tensor."""

_OPENING = (b"{", b"[")


class _DuplicateKeyError(ValueError):
    """A key occurs twice in one object, so that readers may disagree on its value."""


def read_json_object(path: Path, max_bytes: int) -> dict[str, Json]:
    """Read a JSON file whose document is an object.

    Args:
        path: The file.
        max_bytes: More is refused before it is read.

    Raises:
        SourceError: The file is missing or may not be read.
        DamagedFileError: It is too long, or not a JSON object.
    """
    with access_to(path):
        if not path.is_file():
            raise SourceError(f"{path} does not exist or is not a file.")
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise DamagedFileError(f"{path} has more than the {max_bytes} bytes that are read of it.")
    return parse_json_object(raw, str(path))


def parse_json_object(raw: bytes, source: str) -> dict[str, Json]:
    """Parse a JSON document that is an object.

    The caller limits the length; here the number of containers is limited, since an empty list
    takes two bytes in a file and thirty times as many in memory.

    Args:
        raw: The document, UTF-8.
        source: What to call it in an error.

    Raises:
        DamagedFileError: It is not valid JSON, not an object, nested too deeply or has too many
            parts, or holds a key twice.
    """
    if sum(raw.count(byte) for byte in _OPENING) > MAX_CONTAINERS:
        raise _damaged(source, f"it has more than {MAX_CONTAINERS} parts")
    try:
        document: Json = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError:
        raise _damaged(source, "it is not valid UTF-8") from None
    except _DuplicateKeyError as error:
        raise _damaged(source, str(error)) from None
    except json.JSONDecodeError as error:
        raise _damaged(source, f"it is not valid JSON ({error})") from None
    except ValueError:
        raise _damaged(source, "it holds a number of thousands of digits") from None
    except RecursionError:
        raise _too_deep(source) from None
    if not isinstance(document, dict):
        raise _damaged(source, "it is not a JSON object")
    _check_nesting(document, source)
    return document


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(f"{key[:80]!r} is listed twice")
            seen.add(key)
    return entries


def _check_nesting(document: Json, source: str) -> None:
    level: list[Json] = [document]
    for _ in range(MAX_NESTING + 1):
        inner: list[Json] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(item for item in value.values() if isinstance(item, dict | list))
            elif isinstance(value, list):
                inner.extend(item for item in value if isinstance(item, dict | list))
        if not inner:
            return
        level = inner
    raise _too_deep(source)


def _too_deep(source: str) -> DamagedFileError:
    return _damaged(source, f"it nests objects and lists more than {MAX_NESTING} deep")


def _damaged(source: str, what: str) -> DamagedFileError:
    return DamagedFileError(f"{source} is damaged: {what}; download it again.")
