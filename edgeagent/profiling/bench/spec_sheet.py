"""What the maker of this machine states for its memory and its processor."""

from __future__ import annotations

from edgeagent.config.devices import DeviceMatch, match_device
from edgeagent.meter.host.identity import device_facts
from edgeagent.meter.host.modes import nvpmodel_mode
from edgeagent.record.bench_run import SpecSheet

_PROCESSORS = {"cpu": "cpu", "cuda": "gpu"}
"""Processor of a device profile whose rate an execution provider is held against."""


def spec_sheet(
    ep: str, found: DeviceMatch | None = None, power_mode: str | None = None
) -> SpecSheet | None:
    """Return the limits on paper, `None` if there is no device profile or it states none.

    Args:
        ep: Execution provider that is measured.
        found: Device profile; by default the one that fits this machine.
        power_mode: That is set; by default what this machine says.

    Raises:
        ConfigError: A shipped profile is damaged.
    """
    match = found or match_device(device_facts())
    if match is None:
        return None
    mode = power_mode or nvpmodel_mode()
    bandwidth = match.bandwidth_bytes_per_s(mode)
    rate = _int8_rate(match, _PROCESSORS.get(ep), mode)
    if bandwidth is None and rate is None:
        return None
    return SpecSheet(device=match.name, bandwidth_bytes_per_s=bandwidth, int8_ops_per_s=rate)


def _int8_rate(match: DeviceMatch, processor: str | None, mode: str | None) -> float | None:
    """The highest dense rate of 8-bit products that is stated for a processor in this mode."""
    rates = [
        compute.value
        for compute in match.compute
        if compute.processor == processor
        and compute.precision == "int8"
        and compute.sparsity == "dense"
        and compute.power_mode in {None, mode}
    ]
    return max(rates, default=None)
