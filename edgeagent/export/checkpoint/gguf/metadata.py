"""Typed access to the metadata of a GGUF file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import EllipsisType, MappingProxyType
from typing import TypeVar, cast, overload

from edgeagent.errors import DamagedFileError
from edgeagent.export.checkpoint.gguf.header import Value

D = TypeVar("D")


class MetadataReader:
    """Metadata with getters that check the type.

    Every getter takes the key and an optional default. Without a default a missing key is an
    error; a default is returned as it is. A key that is present but holds another type is always
    an error.
    """

    def __init__(self, path: Path, metadata: dict[str, Value]) -> None:
        self.path = path
        self.metadata: Mapping[str, Value] = MappingProxyType(metadata)

    @overload
    def get_str(self, key: str, default: EllipsisType = ...) -> str: ...
    @overload
    def get_str(self, key: str, default: D) -> str | D: ...
    def get_str(self, key: str, default: object = ...) -> object:
        """The string at `key`."""
        return self._get(key, default, (str,), "a string")

    @overload
    def get_int(self, key: str, default: EllipsisType = ...) -> int: ...
    @overload
    def get_int(self, key: str, default: D) -> int | D: ...
    def get_int(self, key: str, default: object = ...) -> object:
        """The integer at `key`."""
        return self._get(key, default, (int,), "an integer")

    @overload
    def get_float(self, key: str, default: EllipsisType = ...) -> float: ...
    @overload
    def get_float(self, key: str, default: D) -> float | D: ...
    def get_float(self, key: str, default: object = ...) -> object:
        """The finite number at `key`, as a float."""
        value = self._get(key, default, (float, int), "a number")
        if key not in self.metadata:
            return value
        number = float(cast(float, value))
        if not math.isfinite(number):
            raise self._damaged(key, "is not a finite number")
        return number

    @overload
    def get_bool(self, key: str, default: EllipsisType = ...) -> bool: ...
    @overload
    def get_bool(self, key: str, default: D) -> bool | D: ...
    def get_bool(self, key: str, default: object = ...) -> object:
        """The boolean at `key`."""
        return self._get(key, default, (bool,), "a boolean")

    @overload
    def get_strings(self, key: str, default: EllipsisType = ...) -> list[str]: ...
    @overload
    def get_strings(self, key: str, default: D) -> list[str] | D: ...
    def get_strings(self, key: str, default: object = ...) -> object:
        """The array of strings at `key`."""
        return self._get_list(key, default, str, "an array of strings")

    @overload
    def get_ints(self, key: str, default: EllipsisType = ...) -> list[int]: ...
    @overload
    def get_ints(self, key: str, default: D) -> list[int] | D: ...
    def get_ints(self, key: str, default: object = ...) -> object:
        """The array of integers at `key`."""
        return self._get_list(key, default, int, "an array of integers")

    @overload
    def get_floats(self, key: str, default: EllipsisType = ...) -> list[float]: ...
    @overload
    def get_floats(self, key: str, default: D) -> list[float] | D: ...
    def get_floats(self, key: str, default: object = ...) -> object:
        """The array of floating-point numbers at `key`."""
        return self._get_list(key, default, float, "an array of floating-point numbers")

    def _get(self, key: str, default: object, kinds: tuple[type, ...], wanted: str) -> object:
        value = self.metadata.get(key)
        if value is None:
            if default is ...:
                raise DamagedFileError(
                    f"{self.path} has no metadata key {key}, which this model needs; "
                    "take the file from another source."
                )
            return default
        # bool is a subclass of int, so the exact type decides.
        if type(value) not in kinds:
            raise self._damaged(key, f"is not {wanted}")
        return value

    def _get_list(self, key: str, default: object, kind: type, wanted: str) -> object:
        values = self._get(key, default, (list,), wanted)
        if key in self.metadata and not set(map(type, cast(list[Value], values))) <= {kind}:
            raise self._damaged(key, f"is not {wanted}")
        return values

    def _damaged(self, key: str, what: str) -> DamagedFileError:
        return DamagedFileError(f"{self.path} is damaged: metadata key {key} {what}.")
