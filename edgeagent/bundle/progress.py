"""How far a bundle is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

BundleStage: TypeAlias = Literal["wheels", "hash", "write", "verify"]

OnBundleProgress: TypeAlias = Callable[[BundleStage, int, int | None], None]
"""Told the stage, and the bytes that are done and that there are (`None` if unknown)."""


def ignore_progress(stage: BundleStage, done: int, total: int | None) -> None:
    """Report to nobody."""
