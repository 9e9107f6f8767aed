"""What a person asks for beyond the sensors of a device: outside meters, pulses, estimates."""

from __future__ import annotations

from edgeagent.config.spec import Spec
from edgeagent.record.estimate import EstimateLimits


class PowerRequest(Spec):
    """Everything here is off unless it is asked for."""

    load_pulse: bool = False
    """Load the processor in a known pattern before the first task and behind the last one, so that
    the recording of an external meter can be brought to the clock of the run."""
    meters: tuple[str, ...] = ()
    """Meters on the local network, such as `shelly:192.168.1.20`."""
    estimate: EstimateLimits | None = None
    """Estimate power from how busy the cores are, between these two powers."""
