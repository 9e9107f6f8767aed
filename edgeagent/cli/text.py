"""Numbers for people: scaling from SI base units happens here and in reports, nowhere else."""

from __future__ import annotations


def human_bytes(count: float) -> str:
    """Return bytes in decimal units, as disks and downloads are sold: `98.4 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def human_count(count: int) -> str:
    """Return a number of weights: `135 M`, `3.1 B`."""
    return f"{count / 1e9:.1f} B" if count >= 999_500_000 else f"{count / 1e6:.0f} M"


def human_duration(seconds: float) -> str:
    """Return a duration: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
