"""Switch off the telemetry of dependencies; must run before any of them is imported.

onnxruntime's Linux wheels write a device id below the home folder and try to reach a collector as
soon as they are imported, unless `ORT_DISABLE_TELEMETRY` is set in the environment before that.
huggingface_hub adds a user agent and pings unless told not to; we allow it on the network only in
`edgeagent models pull`, and never with telemetry.
"""

from __future__ import annotations

import os

_TELEMETRY_OFF = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def disable_dependency_telemetry() -> None:
    """Set the switches that dependencies read at import; idempotent, costs microseconds.

    Overrides what the user's environment says: privacy is a promise of this package, not a
    default. Child processes inherit the switches.
    """
    os.environ.update(_TELEMETRY_OFF)
