"""`edgeagent devices`: what is known about kinds of machines, and from where."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import click

from edgeagent.cli.text import human_bytes
from edgeagent.config.device import Compute, DeviceProfile, Memory, PowerMode, Sourced, Value
from edgeagent.config.devices import DeviceMatch, list_devices, load_device, matching_devices

_EXAMPLES = """\b
Examples:
  edgeagent devices
  edgeagent devices jetson-orin-nano
  edgeagent devices my-board.toml --json
"""


@click.command("devices", epilog=_EXAMPLES)
@click.argument("device", metavar="[ID|FILE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(device: str | None, as_json: bool) -> None:
    """List device profiles and which one this machine is, or show one with all its sources.

    A profile says what the makers state: memory and its bandwidth, the highest rates of
    arithmetic, power modes, rails with sensors, execution providers. Each value names its source;
    what nobody states is left out.
    """
    if device is None:
        _list(as_json)
    else:
        _show(load_device(device), as_json)


def _matches(profiles: Iterable[DeviceProfile]) -> tuple[DeviceMatch, ...]:
    from edgeagent.meter.host.identity import device_facts

    return matching_devices(device_facts(), profiles)


def _list(as_json: bool) -> None:
    profiles = list_devices()
    here = next(iter(_matches(profiles)), None)
    if as_json:
        rows = [_summary(profile, here) for profile in profiles]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max(len(profile.id) for profile in profiles)
    for profile in profiles:
        is_this = here is not None and here.profile.id == profile.id
        this = f"  <- this machine{_variant_note(here)}" if is_this else ""
        click.echo(f"{profile.id:<{width}}  {profile.name}{this}")
    if here is None:
        click.echo("None is for this machine; profiles/devices/README.md says how to write one.")


def _variant_note(match: DeviceMatch | None) -> str:
    return "" if match is None or match.variant is None else f": {match.variant.name}"


def _summary(profile: DeviceProfile, here: DeviceMatch | None) -> dict[str, Any]:
    this = here is not None and here.profile.id == profile.id
    variant = here.variant.id if here is not None and this and here.variant is not None else None
    return {
        "id": profile.id,
        "name": profile.name,
        "vendor": profile.vendor,
        "variants": [version.id for version in profile.variant],
        "this_machine": this,
        "this_variant": variant,
    }


def _show(profile: DeviceProfile, as_json: bool) -> None:
    here = next(iter(_matches([profile])), None)
    if as_json:
        data = profile.model_dump(mode="json", exclude_none=True)
        data["this_machine"] = here is not None
        data["this_variant"] = here.variant.id if here is not None and here.variant else None
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    click.echo(f"{profile.name} ({profile.id})")
    if here is not None:
        click.echo(f"fits this machine{_variant_note(here)}")
    _print_section("machine", _machine_lines(profile))
    _print_section("memory", _memory_lines(profile.memory))
    _print_section("highest rates", map(_compute_line, profile.compute))
    _print_section("power modes", map(_mode_line, profile.power_mode))
    for variant in profile.variant:
        _print_section(f"{variant.name}: memory", _memory_lines(variant.memory))
        _print_section(f"{variant.name}: highest rates", map(_compute_line, variant.compute))
        _print_section(f"{variant.name}: power modes", map(_mode_line, variant.power_mode))
    _print_section("rails with sensors", _rail_lines(profile))
    _print_section("other sources of energy readings", _energy_lines(profile))
    _print_section("execution providers", _provider_lines(profile))


class _Line(NamedTuple):
    """One statement of a profile: its name, the statement, and what it is taken from."""

    name: str
    value: str
    origin: Sourced


def _print_section(title: str, lines: Iterable[_Line]) -> None:
    for number, line in enumerate(lines):
        if number == 0:
            click.echo("\n" + click.style(title, bold=True))
        note = f" ({line.origin.note})" if line.origin.note else ""
        click.echo(f"  {line.name}: {line.value}{note}")
        click.echo(click.style(f"    source: {line.origin.source}", dim=True))


def _machine_lines(profile: DeviceProfile) -> Iterable[_Line]:
    stated = {"chip": profile.soc, "CPU": profile.cpu, "GPU": profile.gpu, "NPU": profile.npu}
    return [_Line(name, value.value, value) for name, value in stated.items() if value]


def _memory_lines(memory: Memory | None) -> Iterable[_Line]:
    if memory is None:
        return
    if size := memory.size_bytes:
        yield _Line("size", f"{size.value / (1 << 30):g} GiB", size)
    if kind := memory.kind:
        yield _Line("kind", kind.value, kind)
    if rate := memory.bandwidth_bytes_per_s:
        yield _Line("bandwidth", f"{human_bytes(rate.value)}/s", rate)
    if unified := memory.unified:
        yield _Line("shared by the processors", _yes_or_no(unified), unified)


def _yes_or_no(value: Value[bool]) -> str:
    return "yes" if value.value else "no"


def _compute_line(compute: Compute) -> _Line:
    precision = "" if compute.precision == "unstated" else f" {compute.precision}"
    sparsity = "" if compute.sparsity == "unstated" else f" {compute.sparsity}"
    mode = f" in {compute.power_mode}" if compute.power_mode else ""
    name = "all processors together" if compute.processor == "all" else compute.processor.upper()
    rate = f"{compute.value / 1e12:g} TOPS"
    missing = [
        what
        for what, value in (("precision", compute.precision), ("sparsity", compute.sparsity))
        if value == "unstated"
    ]
    unstated = f", {' and '.join(missing)} not stated" if missing else ""
    return _Line(name, f"{rate}{precision}{sparsity}{mode}{unstated}", compute)


def _mode_line(mode: PowerMode) -> _Line:
    number = "" if mode.id is None else f"number {mode.id}, "
    budget = "no stated limit" if mode.power_w is None else f"{mode.power_w:g} W"
    rate = mode.bandwidth_bytes_per_s
    slower = "" if rate is None else f", memory at {human_bytes(rate)}/s"
    return _Line(mode.name, f"{number}{budget}{slower}", mode)


def _rail_lines(profile: DeviceProfile) -> Iterable[_Line]:
    for rail in profile.rail:
        summands = [other for other in profile.rail if other.total == rail.total]
        if rail.total is None:
            role = "a part, never added"
        elif len(summands) == 1:
            role = f"the {rail.total}'s total"
        else:
            role = f"one of {len(summands)} that make up the {rail.total}'s total"
        within = f", inside {rail.inside}" if rail.inside else ""
        name = " or ".join(rail.labels)
        yield _Line(name, f"{rail.covers}; {rail.sensor}; {role}{within}", rail)


def _energy_lines(profile: DeviceProfile) -> Iterable[_Line]:
    return (_Line(source.kind, source.covers, source) for source in profile.energy)


def _provider_lines(profile: DeviceProfile) -> Iterable[_Line]:
    for provider in profile.provider:
        package = f"package {provider.package}" if provider.package else "no package to install"
        yield _Line(provider.ep, package, provider)
