"""The search: stage by stage, each decision from fresh pairs of measurements.

A stage changes one thing (or two that depend on each other) in the settings held so far:

1. *Screening* by successive halving: in each round the settings held and all candidates are
   measured once, in random order; after some rounds the better half stays. It decides nothing but
   which candidate is worth a closer look.
2. *Confirmation*: that candidate and the settings held, measured afresh in pairs. It replaces them
   only if the 95 % interval of the ratio of costs lies below 1; otherwise what was there stays.

At the end what was found is *checked* against the default, once more afresh, in new processes:
the best of several noisy figures looks better than it is, so the figures that chose something
cannot tell how good it is. Where nothing differs, a default is replaced only if chance passes two
such tests.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from edgeagent.config.run import EngineConfig
from edgeagent.errors import EngineError
from edgeagent.profiling.tune.device import Device, Measured, UnsuitableError
from edgeagent.profiling.tune.ledger import Ledger
from edgeagent.profiling.tune.paired import MIN_PAIRS, PairedRatio, paired_ratio
from edgeagent.record.tuning import Phase, Trial, Verdict

SCREEN_ROUNDS = 2
"""Rounds between two halvings."""
MAX_PAIRS = 16
_FUTILE_PAIRS = 4
"""A candidate that is not better after so many pairs is given up, which can only keep what is."""
_RENEWAL_PAIRS = 2
"""What starting and warming two processes takes, in pairs."""
_RECENT = 8
_REPLAYED_S = 1e-3
"""What is quicker was not measured now but taken from an interrupted search."""
_CHECK = "result"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the search.

    Attributes:
        name: What is searched.
        variants: Returns the candidates, given the settings held so far.
    """

    name: str
    variants: Callable[[EngineConfig], Sequence[EngineConfig]]


@dataclass(frozen=True, slots=True)
class SearchStep:
    """Told after each piece of work.

    Attributes:
        stage: What is searched.
        phase: Part of the stage.
        config: What was measured.
        cost: What it cost.
        trials: Pieces of work so far.
    """

    stage: str
    phase: Phase
    config: EngineConfig
    cost: float
    trials: int


class _TimeUp(Exception):  # noqa: N818 - control flow, not an error
    """Another round does not fit."""


