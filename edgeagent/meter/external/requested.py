"""What is read only if the user asks for it: `--meter KIND:ADDRESS`, and estimates."""

from __future__ import annotations

from collections.abc import Iterable

from edgeagent.errors import ConfigError
from edgeagent.meter.protocol import Discovery
from edgeagent.record.estimate import EstimateLimits

_KINDS = ("shelly",)


def check_meters(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names; raises `ConfigError` for a kind that does not exist or comes twice."""
    checked = tuple(names)
    kinds = [name.partition(":")[0] for name in checked]
    for name, kind in zip(checked, kinds, strict=True):
        if kind not in _KINDS or ":" not in name:
            raise ConfigError(
                f"{name!r} is no meter; write one of {', '.join(_KINDS)} with its address, such "
                "as shelly:192.168.1.20."
            )
        if kinds.count(kind) > 1:
            raise ConfigError(f"Only one meter of the kind {kind} can be read at a time.")
    return checked


def discover_requested(
    names: Iterable[str] = (), estimate: EstimateLimits | None = None
) -> Discovery:
    """Probe what the user asked for: meters by their names, and an estimate.

    Raises:
        ConfigError: A name or an address is not valid.
    """
    from edgeagent.meter.external.estimate import discover_estimate
    from edgeagent.meter.external.shelly import discover_shelly

    found = [discover_shelly(name.partition(":")[2]) for name in check_meters(names)]
    if estimate is not None:
        found.append(discover_estimate(estimate))
    return Discovery.union(found)
