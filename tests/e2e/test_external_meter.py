"""A whole run beside a meter of its own clock: pulses, recording, alignment, joules in the report.

The meter is a model of one: it watches how busy the processor is and writes watts. What is checked
is the chain, on real weights and a real clock; takes a minute.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

IDLE_W, MAX_W = 3.0, 13.0
_METER = f"""
import time, psutil
psutil.cpu_percent()
start = time.time() - 1000
print("Time (s),Power (W)", flush=True)
while True:
    time.sleep(0.05)
    busy = psutil.cpu_percent() / 100
    at_s, watts = time.time() - start - 0.025, {IDLE_W} + {MAX_W - IDLE_W} * busy
    print(f"{{at_s:.3f}},{{watts:.3f}}", flush=True)
"""


@pytest.mark.heavy
def test_the_joules_of_a_meter_with_its_own_clock_reach_the_report(
    edgeagent, smollm2_package, short_suite, tmp_path
):
    with (tmp_path / "meter.csv").open("w", encoding="utf-8") as recording:
        meter = subprocess.Popen([sys.executable, "-c", _METER], stdout=recording)
        try:
            options = ("--suite", short_suite, "--paradigms", "base,single", "--repeat", "3")
            done = edgeagent(
                "profile", smollm2_package, *options, "--load-pulse", "--out", "run", "-q"
            )
            assert done.returncode == 0, done.stderr
        finally:
            meter.kill()
            meter.wait()
    attached = edgeagent("import-power", "run", "meter.csv", "--json")
    assert attached.returncode == 0, attached.stderr
    facts = json.loads(attached.stdout)
    assert facts["source"]["scope"] == "wall"
    assert facts["alignments"][0]["correlation"] > 0.8
    assert facts["alignments"][0]["uncertainty_s"] < 0.2
    summary = json.loads(edgeagent("report", "run", "--json").stdout)
    (total,) = summary["energy_totals"]
    assert total["total"] == "wall"
    for paradigm in summary["paradigms"]:
        energy = paradigm["energy"]
        assert IDLE_W <= energy["power_w"] <= MAX_W * 1.01
        mean_s = paradigm["e2e_s"]["mean"]
        assert energy["energy_j_per_task"] == pytest.approx(energy["power_w"] * mean_s, rel=0.02)
        assert energy["net_j_per_task"] < energy["energy_j_per_task"]