class Search:
    """A search; what it found so far can be looked at any time, also after Ctrl-C.

    Attributes:
        ledger: Everything that was measured and decided.
        chosen: Number of the candidate that was chosen.
        complete: Whether everything was searched that was to be.
    """

    def __init__(
        self,
        default: EngineConfig,
        stages: Sequence[Stage],
        device: Device,
        *,
        seed: int,
        remaining_s: Callable[[], float] = lambda: math.inf,
        known_pairs: Mapping[tuple[str, Phase], int] | None = None,
        on_step: Callable[[SearchStep], None] = lambda _step: None,
    ) -> None:
        """Prepare.

        Args:
            default: The settings that stay unless others are better.
            stages: What to search, in this order.
            device: Where.
            seed: Of the orders within rounds.
            remaining_s: Tells how much time is left.
            known_pairs: Pairs of the decisions, by stage and phase, that an interrupted search
                made; the others get as many as the time allows, whatever they look like.
            on_step: Told after each piece of work.
        """
        self._stages = stages
        self._device = device
        self._seed = seed
        self._remaining_s = remaining_s
        self._on_step = on_step
        self._known_pairs = known_pairs or {}
        self._held = 0
        self._work_s: list[float] = []
        self._to_come = list(stages)
        self.ledger = Ledger(default)
        self.chosen = 0
        self.complete = False

    def run(self) -> None:
        """Search until everything was searched or the time is up.

        Raises:
            EngineError: The default cannot be run, or what was held so far no longer.
            EdgeAgentError: What the device raises.
        """
        for index in range(2):  # the first one also loads, the second tells how long work takes
            self._round([0], "default", "reference", index)
        decided = True
        for stage in self._stages:
            self._to_come.remove(stage)
            decided &= self._search(stage)
        self.complete = self._check() and decided

    def _search(self, stage: Stage) -> bool:
        """Search one stage; return whether it came to an end."""
        ledger, held = self.ledger, self._held
        numbers = [ledger.number(config) for config in stage.variants(ledger.candidates[held])]
        alive = [n for n in dict.fromkeys(numbers) if n != held and n not in ledger.rejected]
        if not alive:
            return True
        try:
            best = self._screen(stage.name, alive)
        except _TimeUp:
            ledger.undecided(stage.name, alive, held)
            return False
        return best is None or self._confirm(stage.name, best)

    def _screen(self, stage: str, numbers: Sequence[int]) -> int | None:
        """Return the candidate that looks best, `None` if none looks better than what is held."""
        alive = list(numbers)
        logs: dict[int, list[float]] = {number: [] for number in alive}
        index = 0
        while True:
            for _ in range(SCREEN_ROUNDS):
                costs = self._round([self._held, *alive], stage, "screen", index)
                index += 1
                alive = [number for number in alive if number in costs]
                for number in alive:
                    logs[number].append(math.log(costs[number] / costs[self._held]))
            alive.sort(key=lambda number: median(logs[number]))
            better = [number for number in alive if median(logs[number]) < 0]
            keep = better[: math.ceil(len(alive) / 2)]
            last = len(keep) <= 1
            for number in alive:
                if number not in keep or last:
                    verdict = Verdict.PROMISING if number in keep else Verdict.SET_ASIDE
                    self.ledger.screened(stage, number, self._held, logs[number], verdict)
            if last:
                return keep[0] if keep else None
            alive = keep

    def _confirm(self, stage: str, number: int) -> bool:
        """Compare a candidate with what is held, afresh; return whether it could be decided."""
        self._device.renew()
        planned = self._planned_pairs(stage, "confirm")
        logs, timely = self._pairs(number, self._held, stage, "confirm", planned)
        if number in self.ledger.rejected:
            return True
        ratio, verdict = self._decide(logs, timely=timely)
        gave_up = timely and _is_futile(logs)
        self.ledger.decided(
            *(stage, "confirm", number, self._held),
            ratio=ratio,
            verdict=verdict,
            reason=f"given up after {len(logs)} pairs without a gain" if gave_up else "",
        )
        if verdict is Verdict.BETTER:
            self._held = number
        return verdict is not Verdict.UNDECIDED

    def _check(self) -> bool:
        """Compare what was found with the default, afresh; return whether it could be decided."""
        if self._held == 0:
            return True
        self._device.renew()
        planned = self._planned_pairs(_CHECK, "check")
        logs, timely = self._pairs(self._held, 0, _CHECK, "check", planned)
        ratio, verdict = self._decide(logs, timely=timely)
        self.ledger.decided(_CHECK, "check", self._held, 0, ratio=ratio, verdict=verdict)
        if verdict is Verdict.BETTER:
            self.chosen = self._held
        return verdict is not Verdict.UNDECIDED

    def _pairs(
        self,
        number: int,
        against: int,
        stage: str,
        phase: Phase,
        planned: int,
    ) -> tuple[list[float], bool]:
        """Measure pairs; return the logarithms of their ratios and whether time was left."""
        logs: list[float] = []
        for index in range(planned):
            try:
                costs = self._round([against, number], stage, phase, index)
            except _TimeUp:
                return logs, False
            if number not in costs:
                break
            logs.append(math.log(costs[number] / costs[against]))
            if phase == "confirm" and _is_futile(logs):
                break
        return logs, True

    def _decide(self, logs: Sequence[float], *, timely: bool) -> tuple[PairedRatio | None, Verdict]:
        ratio = paired_ratio(logs, self._seed) if logs else None
        if ratio is not None and ratio.is_better:
            return ratio, Verdict.BETTER
        if ratio is not None and ratio.is_worse:
            return ratio, Verdict.WORSE
        return ratio, Verdict.NOT_DISTINGUISHABLE if timely else Verdict.UNDECIDED

    def _round(
        self, members: Sequence[int], stage: str, phase: Phase, index: int
    ) -> Mapping[int, float]:
        """Measure each member once, in random order; those that cannot be used are left out."""
        if phase != "reference" and self._expected_s(len(members), phase) > self._remaining_s():
            raise _TimeUp
        order = list(members)
        random.Random(f"{self._seed}/{stage}/{phase}/{index}").shuffle(order)
        trials: list[Trial] = []
        for number in order:
            config = self.ledger.candidates[number]
            try:
                measured = self._measure(config)
            except UnsuitableError as error:
                if number in {0, self._held}:
                    raise EngineError(f"The search cannot go on: {error}.") from error
                self.ledger.reject(stage, phase, number, self._held, str(error))
                continue
            at = len(self.ledger.trials) + len(trials)
            trials.append(
                self.ledger.trial(
                    measured, stage=stage, phase=phase, index=index, number=number, order=at
                )
            )
            self._on_step(SearchStep(stage, phase, config, measured.cost, at + 1))
        self.ledger.trials += trials
        return {trial.candidate: trial.cost for trial in trials}

    def _measure(self, config: EngineConfig) -> Measured:
        before_s = self._remaining_s()
        measured = self._device.measure(config)
        spent_s = before_s - self._remaining_s()
        if math.isfinite(spent_s) and spent_s > _REPLAYED_S:
            self._work_s.append(spent_s)
        return measured

    @property
    def _unit_s(self) -> float:
        """What a piece of work takes now, with whatever is around it; 0 if that is not known."""
        return median(self._work_s[-_RECENT:]) if self._work_s else 0.0

    def _expected_s(self, members: int, phase: Phase) -> float:
        """Return how long a round takes, with the check that follows if something wins or has won.

        Without the check a gain is worth nothing.
        """
        is_followed = phase == "confirm" or (phase == "screen" and self._held > 0)
        reserved = 2 * (MIN_PAIRS + _RENEWAL_PAIRS) if is_followed else 0
        return self._unit_s * (members + reserved)

    def _planned_pairs(self, stage: str, phase: Phase) -> int:
        """Return how many pairs a decision gets: its share of what the time left allows."""
        if (stage, phase) in self._known_pairs:
            return self._known_pairs[stage, phase]
        remaining_s = self._remaining_s()
        if not math.isfinite(remaining_s) or not self._work_s:
            return MAX_PAIRS
        held = self.ledger.candidates[self._held]
        screening = sum(_screening_len(len(stage.variants(held))) for stage in self._to_come)
        decisions = 1 if phase == "check" else len(self._to_come) + 2
        pairs = (remaining_s / self._unit_s - screening) / (2 * decisions) - _RENEWAL_PAIRS
        return max(MIN_PAIRS, min(MAX_PAIRS, int(pairs)))


def _is_futile(logs: Sequence[float]) -> bool:
    return len(logs) == _FUTILE_PAIRS and fmean(logs) >= 0


def _screening_len(candidates: int) -> int:
    """Return the pieces of work of a whole screening, at most."""
    total = 0
    while candidates:
        total += SCREEN_ROUNDS * (candidates + 1)
        candidates = math.ceil(candidates / 2) if candidates > 1 else 0
    return total
