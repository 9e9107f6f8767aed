"""How well is the clock of an external meter found? Synthetic recordings, printed as a table.

Run from a checkout::

    python3 scripts/measure_alignment.py

Each row is one kind of meter, with another noise, another start and another run each time; the
errors are those of the times of both groups of load pulses.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "unit" / "meter"))

from power_recordings import Meter, pulse_group

from edgeagent.errors import ConfigError
from edgeagent.meter.external.alignment import align

RUN_S = 300.0
GROUPS = [pulse_group("start", 5.0), pulse_group("end", RUN_S - 15.0)]
METERS: dict[str, dict[str, float]] = {
    "100 Hz, no noise": {"interval_s": 0.01},
    "10 Hz, 1.5 W noise, 10 % lost, 1000 ppm": {
        "interval_s": 0.1,
        "noise_w": 1.5,
        "dropped": 0.1,
        "skew": -1e-3,
    },
    "10 Hz, 4 W noise": {"interval_s": 0.1, "noise_w": 4.0},
    "2 Hz, 0.3 W noise": {"interval_s": 0.5, "noise_w": 0.3},
    "1 Hz, 0.2 W noise, 2 % lost": {"interval_s": 1.0, "noise_w": 0.2, "dropped": 0.02},
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=60, help="recordings of each kind")
    runs = parser.parse_args().runs
    print(f"{'meter':42} refused  median ms  largest ms  stated ms  outside")
    for name, kind in METERS.items():
        errors_s: list[float] = []
        stated_s: list[float] = []
        refused = 0
        for seed in range(runs):
            meter = Meter(starts_s=-12.3 - seed / 7, ends_s=RUN_S + 8, seed=seed, **kind)
            try:
                found = align(*meter.record(GROUPS), GROUPS)
            except ConfigError:
                refused += 1
                continue
            for group in GROUPS:
                # Readings are means of the interval before, so they come half of it late.
                true_s = group.t0_s + meter.interval_s / 2 - meter.starts_s
                moment_s = found.to_run_s(np.array([true_s / (1 + meter.skew)]))[0]
                errors_s.append(abs(float(moment_s) - group.t0_s))
                stated_s.append(found.uncertainty_s)
        if not errors_s:
            print(f"{name:42} {refused:7}")
            continue
        outside = sum(error > stated for error, stated in zip(errors_s, stated_s, strict=True))
        print(
            f"{name:42} {refused:7}  {1e3 * float(np.median(errors_s)):9.1f}  "
            f"{1e3 * max(errors_s):10.1f}  {1e3 * float(np.median(stated_s)):9.1f}  "
            f"{outside:3} of {len(errors_s)}"
        )


if __name__ == "__main__":
    main()
