"""Power of an NVIDIA Jetson module and of its supply rails.

Which rails add up to the module is a fact of the board, not of the sensors: it comes from the
device profiles (`profiles/devices/*.toml`), which a board is matched to by its device tree. Labels
are compared exactly. A board that no profile knows gets its rails, each for itself, and no total.
The carrier board is measured only where the profile says so.

Containers hide the device tree. There, a board is known by its rails if they are exactly those of a
profile, and every profile with these rails adds up the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeagent.config.device import Rail
from edgeagent.config.devices import BoardRails, list_devices, rails_for
from edgeagent.errors import ConfigError
from edgeagent.meter.energy.ina import (
    Channel,
    find_channels,
    is_switched_off,
    period_s,
    power_w,
    resolution_w,
)
from edgeagent.meter.energy.reading import failed, group_read_remedy, offer
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, matching
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

_TOTAL_INTERVAL_S = 0.05
"""A read waits 7 to 13 ms for the bus, twice for each rail, and its chip converts no faster."""

_ADDEND_INTERVAL_S = 0.1
"""Where several rails add up, each waits for the others."""

_PART_INTERVAL_S = 0.2
"""Rails that stand alone are read more rarely: the total is what counts."""

_MAX_POWER_W = 400.0
"""More than any module and its supply can take; a reading beyond it is a fault of the bus."""

_SCOPES = {None: Scope.RAIL, "module": Scope.MODULE, "system": Scope.SYSTEM}


def discover_jetson(tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find the rails with a power monitor and probe each by reading its power."""
    channels = find_channels(tree)
    if not channels:
        return _mute(tree)
    board, hindrance = _board(channels, tree)
    rails = [_rail(channel, channels, board) for channel in channels]
    totals = [rail.total if rail else None for rail in rails]
    offers = [
        _offer(channel, _info(source, total), _least_s(total, totals), tree)
        for channel, source, total in zip(channels, _names(channels, rails), totals, strict=True)
    ]
    missing = (
        _unknown_total(channels[0].sensor, hindrance)
        if board is None or hindrance
        else _missing_rails(board, rails, tree)
    )
    return Discovery.union((*offers, missing))


def _mute(tree: SystemTree) -> Discovery:
    """List a monitor that is bound to its driver but shows nothing that could be read."""
    for sensor in ("ina3221", "ina3221x", "ina238"):
        # A bound device is a link named bus-address, such as 1-0040.
        if matching(tree.sys / "bus" / "i2c" / "drivers" / sensor, "*-00*"):
            info = _info(f"{sensor.removesuffix('x')}:total", "module")
            reason = f"The driver {sensor} has a power monitor but shows no channel of it."
            return Discovery((), (failed(info, SourceState.UNSUPPORTED, reason),))
    return Discovery((), ())


def _board(channels: Sequence[Channel], tree: SystemTree) -> tuple[BoardRails | None, str]:
    """Return the rails of this board, or why they are not known."""
    compatible, model = (_device_tree(tree, name) for name in ("compatible", "model"))
    name = " ".join(model) or (compatible[0] if compatible else "unnamed")
    try:
        if compatible or model:
            board = rails_for(compatible, " ".join(model) or None)
        else:
            board = _board_with_these_rails(channels)
    except ConfigError as error:
        return None, f"The device profiles cannot be read: {error}"
    if board is None:
        return None, f"No device profile says which rails of the board {name!r} add up to it."
    if not board.total("module") and not board.total("system"):
        return (
            board,
            f"The profile {board.profile_id} says of no rail that it adds up to the board.",
        )
    return board, ""


def _board_with_these_rails(channels: Sequence[Channel]) -> BoardRails | None:
    """Return the rails of the profiles that have exactly these, `None` if they add up otherwise."""
    fits = [
        board
        for profile in list_devices()
        if profile.rail and _is_same(board := BoardRails(profile.id, profile.rail), channels)
    ]
    totals = {
        frozenset((rail.sensor, rail.label, rail.total) for rail in board.rails if rail.total)
        for board in fits
    }
    return fits[0] if len(totals) == 1 else None


