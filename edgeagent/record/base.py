"""The base class of every record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
"""Version of the JSON Lines files of a run; raised when a reader of the old one would misread."""


class Record(BaseModel):
    """A frozen, validated record; unknown fields are refused so that misspellings surface."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
