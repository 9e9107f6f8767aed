"""The base class of every configuration file and the one way to read such a file."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import tomli
from pydantic import BaseModel, ConfigDict, ValidationError

from edgeagent.errors import ConfigError

MAX_CONFIG_BYTES = 4 << 20
"""Configuration files are written by people; anything larger is a mistake or an attack."""


class Spec(BaseModel):
    """A frozen, validated piece of configuration; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


SpecT = TypeVar("SpecT", bound=Spec)

_PLAIN = {"extra_forbidden": "there is no such key", "missing": "this key is missing"}
"""Kinds of error whose usual words speak of program arguments, and ours."""


def load_spec(path: Path, spec: type[SpecT]) -> SpecT:
    """Read a TOML file into a spec.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or does not fit the spec; the message
            names the file, the key and what is wrong with it.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES >> 20} MiB.")
        data = tomli.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    return parse_spec(data, spec, where=str(path))


def parse_spec(data: object, spec: type[SpecT], where: str) -> SpecT:
    """Validate plain data; `where` names its origin in the error.

    Raises:
        ConfigError: The data does not fit the spec.
    """
    try:
        return spec.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        what = _PLAIN.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise ConfigError(f"{where}: {key}: {what}{more}.") from error
