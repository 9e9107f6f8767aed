"""The energy that a budget in joules is held against: what the device's own counters say."""

from __future__ import annotations

import os

from edgeagent.agent.stops import EnergyReader
from edgeagent.clock import now_ns
from edgeagent.config.run import Budget
from edgeagent.errors import ConfigError
from edgeagent.meter.discover import discover
from edgeagent.profiling.energy_gauge import EnergyGauge


def energy_reader(budget: Budget) -> EnergyReader | None:
    """Return what reads the energy for this budget, `None` if it has no limit in joules.

    The reading is gross, idle power included, and of the widest total that the device measures.

    Raises:
        ConfigError: There is a limit, and no sensor of this device measures energy.
    """
    if budget.max_energy_j is None:
        return None
    try:
        gauge = EnergyGauge.find(discover(os.getpid()))
    except ConfigError as error:
        raise ConfigError(
            "A budget in joules needs a sensor of energy, and this device has none that can be "
            "read; limit seconds or tokens instead, and see `edgeagent doctor`."
        ) from error
    gauge.begin()
    start_ns = now_ns()

    def read_j() -> float | None:
        until_ns = now_ns()
        gauge.end()
        return gauge.joules(start_ns, until_ns)

    return read_j
