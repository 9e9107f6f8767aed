"""The records of energy in `summary.json`; `None` is not measured, in joules and watts."""

from __future__ import annotations

from pydantic import Field

from edgeagent.record.base import Record
from edgeagent.record.samples import Scope
from edgeagent.report.interval import Interval


class PartEnergy(Record):
    """Energy of one phase or one agent of a paradigm, gross of idle power.

    Attributes:
        energy_j_per_task: Mean per measured task run.
        duration_s_per_task: Mean time per measured task run.
        power_w: Mean power: energy over time.
        note: `insufficient_resolution` if the readings do not tell, else empty.
    """

    energy_j_per_task: float | None
    duration_s_per_task: float
    power_w: float | None
    note: str = ""


class Energy(Record):
    """Energy of the task runs of a paradigm by one total, gross of idle power unless it says net.

    Attributes:
        total: Name of the total, such as `cpu` or `module`.
        scope: What it covers.
        attempts: Task runs whose energy is known; the other figures are over these.
        energy_j_per_task: Mean; `None` if the readings do not resolve it.
        energy_j_per_task_interval: Its 95 % bootstrap interval over tasks.
        energy_j_per_solved_task: All energy, failed attempts included, over solved task runs;
            `None` if none was solved.
        energy_j_per_solved_task_interval: Its interval.
        energy_j_failed: Energy of the attempts that were not solved.
        power_w: Mean power during task runs.
        edp_js: Energy-delay product: mean energy times mean seconds of a task run.
        j_per_prefilled_token: Energy of prefill over the tokens that were prefilled.
        j_per_prefilled_token_interval: Its interval.
        j_per_decoded_token: Energy of decode over the tokens that the model chose.
        j_per_decoded_token_interval: Its interval.
        net_j_per_task: Mean without idle power; may be negative.
        net_j_per_solved_task: All net energy over solved task runs.
        net_note: Why net energy is not known, empty if it is.
        phases: Prefill, decode, tool and overhead, those that occurred.
        agents: By role.
        note: `insufficient_resolution` if the readings do not resolve the task runs, else empty.
    """

    total: str = "cpu"
    scope: Scope = Scope.PACKAGE
    attempts: int
    energy_j_per_task: float | None
    energy_j_per_task_interval: Interval | None = None
    energy_j_per_solved_task: float | None
    energy_j_per_solved_task_interval: Interval | None = None
    energy_j_failed: float | None
    power_w: float | None = None
    edp_js: float | None = None
    j_per_prefilled_token: float | None = None
    j_per_prefilled_token_interval: Interval | None = None
    j_per_decoded_token: float | None = None
    j_per_decoded_token_interval: Interval | None = None
    net_j_per_task: float | None = None
    net_j_per_solved_task: float | None = None
    net_note: str = ""
    phases: dict[str, PartEnergy] = Field(default_factory=dict)
    agents: dict[str, PartEnergy] = Field(default_factory=dict)
    note: str = ""


class EstimatedEnergy(Record):
    """Estimated energy of a paradigm's task runs: a guess with bounds, not a measurement.

    Attributes:
        attempts: Task runs that the estimate covers.
        energy_j_estimate_per_task: Mean of what the model says.
        low_j_per_task: Mean of the lower bound.
        high_j_per_task: Mean of the upper bound.
    """

    attempts: int
    energy_j_estimate_per_task: float
    low_j_per_task: float
    high_j_per_task: float


class IdlePower(Record):
    """Idle power of one session, model loaded.

    Attributes:
        session: Its number.
        before_w: Mean power before the task runs.
        after_w: Mean power after them.
        drift: Change from before to after, as a share of before.
        power_w: What is subtracted for net energy.
        note: Why nothing is subtracted, empty if something is.
    """

    session: int
    before_w: float | None
    after_w: float | None
    drift: float | None
    power_w: float | None
    note: str = ""


class Holes(Record):
    """Intervals that no reading covers, of one reason.

    Attributes:
        count: How many, over all sources of the total.
        duration_s: Their length, added.
    """

    count: int
    duration_s: float


class TotalEnergy(Record):
    """One total over the whole run.

    Attributes:
        total: Its name.
        scope: What it covers.
        sources: The sources that were added up.
        is_headline: Whether the compared figures are of this total.
        attempts: Task runs whose energy is known.
        unknown: Task runs whose energy is not known, by reason.
        unresolved: Known task runs that the readings do not resolve one by one.
        run_j: From the first baseline or task run to the end of the last, over all sessions;
            `None` if a part of it is not known. The sum of the next three.
        tasks_j: All task runs.
        baselines_j: The windows of rest.
        between_j: Everything else: checking, waiting, cooling down, the reference load.
        idle: Idle power per session.
        holes: What no reading covers, by reason.
    """

    total: str
    scope: Scope
    sources: tuple[str, ...]
    is_headline: bool
    attempts: int
    unknown: dict[str, int]
    unresolved: int
    run_j: float | None
    tasks_j: float | None
    baselines_j: float | None
    between_j: float | None
    idle: tuple[IdlePower, ...]
    holes: dict[str, Holes]
