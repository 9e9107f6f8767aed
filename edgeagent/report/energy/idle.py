"""Idle power from the baselines of a session, and what is left of energy without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgeagent.record.baseline import MAX_DRIFT, BaselineWhen
from edgeagent.record.energy import Pool
from edgeagent.report.energy.attribution import BaselineEnergy, SessionEnergy, TaskEnergy


@dataclass(frozen=True, slots=True)
class Idle:
    """Power of the resting device around the task runs of one session.

    Attributes:
        before_w: Mean power before them, `None` if it was not measured.
        after_w: Mean power after them.
        reason: Why no idle power can be subtracted, empty if it can.
    """

    before_w: float | None
    after_w: float | None
    reason: str = ""

    @property
    def power_w(self) -> float | None:
        """What is subtracted: the mean of both, `None` if there is a reason against it."""
        if self.reason or self.before_w is None or self.after_w is None:
            return None
        return (self.before_w + self.after_w) / 2

    @property
    def drift(self) -> float | None:
        """Change from before to after as a share of before, `None` without both."""
        if self.before_w is None or self.after_w is None:
            return None
        change = self.after_w - self.before_w
        if self.before_w == 0:
            return 0.0 if change == 0 else None
        return change / abs(self.before_w)


def idle_of(session: SessionEnergy) -> Idle:
    """Return the idle power of a session; only baselines with the model loaded count."""
    loaded = [found for found in session.baselines if found.baseline.model_loaded]
    sides = {when: [b for b in loaded if b.baseline.when is when] for when in BaselineWhen}
    reason = next((text for when, found in sides.items() if (text := _flaw(when, found))), "")
    before_w, after_w = (_power_w(sides[when]) for when in BaselineWhen)
    idle = Idle(before_w, after_w, reason)
    if reason:
        return idle
    if idle.drift is None or abs(idle.drift) > MAX_DRIFT:
        change = (
            "changed from zero" if idle.drift is None else f"drifted by {100 * idle.drift:+.1f} %"
        )
        limit = f"{100 * MAX_DRIFT:.0f} %"
        return Idle(before_w, after_w, f"idle power {change}, more than {limit} is not subtracted")
    return idle


def net_nj(tasks: Iterable[TaskEnergy], idle: Mapping[int, Idle]) -> float | str:
    """Return the energy of task runs without idle power, in nanojoules, or why it is not known.

    A negative value is a result: the task ran at less power than the device rested at.
    """
    total = 0.0
    for task in tasks:
        rest = idle.get(task.session) if task.session is not None else None
        if rest is None:
            return "no idle baseline was measured"
        if rest.power_w is None:
            return rest.reason
        total += task.whole.energy_nj - rest.power_w * task.whole.duration_ns
    return total


def _flaw(when: BaselineWhen, found: Sequence[BaselineEnergy]) -> str:
    name = f"the idle baseline {when.value} the task runs"
    if not found:
        return f"{name} was not measured"
    for baseline in found:
        if baseline.reason is not None:
            return f"{name} is not known: {baseline.reason.sentence}"
    return f"{name} has insufficient resolution" if _power_w(found) is None else ""


def _power_w(found: Sequence[BaselineEnergy]) -> float | None:
    if any(baseline.reason is not None for baseline in found):
        return None
    return sum((baseline.window for baseline in found), start=Pool()).power_w
