"""Energy figures of one paradigm, from the attribution of one total."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from edgeagent.clock import to_seconds
from edgeagent.record.energy import Pool, TotalKey
from edgeagent.record.energy.resolution import INSUFFICIENT
from edgeagent.record.spans import SpanKind
from edgeagent.report.energy.attribution import SpanEnergy, TaskEnergy, phase_of
from edgeagent.report.energy.idle import Idle, net_nj
from edgeagent.report.energy.model import Energy, PartEnergy
from edgeagent.report.interval import Interval
from edgeagent.report.stats import bootstrap_interval, bootstrap_ratio

_NJ_PER_J = 1e9

_PerToken: TypeAlias = tuple[float | None, Interval | None]


def paradigm_energy(
    key: TotalKey, tasks: Sequence[TaskEnergy], idle: Mapping[int, Idle], seed: int
) -> Energy | None:
    """Return the figures of a paradigm, `None` if the energy of no task run is known.

    Args:
        key: The total that the energies are of.
        tasks: Its task runs.
        idle: Idle power per session.
        seed: Seed of the bootstrap.
    """
    known = [task for task in tasks if task.reason is None]
    if not known:
        return None
    whole = pool_of(known)
    failed = [task for task in known if not task.task.solved]
    solved = len(known) - len(failed)
    total_j = whole.energy_j
    mean_s = to_seconds(whole.duration_ns) / len(known)
    net = net_nj(known, idle)
    net_j = None if isinstance(net, str) or total_j is None else net / _NJ_PER_J
    prefill, decode = (
        _per_token(known, kind, seed) for kind in (SpanKind.PREFILL, SpanKind.DECODE)
    )
    return Energy(
        total=key.name,
        scope=key.scope,
        attempts=len(known),
        energy_j_per_task=_over(total_j, len(known)),
        energy_j_per_task_interval=None
        if total_j is None
        else bootstrap_interval(list(_means_j(known).values()), seed),
        energy_j_per_solved_task=_over(total_j, solved),
        energy_j_per_solved_task_interval=None
        if total_j is None
        else bootstrap_ratio(_per_task(known, lambda task: float(task.task.solved)), seed),
        energy_j_failed=pool_of(failed).energy_j if failed else 0.0,
        power_w=whole.power_w,
        edp_js=None if total_j is None else total_j / len(known) * mean_s,
        j_per_prefilled_token=prefill[0],
        j_per_prefilled_token_interval=prefill[1],
        j_per_decoded_token=decode[0],
        j_per_decoded_token_interval=decode[1],
        net_j_per_task=_over(net_j, len(known)),
        net_j_per_solved_task=_over(net_j, solved),
        net_note=net if isinstance(net, str) else "",
        phases=_parts(known, lambda part: phase_of(part.span)),
        agents=_parts(known, lambda part: part.span.agent),
        note=INSUFFICIENT if total_j is None else "",
    )


def energy_by_task(tasks: Iterable[TaskEnergy]) -> dict[str, float]:
    """Return the mean joules of each task over its repetitions, for comparisons of means.

    Short tasks may not be resolved one by one; leaving them out would compare paradigms by the
    tasks that happen to take long. So it is all tasks of known energy if the readings resolve them
    together, which their mean needs as well, and none otherwise.
    """
    known = [task for task in tasks if task.reason is None]
    return _means_j(known) if pool_of(known).is_resolved else {}


def pool_of(tasks: Iterable[TaskEnergy]) -> Pool:
    """Return the pool of task runs of known energy."""
    return sum((task.whole for task in tasks), start=Pool())


def _over(amount: float | None, count: int) -> float | None:
    return amount / count if amount is not None and count else None


def _by_task(tasks: Iterable[TaskEnergy]) -> dict[str, list[TaskEnergy]]:
    groups: dict[str, list[TaskEnergy]] = defaultdict(list)
    for task in tasks:
        groups[task.task.task_id].append(task)
    return groups


def _means_j(tasks: Sequence[TaskEnergy]) -> dict[str, float]:
    return {
        task_id: pool_of(group).joules / len(group) for task_id, group in _by_task(tasks).items()
    }


def _per_task(
    tasks: Sequence[TaskEnergy], amount: Callable[[TaskEnergy], float]
) -> list[tuple[float, float]]:
    """Return joules and amount of each task, summed over its repetitions."""
    return [
        (pool_of(group).joules, math.fsum(amount(task) for task in group))
        for group in _by_task(tasks).values()
    ]


def _parts(
    tasks: Sequence[TaskEnergy], name_of: Callable[[SpanEnergy], str]
) -> dict[str, PartEnergy]:
    """Pool the own energies of equal spans; those without a length of their own are left out."""
    pools: dict[str, Pool] = {}
    for task in tasks:
        for part in task.spans:
            if part.own.duration_ns > 0:
                name = name_of(part)
                pools[name] = pools.get(name, Pool()) + part.own
    return {
        name: PartEnergy(
            energy_j_per_task=_over(pool.energy_j, len(tasks)),
            duration_s_per_task=to_seconds(pool.duration_ns) / len(tasks),
            power_w=pool.power_w,
            note="" if pool.is_resolved else INSUFFICIENT,
        )
        for name, pool in pools.items()
    }


def _per_token(tasks: Sequence[TaskEnergy], kind: SpanKind, seed: int) -> _PerToken:
    """Return joules per token of a phase and its interval, both `None` if it is not resolved."""
    pool = Pool()
    pairs = []
    for group in _by_task(tasks).values():
        parts = [part for task in group for part in task.spans if part.span.kind is kind]
        own = sum((part.own for part in parts if part.own.duration_ns > 0), start=Pool())
        tokens = sum(_tokens(part) for part in parts)
        pool += own
        pairs.append((own.joules, float(tokens)))
    tokens_in_all = math.fsum(amount for _, amount in pairs)
    if pool.energy_j is None or tokens_in_all == 0:
        return None, None
    return pool.energy_j / tokens_in_all, bootstrap_ratio(pairs, seed)


def _tokens(part: SpanEnergy) -> int:
    """Return the tokens that cost a step of their own: prefilled ones, or chosen ones."""
    span = part.span
    if span.kind is SpanKind.PREFILL:
        return span.tokens_in - span.tokens_cached
    return span.tokens_out - span.tokens_forced
