"""Energy on macOS: what there is for a program without administrator rights, and what there is not.

Processor power is told by `powermetrics` to administrators only, and by the private interface
IOReport; so there is no reader, and no number. What the battery delivers is public: `ioreg -rn
AppleSmartBattery -a` prints a property list with `InstantAmperage` in mA (negative while it is
discharging, written as an unsigned 64-bit number by some versions), `Voltage` in mV and
`ExternalConnected`. The values are new about once a minute: they serve whole runs of several
minutes, and nothing shorter.
"""

from __future__ import annotations

import plistlib
import subprocess
from collections.abc import Callable
from typing import Any, TypeAlias
from xml.parsers.expat import ExpatError

from edgeagent.meter.energy.reading import offer
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

INTERVAL_S = 60.0
_READ_EVERY_S = 15.0
_COMMAND = ("/usr/sbin/ioreg", "-r", "-n", "AppleSmartBattery", "-a")
_TIMEOUT_S = 5.0
_MAX_BYTES = 4 << 20
_UINT64 = 1 << 64
_CREDIBLE_MA = 30_000
_CREDIBLE_MV = (2_000, 40_000)

Run: TypeAlias = Callable[[], bytes]
"""Returns what `ioreg` prints; raises `OSError`."""

_PROCESSOR = SourceInfo(
    source="powermetrics:package",
    quantity="energy_j",
    kind=SampleKind.COUNTER,
    scope=Scope.PACKAGE,
    state=SourceState.UNSUPPORTED,
    reason=(
        "macOS tells the processor's power to administrators only (powermetrics); edgeagent never "
        "asks for more rights, and uses no private interface."
    ),
    remedy="Run on battery, several minutes at least, or use an external power meter.",
)
_BATTERY = SourceInfo(
    source="battery:discharge",
    quantity="power_w",
    kind=SampleKind.SAMPLED,
    scope=Scope.SYSTEM,
    resolution=0.012,  # 1 mA at the 11 to 13 V of a MacBook's battery
    total="system",
    interval_s=INTERVAL_S,
    max_power_w=200.0,
)
_UNPLUG = "Unplug the charger, for the whole run."


def run_ioreg() -> bytes:
    """Run the public command `ioreg`; raises `OSError`."""
    try:
        done = subprocess.run(_COMMAND, capture_output=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise OSError("ioreg gave no answer") from error
    if done.returncode != 0:
        raise OSError(f"ioreg ended with {done.returncode}")
    return done.stdout


def discover_apple(run: Run = run_ioreg) -> Discovery:
    """Say why the processor's energy cannot be read on macOS, and probe the battery."""
    processor = Discovery((), (_PROCESSOR,))

    def power_w() -> float:
        battery = _battery(run())
        if battery is None:
            raise MeterError("This Mac has no battery.", SourceState.ABSENT)
        return _discharge_w(battery)

    found = offer(
        _BATTERY,
        power_w,
        min_interval_s=_READ_EVERY_S,
        remedies={SourceState.NOT_DISCHARGING: _UNPLUG},
    )
    return Discovery.union((processor, found))


def _battery(output: bytes) -> dict[str, Any] | None:
    """Return the properties of the battery, `None` if there is none; raises `ValueError`."""
    if not output.strip():
        return None
    if len(output) > _MAX_BYTES:
        raise ValueError("ioreg printed too much")
    try:
        entries = plistlib.loads(output, fmt=plistlib.FMT_XML)
    except (ExpatError, plistlib.InvalidFileException, ValueError, LookupError, TypeError) as error:
        raise ValueError("ioreg did not print a property list") from error
    if not isinstance(entries, list):
        raise ValueError("ioreg did not print a list of entries")
    return next(
        (entry for entry in entries if isinstance(entry, dict) and "Voltage" in entry), None
    )


def _discharge_w(battery: dict[str, Any]) -> float:
    """Return the power that the battery delivers.

    Raises:
        MeterError: Something else feeds the device, or the battery is being charged.
        ValueError: A property is missing or not credible.
    """
    if battery.get("ExternalConnected") is not False:
        raise MeterError("The Mac runs on its charger.", SourceState.NOT_DISCHARGING)
    current_ma = _integer(battery, "InstantAmperage")
    if current_ma >= _UINT64 // 2:
        current_ma -= _UINT64
    voltage_mv = _integer(battery, "Voltage")
    if abs(current_ma) > _CREDIBLE_MA or not _CREDIBLE_MV[0] <= voltage_mv <= _CREDIBLE_MV[1]:
        raise ValueError(f"a battery at {voltage_mv} mV and {current_ma} mA is not credible")
    if current_ma >= 0:
        raise MeterError("The battery is not discharging yet.", SourceState.NOT_DISCHARGING)
    return -current_ma * voltage_mv * 1e-6


def _integer(battery: dict[str, Any], key: str) -> int:
    value = battery.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"the battery does not tell its {key}")
    return value
