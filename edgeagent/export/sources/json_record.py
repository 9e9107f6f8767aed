"""Small JSON files in which a folder of downloads remembers what it holds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MAX_BYTES = 32 << 20


def write_json(document: Mapping[str, object], place: Path) -> None:
    """Write a record, whole or not at all; its folder must exist."""
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(place: Path) -> dict[str, Any]:
    """Read a record, empty if there is none or it is damaged."""
    try:
        if place.stat().st_size > _MAX_BYTES:
            return {}
        document = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