def _is_same(board: BoardRails, channels: Sequence[Channel]) -> bool:
    found = [_rail(channel, channels, board) for channel in channels]
    return None not in found and all(rail in found for rail in board.rails)


def _device_tree(tree: SystemTree, name: str) -> tuple[str, ...]:
    """Return the null-terminated texts of a property at the root of the device tree."""
    for folder in (tree.proc / "device-tree", tree.sys / "firmware" / "devicetree" / "base"):
        text = tree.text(folder / name)
        if text:
            return tuple(part.strip() for part in text.split("\x00") if part.strip())
    return ()


def _rail(channel: Channel, channels: Sequence[Channel], board: BoardRails | None) -> Rail | None:
    """Return what the profile says about a channel, `None` if nothing.

    The INA238 has no label in most kernels: where chip and rail of this family are the only ones,
    they belong together.
    """
    if board is None:
        return None
    if channel.label:
        return board.find(channel.sensor, channel.label)
    rails = [rail for rail in board.rails if rail.sensor == channel.sensor]
    alike = [other for other in channels if other.sensor == channel.sensor]
    return rails[0] if channel.sensor == "ina238" and len(rails) == len(alike) == 1 else None


def _names(channels: Sequence[Channel], rails: Sequence[Rail | None]) -> tuple[str, ...]:
    """Name each channel by its label, and by its place too if it has none or shares it."""
    names = [
        f"{channel.sensor}:{channel.label or (rail.label if rail else 'rail')}"
        for channel, rail in zip(channels, rails, strict=True)
    ]
    return tuple(
        name if names.count(name) == 1 and (channel.label or rail) else f"{name}@{channel.place}"
        for name, channel, rail in zip(names, channels, rails, strict=True)
    )


def _info(source: str, total: str | None) -> SourceInfo:
    return SourceInfo(
        source=source,
        quantity="power_w",
        kind=SampleKind.SAMPLED,
        scope=_SCOPES[total],
        total=total,
        max_power_w=_MAX_POWER_W,
    )


def _least_s(total: str | None, totals: Sequence[str | None]) -> float:
    """Return the shortest time between two reads of a rail with this total, among all rails."""
    if total is None:
        return _PART_INTERVAL_S
    return _TOTAL_INTERVAL_S if totals.count(total) == 1 else _ADDEND_INTERVAL_S


def _offer(channel: Channel, info: SourceInfo, least_s: float, tree: SystemTree) -> Discovery:
    converts_s = period_s(channel, tree)
    min_interval_s = max(least_s, converts_s or 0.0)
    interval_s = _TOTAL_INTERVAL_S if converts_s is None else converts_s
    info = info.model_copy(update={"interval_s": interval_s})
    if is_switched_off(channel, tree):
        reason = f"The channel is switched off: {channel.enable} is 0."
        remedy = f"As an administrator, write 1 to {channel.enable}."
        return Discovery((), (failed(info, SourceState.UNSUPPORTED, reason, remedy),))
    return offer(
        info.model_copy(update={"resolution": resolution_w(channel, tree)}),
        lambda: power_w(channel, tree),
        min_interval_s=min_interval_s,
        remedies={SourceState.PERMISSION: group_read_remedy(channel.factors[0])},
    )


def _unknown_total(sensor: str, hindrance: str) -> Discovery:
    """Say why the rails of a board are not added up."""
    remedy = (
        "Say in a device profile which rails add up (docs/hardware.md tells how), or use an "
        "external meter."
    )
    info = _info(f"{sensor}:total", "module")
    return Discovery((), (failed(info, SourceState.UNSUPPORTED, hindrance, remedy),))


def _missing_rails(board: BoardRails, found: Sequence[Rail | None], tree: SystemTree) -> Discovery:
    """List what a total lacks; without it, the rails that are there would pass for all of it."""
    return Discovery(
        (),
        tuple(
            failed(
                _info(f"{rail.sensor}:{rail.label}", rail.total),
                SourceState.ABSENT,
                f"No {rail.sensor.upper()} in {tree.sys} has the label {rail.label}, which the "
                "total needs.",
                f"Load the driver {rail.sensor}; the device tree of the system must name the rail.",
            )
            for rail in (*board.total("module"), *board.total("system"))
            if rail not in found
        ),
    )
