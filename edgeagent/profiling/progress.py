"""How far a profile is, for displays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProfileProgress:
    """How far a profile is.

    Attributes:
        stage: `cold start`, `warm-up`, `preflight`, `load pulses`, `idle baseline`, `cool-down`
            or `tasks`.
        detail: Current paradigm, and for tasks the current task.
        done: Finished parts of the stage.
        total: All parts of the stage, as far as they are known.
        remaining_s: Estimated time left of the tasks, `None` if unknown yet.
        note: A sentence that should stay on the screen, else empty.
    """

    stage: str
    detail: str
    done: int
    total: int
    remaining_s: float | None = None
    note: str = ""


OnProfileProgress = Callable[[ProfileProgress], None]
