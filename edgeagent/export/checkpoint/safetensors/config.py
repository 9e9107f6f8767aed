"""Typed access to the JSON configuration files of a Hugging Face folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import EllipsisType, MappingProxyType
from typing import Self, TypeVar, cast, overload

from edgeagent.errors import DamagedFileError
from edgeagent.export.checkpoint.json_file import Json, read_json_object

MAX_CONFIG_BYTES = 2**20
"""Configurations of published language models take 1 to 20 kB."""

_MAX_EXACT_INT = 2**53  # what every JSON reader keeps exactly
_MAX_STATED = 60

D = TypeVar("D")


class HFConfig:
    """A JSON object with getters that check the type; errors name the file and the key.

    Every getter takes the key and an optional default. Without a default a missing key is an
    error; a default is returned as it is. `null` counts as missing, since configurations state
    what they don't use that way (`"sliding_window": null`). A key that is present but holds
    another type is always an error.

    Attributes:
        path: The file.
        values: The object.
        prefix: Where it lies in the file, `rope_scaling.` for a section, "" for the whole.
    """

    def __init__(self, path: Path, values: dict[str, Json], prefix: str = "") -> None:
        self.path = path
        self.values: Mapping[str, Json] = MappingProxyType(values)
        self.prefix = prefix

    @classmethod
    def read(cls, path: Path, max_bytes: int = MAX_CONFIG_BYTES) -> Self:
        """Read a file such as `config.json` or `generation_config.json`.

        Raises:
            SourceError: It is missing or may not be read.
            DamagedFileError: It is too long, or not a JSON object.
        """
        return cls(path, read_json_object(path, max_bytes))

    def __contains__(self, key: str) -> bool:
        """Whether the key is there and not `null`."""
        return self.values.get(key) is not None

    @overload
    def get_str(self, key: str, default: EllipsisType = ...) -> str: ...
    @overload
    def get_str(self, key: str, default: D) -> str | D: ...
    def get_str(self, key: str, default: object = ...) -> object:
        """The string at `key`."""
        return self._get(key, default, _is_str, "a string")

    @overload
    def get_int(self, key: str, default: EllipsisType = ...) -> int: ...
    @overload
    def get_int(self, key: str, default: D) -> int | D: ...
    def get_int(self, key: str, default: object = ...) -> object:
        """The integer at `key`; 8192.0 is one too, as JSON has one kind of numbers."""
        value = self._get(key, default, _is_int, "an integer")
        return int(cast(float, value)) if key in self else value

    @overload
    def get_float(self, key: str, default: EllipsisType = ...) -> float: ...
    @overload
    def get_float(self, key: str, default: D) -> float | D: ...
    def get_float(self, key: str, default: object = ...) -> object:
        """The finite number at `key`, as a float."""
        value = self._get(key, default, _is_number, "a finite number")
        return float(cast(float, value)) if key in self else value

    @overload
    def get_bool(self, key: str, default: EllipsisType = ...) -> bool: ...
    @overload
    def get_bool(self, key: str, default: D) -> bool | D: ...
    def get_bool(self, key: str, default: object = ...) -> object:
        """The boolean at `key`."""
        return self._get(key, default, _is_bool, "a boolean")

    @overload
    def get_strings(self, key: str, default: EllipsisType = ...) -> list[str]: ...
    @overload
    def get_strings(self, key: str, default: D) -> list[str] | D: ...
    def get_strings(self, key: str, default: object = ...) -> object:
        """The list of strings at `key`."""
        return self._get(key, default, _list_of(_is_str), "a list of strings")

    @overload
    def get_ints(self, key: str, default: EllipsisType = ...) -> list[int]: ...
    @overload
    def get_ints(self, key: str, default: D) -> list[int] | D: ...
    def get_ints(self, key: str, default: object = ...) -> object:
        """The integers at `key`, a list or a single one (`eos_token_id` is either)."""
        value = self._get(key, default, _is_int_or_ints, "an integer or a list of integers")
        if key not in self:
            return value
        values = value if isinstance(value, list) else [value]
        return [int(cast(float, each)) for each in values]

    @overload
    def get_floats(self, key: str, default: EllipsisType = ...) -> list[float]: ...
    @overload
    def get_floats(self, key: str, default: D) -> list[float] | D: ...
    def get_floats(self, key: str, default: object = ...) -> object:
        """The list of finite numbers at `key`, as floats."""
        value = self._get(key, default, _list_of(_is_number), "a list of finite numbers")
        return [float(each) for each in cast(list[float], value)] if key in self else value

    @overload
    def section(self, key: str, default: EllipsisType = ...) -> HFConfig: ...
    @overload
    def section(self, key: str, default: D) -> HFConfig | D: ...
    def section(self, key: str, default: object = ...) -> object:
        """The object at `key`, for example `rope_scaling`, as a reader of its own."""
        value = self._get(key, default, _is_object, "an object")
        if key not in self:
            return value
        return HFConfig(self.path, cast(dict[str, Json], value), f"{self.prefix}{key}.")

    def damaged(self, key: str, what: str) -> DamagedFileError:
        """The error for the value at `key`; `what` completes "KEY ...": `is not a string`."""
        return DamagedFileError(
            f"{self.path} is damaged or not of a language model: {self.prefix}{key} {what}."
        )

    def _get(
        self, key: str, default: object, fits: Callable[[object], bool], wanted: str
    ) -> object:
        value = self.values.get(key)
        if value is None:
            if default is ...:
                raise DamagedFileError(
                    f"{self.path} has no key {self.prefix}{key}, which this model needs; take the"
                    " checkpoint from another source."
                )
            return default
        if not fits(value):
            stated = repr(value)
            if len(stated) > _MAX_STATED:
                stated = stated[:_MAX_STATED] + "..."
            raise self.damaged(key, f"is {stated}, not {wanted}")
        return value


def _is_str(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # A longer integer cannot be turned into a float.
    return abs(value) <= _MAX_EXACT_INT if isinstance(value, int) else math.isfinite(value)


def _is_int(value: object) -> bool:
    return _is_number(value) and cast(float, value) == int(cast(float, value))


def _is_int_or_ints(value: object) -> bool:
    return _is_int(value) or _list_of(_is_int)(value)


def _list_of(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(fits(each) for each in value)
