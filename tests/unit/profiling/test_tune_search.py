"""The search on a scripted device: a noisy clock, a known best setting, and all that can happen."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest

from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.errors import EngineError
from edgeagent.profiling.tune.device import Measured, Replay, UnsuitableError
from edgeagent.profiling.tune.search import MAX_PAIRS, Search
from edgeagent.profiling.tune.space import SPECULATIONS, Space
from edgeagent.record.tuning import Verdict

SPACE = Space(physical_cores=4, logical_cores=8, longest_prompt=300, has_all_positions=True)
THREADS = {1: 2.0, 2: 1.3, 4: 1.0, 8: 1.1}

Factor = Callable[[EngineConfig], float]


def equal(_config: EngineConfig) -> float:
    return 1.0


def truth(config: EngineConfig) -> float:
    """Best: 4 threads without spinning, chunk 256, no speculation."""
    cost = THREADS[config.intra_op_num_threads or 4]
    cost *= 1.0 if config.allow_spinning else 0.8
    cost *= {32: 1.3, 64: 1.15, 128: 1.0, 256: 0.9, 512: 0.98}[config.prefill_chunk_len]
    return cost * (1.0 if config.speculation is None else 1.15)


BEST = EngineConfig(allow_spinning=False, prefill_chunk_len=256)


class NoisyDevice:
    """Costs with noise, a drift of the whole machine, and bursts of a neighbour."""

    def __init__(
        self,
        factor: Factor,
        seed: int,
        *,
        noise: float = 0.03,
        bursts: float = 0.0,
        unsuitable: Mapping[EngineConfig, str] | None = None,
    ) -> None:
        self._factor = factor
        self._rng = random.Random(seed)
        self._noise = noise
        self._bursts = bursts
        self._unsuitable = unsuitable or {}
        self._machine = 1.0
        self.measured: list[EngineConfig] = []
        self.renewals = 0
        self.now_s = 0.0

    def measure(self, config: EngineConfig) -> Measured:
        if config in self._unsuitable:
            raise UnsuitableError(self._unsuitable[config])
        self._machine *= 1.002  # it gets hot
        burst = 1.5 if self._rng.random() < self._bursts else 1.0
        noise = self._rng.lognormvariate(0.0, self._noise)
        self.measured.append(config)
        cost = self._factor(config) * self._machine * noise * burst
        self.now_s += cost
        return Measured(cost=cost)

    def renew(self) -> None:
        self.renewals += 1


def search(device: NoisyDevice, seed: int = 0, limit_s: float | None = None) -> Search:
    found = Search(
        EngineConfig(),
        SPACE.stages(),
        device,
        seed=seed,
        **({} if limit_s is None else {"remaining_s": lambda: limit_s - device.now_s}),
    )
    found.run()
    return found


def chosen(found: Search) -> EngineConfig:
    return found.ledger.candidates[found.chosen]


@pytest.fixture(scope="module")
def searches() -> list[Search]:
    """Searches on a device where one combination is best."""
    return [search(NoisyDevice(truth, seed), seed) for seed in range(40)]


def test_the_best_settings_are_found_in_few_runs(searches: list[Search]) -> None:
    right = sum(chosen(each) == BEST for each in searches)
    assert right >= 38
    assert max(len(each.ledger.trials) for each in searches) <= 200
    for each in searches:
        (check,) = [c for c in each.ledger.comparisons if c.phase == "check"]
        assert (check.against, check.pairs, check.verdict) == (0, MAX_PAIRS, Verdict.BETTER)
        assert check.low is not None
        assert check.high is not None
        assert check.low < check.high < 1
        assert each.complete


def test_the_gain_is_told_without_the_luck_of_the_winner(searches: list[Search]) -> None:
    ratios = [
        check.cost_ratio
        for each in searches
        for check in each.ledger.comparisons
        if check.phase == "check" and check.cost_ratio is not None
    ]
    assert sum(ratios) / len(ratios) == pytest.approx(0.72, abs=0.01)


@pytest.mark.parametrize("bursts", [0.0, 0.1])
def test_where_nothing_differs_the_default_stays(bursts: float) -> None:
    wrong = [
        seed
        for seed in range(100)
        if search(NoisyDevice(equal, seed, noise=0.05, bursts=bursts), seed).chosen != 0
    ]
    assert len(wrong) <= 1  # of 100


def test_a_candidate_replaces_only_when_its_interval_excludes_one() -> None:
    for seed in range(20):
        ledger = search(NoisyDevice(equal, seed), seed).ledger
        for comparison in ledger.comparisons:
            if comparison.phase != "screen" and comparison.high is not None:
                better = comparison.high < 1
                assert (comparison.verdict is Verdict.BETTER) is better


def test_orders_are_random_and_repeat_with_the_seed() -> None:
    one, same, other = (NoisyDevice(truth, 1) for _ in range(3))
    search(one, seed=5)
    search(same, seed=5)
    search(other, seed=6)
    assert one.measured == same.measured
    assert one.measured != other.measured
    trials = search(NoisyDevice(truth, 1), seed=5).ledger.trials
    firsts = {
        trial.candidate
        for before, trial in zip([None, *trials], trials, strict=False)
        if trial.phase == "confirm" and (before is None or before.round != trial.round)
    }
    assert len(firsts) > 1


def test_every_decision_is_made_in_new_processes() -> None:
    device = NoisyDevice(truth, 0)
    decided = [c for c in search(device).ledger.comparisons if c.phase in {"confirm", "check"}]
    assert device.renewals == len(decided) > 1


def test_what_cannot_be_used_is_rejected_with_the_reason() -> None:
    unsuitable = {
        BEST.model_copy(update={"prefill_chunk_len": 128}): "its answers differ",
        EngineConfig(speculation=SPECULATIONS[0]): "too much memory",
    }
    found = search(NoisyDevice(truth, 0, unsuitable=unsuitable))
    next_best = {"intra_op_num_threads": 8, "allow_spinning": False, "prefill_chunk_len": 256}
    assert chosen(found) == EngineConfig(**next_best)
    reasons = {
        found.ledger.candidates[c.candidate]: c.reason
        for c in found.ledger.comparisons
        if c.verdict is Verdict.REJECTED
    }
    assert reasons[next(iter(unsuitable))] == "its answers differ"


def test_a_default_that_cannot_be_run_ends_the_search() -> None:
    device = NoisyDevice(truth, 0, unsuitable={EngineConfig(): "it needs too much memory"})
    with pytest.raises(EngineError, match="too much memory"):
        search(device)


@pytest.mark.parametrize("limit_s", [0.5, 5.0, 30.0, 60.0, 100.0, 150.0])
def test_the_time_is_kept_and_what_is_left_open_is_said(limit_s: float) -> None:
    for seed in range(5):
        device = NoisyDevice(truth, seed)
        found = search(device, seed, limit_s)
        assert device.now_s <= limit_s + 4  # the estimate of a round may be a little short
        verdicts = {c.verdict for c in found.ledger.comparisons}
        assert found.complete is (Verdict.UNDECIDED not in verdicts)
        if found.chosen:
            assert [c.verdict for c in found.ledger.comparisons if c.phase == "check"] == [
                Verdict.BETTER
            ]


def test_a_short_time_is_enough_for_a_large_gain() -> None:
    assert chosen(search(NoisyDevice(truth, 3), limit_s=100)).allow_spinning is False


def test_only_whole_rounds_are_kept_when_interrupted_and_the_search_goes_on_from_there() -> None:
    whole = search(NoisyDevice(truth, 1), seed=9)

    class Interrupted(NoisyDevice):
        def measure(self, config: EngineConfig) -> Measured:
            if len(self.measured) == 50:
                raise KeyboardInterrupt
            return super().measure(config)

    first = Search(EngineConfig(), SPACE.stages(), Interrupted(truth, 1), seed=9)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    kept = first.ledger.trials
    assert 40 < len(kept) <= 50
    rounds = [(t.stage, t.phase, t.round) for t in kept]
    of_whole = [(t.stage, t.phase, t.round) for t in whole.ledger.trials]
    assert rounds == of_whole[: len(rounds)]
    assert of_whole[len(rounds)] != rounds[-1]

    device = NoisyDevice(truth, 2)
    known = [(first.ledger.candidates[t.candidate], Measured(cost=t.cost)) for t in kept]
    resumed = Search(EngineConfig(), SPACE.stages(), Replay(device, known, {}), seed=9)
    resumed.run()
    assert resumed.ledger.trials[: len(kept)] == kept
    assert len(device.measured) == len(resumed.ledger.trials) - len(kept)
    assert chosen(resumed) == BEST


def test_known_rejections_are_not_tried_again() -> None:
    device = NoisyDevice(truth, 0)
    replay = Replay(device, [], {BEST: "too much memory"})
    with pytest.raises(UnsuitableError, match="too much memory"):
        replay.measure(BEST)
    assert device.measured == []


# What is searched


def test_threads_come_from_the_usable_cores() -> None:
    assert SPACE.thread_counts() == (4, 8, 2, 1)
    assert Space(1, 1, 300, True).thread_counts() == (1,)
    assert Space(2, 2, 300, True).thread_counts() == (2, 1)


def test_one_thread_has_nobody_to_wait_for() -> None:
    threads = SPACE.stages()[0].variants(EngineConfig())
    assert [config.allow_spinning for config in threads if config.intra_op_num_threads == 1] == [
        True
    ]
    assert len(threads) == 7
    assert EngineConfig() in threads


@pytest.mark.parametrize(
    ("longest", "chunks"), [(20, [32]), (128, [32, 64, 128]), (9999, [32, 64, 128, 256, 512])]
)
def test_chunks_longer_than_any_prompt_are_one_candidate(longest: int, chunks: list[int]) -> None:
    stage = Space(4, 8, longest, True).stages()[1]
    assert [config.prefill_chunk_len for config in stage.variants(EngineConfig())] == chunks


def test_speculation_needs_its_graph() -> None:
    without = Space(4, 8, 300, has_all_positions=False)
    assert len(without.stages()) == 2
    assert any("all positions" in note for note in without.notes())
    guesses = SPACE.stages()[2].variants(EngineConfig(allow_spinning=False))
    assert all(isinstance(config.speculation, NGramSpeculation) for config in guesses)
    assert not any(config.allow_spinning for config in guesses)
    assert all("float32" in " ".join(space.notes()) for space in (SPACE, without))
