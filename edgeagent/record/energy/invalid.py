"""Why the energy of a window is not known."""

from __future__ import annotations

from enum import StrEnum


class Invalid(StrEnum):
    """What readings do not tell; a window that touches such an interval has no energy."""

    NOT_COVERED = "not_covered"
    UNREADABLE = "unreadable"
    READ_FAILED = "read_failed"
    GAP = "gap"
    WRAPS = "wraps"
    RESET = "reset"
    IMPOSSIBLE = "impossible"
    NOT_DISCHARGING = "not_discharging"

    @property
    def sentence(self) -> str:
        """What happened, for people, without a full stop."""
        return _SENTENCES[self]


_SENTENCES = {
    Invalid.NOT_COVERED: "there are no readings on both sides of it",
    Invalid.UNREADABLE: "a source that the total needs could not be read at all",
    Invalid.READ_FAILED: "readings failed",
    Invalid.GAP: "readings were missing for too long",
    Invalid.WRAPS: "the counter may have wrapped more than once between two readings",
    Invalid.RESET: "the counter was reset",
    Invalid.IMPOSSIBLE: "a reading was not possible for the source",
    Invalid.NOT_DISCHARGING: "the battery was not discharging",
}

CODES: tuple[Invalid, ...] = tuple(Invalid)
"""Codes of the reasons in arrays: the index here plus one; 0 is a valid interval."""


def code_of(reason: Invalid) -> int:
    """Return the code of a reason in arrays."""
    return CODES.index(reason) + 1


def reason_of(code: int) -> Invalid | None:
    """Return the reason behind a code, `None` for 0."""
    return CODES[code - 1] if code else None
