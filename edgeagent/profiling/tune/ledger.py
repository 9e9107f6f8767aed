"""The book of a search: what was tried, what it cost, and every verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from edgeagent.config.run import EngineConfig
from edgeagent.profiling.tune.device import Measured
from edgeagent.profiling.tune.paired import PairedRatio
from edgeagent.record.tuning import Comparison, Phase, Trial, Verdict


class Ledger:
    """Collects trials and comparisons.

    Attributes:
        candidates: Every setting that was tried, by its number; 0 is the default.
        rejected: Why a candidate cannot be used, by its number.
        trials: What was measured, whole rounds only.
        comparisons: Every verdict.
    """

    def __init__(self, default: EngineConfig) -> None:
        """Begin with the default, which gets number 0."""
        self.candidates: list[EngineConfig] = [default]
        self.rejected: dict[int, str] = {}
        self.trials: list[Trial] = []
        self.comparisons: list[Comparison] = []

    def number(self, config: EngineConfig) -> int:
        """Return the number of a setting; a new one gets the next."""
        if config not in self.candidates:
            self.candidates.append(config)
        return self.candidates.index(config)

    def trial(
        self, measured: Measured, *, stage: str, phase: Phase, index: int, number: int, order: int
    ) -> Trial:
        """Return the record of a piece of work; it is kept once its round is whole."""
        return Trial(
            order=order,
            stage=stage,
            phase=phase,
            round=index,
            candidate=number,
            cost=measured.cost,
            parts=dict(measured.parts),
            t0_ns=measured.t0_ns,
            t1_ns=measured.t1_ns,
            rss_peak_bytes=measured.rss_peak_bytes,
            drafted=measured.drafted,
            accepted=measured.accepted,
        )

    def reject(self, stage: str, phase: Phase, number: int, against: int, reason: str) -> None:
        """Note that a candidate cannot be used."""
        self.rejected[number] = reason
        self._add(stage, phase, number, against, verdict=Verdict.REJECTED, reason=reason)

    def screened(
        self, stage: str, number: int, against: int, logs: Sequence[float], verdict: Verdict
    ) -> None:
        """Note how a candidate did in a screening."""
        ratio = PairedRatio(len(logs), math.exp(fmean(logs)))
        self._add(stage, "screen", number, against, ratio=ratio, verdict=verdict)

    def undecided(self, stage: str, numbers: Sequence[int], against: int) -> None:
        """Note the candidates of a screening that the time was too short for."""
        known = {found.candidate for found in self.comparisons if found.stage == stage}
        for number in numbers:
            if number not in known:
                self._add(stage, "screen", number, against, verdict=Verdict.UNDECIDED)

    def decided(
        self,
        stage: str,
        phase: Phase,
        number: int,
        against: int,
        *,
        ratio: PairedRatio | None,
        verdict: Verdict,
        reason: str = "",
    ) -> None:
        """Note the verdict on fresh pairs."""
        self._add(stage, phase, number, against, ratio=ratio, verdict=verdict, reason=reason)

    def _add(
        self,
        stage: str,
        phase: Phase,
        number: int,
        against: int,
        *,
        verdict: Verdict,
        ratio: PairedRatio | None = None,
        reason: str = "",
    ) -> None:
        self.comparisons.append(
            Comparison(
                stage=stage,
                phase=phase,
                candidate=number,
                against=against,
                pairs=0 if ratio is None else ratio.pairs,
                cost_ratio=None if ratio is None else ratio.ratio,
                low=None if ratio is None else ratio.low,
                high=None if ratio is None else ratio.high,
                verdict=verdict,
                reason=reason,
            )
        )
