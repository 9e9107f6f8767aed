"""The comparison of NVML's counter with its power, on a GPU that is made up."""

from __future__ import annotations

import json
import sys
import time
from types import ModuleType
from typing import Any

import pytest
import verify_nvml

from edgeagent.meter.energy import nvml


class Board:
    """Draws 100 W; its counter advances every 10 ms and may be wrong by a factor."""

    def __init__(self, factor: float) -> None:
        self.t0_s = time.perf_counter()
        self.factor = factor

    def energy_mj(self, _handle: int) -> int:
        steps = int((time.perf_counter() - self.t0_s) / 0.01)
        return 1 + round(steps * 0.01 * 100_000 * self.factor)


def pynvml_of(board: Board) -> Any:
    module = ModuleType("pynvml")
    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda _handle: "Board",
        "nvmlSystemGetDriverVersion": lambda: "1",
        "nvmlDeviceGetPowerUsage": lambda _handle: 100_000,
        "nvmlDeviceGetTotalEnergyConsumption": board.energy_mj,
        "NVMLError": RuntimeError,
    }
    for name, answer in answers.items():
        setattr(module, name, answer)
    return module


@pytest.mark.parametrize(("factor", "agrees"), [(1.0, True), (1.2, False)])
def test_a_counter_that_is_wrong_is_found(
    factor: float,
    agrees: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", pynvml_of(Board(factor)))
    monkeypatch.setattr(nvml, "_driver_present", lambda _tree: True)

    class NoKernel:
        def __init__(self, _index: int) -> None: ...
        def use_here(self) -> None: ...
        def burn(self) -> None:
            time.sleep(0.01)

    monkeypatch.setattr(verify_nvml, "Cuda", NoKernel)
    sleep = time.sleep
    monkeypatch.setattr(verify_nvml.time, "sleep", lambda s: sleep(min(s, 0.004)))
    monkeypatch.setattr(sys, "argv", ["verify_nvml.py", "--seconds", "0.25"])
    assert verify_nvml.main() == (0 if agrees else 1)
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["loaded"] is True
    assert facts["agree"] is agrees
    assert facts["parts"][1]["ratio"] == pytest.approx(factor, rel=0.03)


def test_integral_is_the_trapezoid_within_the_window() -> None:
    powers = [(index * 10_000_000, 10.0 + index) for index in range(101)]
    assert verify_nvml.integral_j(powers, 0, 1_000_000_000) == pytest.approx(60.0)
    assert verify_nvml.integral_j(powers, 0, 500_000_000) == pytest.approx(17.5)
