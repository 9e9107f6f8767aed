"""Meters that do as they are told: values, failures and delays from a script."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import chain, repeat
from typing import TypeAlias

from edgeagent.clock import now_ns
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.record.samples import Sample, SampleKind, Scope, SourceInfo, SourceState

Answer: TypeAlias = float | Exception

GONE = MeterError("it was unplugged", SourceState.ABSENT)
BUSY = MeterError("Resource temporarily unavailable", SourceState.STALE)


class ScriptedMeter:
    """Gives one answer after the other, and the last one for ever."""

    def __init__(
        self,
        source: str,
        answers: Iterable[Answer] | Callable[[], Answer],
        *,
        quantity: str = "power_w",
        kind: SampleKind = SampleKind.SAMPLED,
        min_interval_s: float = 0.0,
        burn_s: float = 0.0,
        wait_s: float = 0.0,
    ) -> None:
        self.info = SourceInfo(source=source, quantity=quantity, kind=kind, scope=Scope.MODULE)
        self.min_interval_s = min_interval_s
        self.attempts_ns: list[int] = []
        self._burn_s, self._wait_s = burn_s, wait_s
        if callable(answers):
            self._next = answers
        else:
            given = list(answers)
            script = chain(given, repeat(given[-1]))
            self._next = lambda: next(script)

    def read(self) -> Sample:
        t0_ns = now_ns()
        self.attempts_ns.append(t0_ns)
        time.sleep(self._wait_s) if self._wait_s else None
        end_s = time.thread_time() + self._burn_s
        while time.thread_time() < end_s:
            pass
        answer = self._next()
        if isinstance(answer, Exception):
            raise answer
        t1_ns = now_ns()
        return Sample(
            source=self.info.source,
            t_ns=(t0_ns + t1_ns) // 2,
            width_ns=t1_ns - t0_ns,
            value=answer,
        )


def discovery(*meters: ScriptedMeter) -> Discovery:
    return Discovery(meters, tuple(meter.info for meter in meters))
