"""What engines say of an adapter that they do not have."""

from __future__ import annotations

from collections.abc import Collection

from edgeagent.errors import EngineError


def require_adapter(name: str, known: Collection[str], where: str) -> None:
    """Check the name of an adapter.

    Args:
        name: What was asked for.
        known: What there is.
        where: What to call the package in a message.

    Raises:
        EngineError: There is no such adapter; the message lists those that there are.
    """
    if name in known:
        return
    if not known:
        raise EngineError(
            f"There is no adapter {name!r}: {where} has none; export it with --adapter NAME=PATH."
        )
    raise EngineError(f"There is no adapter {name!r}; {where} has {', '.join(sorted(known))}.")
