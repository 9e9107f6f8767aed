"""When measuring stops, how the device rests, and the reference load."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from edgeagent.cli.profile import command
from edgeagent.config.protocol import Protocol
from edgeagent.profiling.protocol.conditions import low_memory
from edgeagent.profiling.protocol.cooling import cool_down
from edgeagent.profiling.protocol.reference_load import ReferenceLoad
from edgeagent.profiling.protocol.stopping import Decision, decide
from edgeagent.record.repetitions import Timing

PARADIGMS = ("base", "single")


def measured(*means: float, single: float = 2.0) -> list[Timing]:
    return [
        Timing(task, paradigm, repetition, mean * (single if paradigm == "single" else 1))
        for repetition, mean in enumerate(means)
        for paradigm in PARADIGMS
        for task in ("a", "b")
    ]


def verdict(timings: list[Timing], **protocol: float) -> Decision:
    return decide(timings, Protocol.model_validate(protocol), PARADIGMS, tasks=2)


def test_the_least_repetitions_count_only_when_every_paradigm_has_them() -> None:
    assert not verdict([], repeat=1).enough
    assert verdict(measured(1.0), repeat=1).enough
    assert not verdict(measured(1.0)[:-1], repeat=1).enough
    found = verdict(measured(1.0, 1.0), repeat=3)
    assert found == Decision(False, "2 of 3 repetitions are measured")


def test_a_short_paradigm_is_repeated_until_it_has_its_duration() -> None:
    timings = measured(1.0, 1.0)
    assert not verdict(timings, min_duration_s=5).enough
    assert "4 of 5 s" in verdict(timings, min_duration_s=5).reason
    assert verdict(timings, min_duration_s=4).enough


def test_a_wide_interval_asks_for_more_and_names_the_paradigm() -> None:
    found = verdict(measured(1.0, 1.1, 0.9), target_ci=0.05)
    assert not found.enough
    assert "base is known to ± 25 % of the wanted ± 5 %" in found.reason
    assert verdict(measured(1.0, 1.001, 0.999), target_ci=0.05).enough
    assert not verdict(measured(1.0), target_ci=0.05).enough


def test_the_limit_ends_it_and_says_what_was_missed() -> None:
    found = verdict(measured(1.0, 1.1, 0.9), target_ci=0.05, max_repeat=3)
    assert found.enough
    assert "limit of 3 repetitions" in found.reason
    assert "± 25 %" in found.reason
    assert (
        verdict(measured(1.0, 1.0), repeat=2, max_repeat=1).reason == "2 repetitions are measured"
    )


def test_cooling_ends_when_the_device_is_as_cool_as_before() -> None:
    temperatures = iter([60.0, 52.0, 41.9])
    waits: list[float] = []
    cool_down(lambda: next(temperatures), 40.0, 600, waits.append)
    assert waits == [1.0, 1.0]


def test_without_a_temperature_the_whole_time_is_waited() -> None:
    waits: list[float] = []

    def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        if len(waits) > 3:
            raise StopIteration

    with pytest.raises(StopIteration):
        cool_down(lambda: None, None, 600, sleep)
    assert cool_down(lambda: None, 40.0, 0.0) < 0.1


def test_the_reference_load_times_every_repetition_of_both_parts(settings_config) -> None:
    with ReferenceLoad(settings_config, session=3, threads=2) as load:
        assert load.due()
        record = load.run()
        assert not load.due()
    assert (record.session, record.threads) == (3, 2)
    assert len(record.compute_ns) == len(record.memory_ns) >= 3
    spent = sum(record.compute_ns) + sum(record.memory_ns)
    assert 0 < spent <= record.t1_ns - record.t0_ns


@pytest.mark.parametrize("share", ["0", "100%", "five", "-3%", "5%%"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    found = CliRunner().invoke(command, ["--target-ci", share])
    assert found.exit_code == 2
    assert "is no share" in found.output


def test_too_little_memory_is_said_before_anything_is_loaded() -> None:
    assert low_memory(1) is None
    warning = low_memory(1 << 60)
    assert warning is not None
    assert "predicted to need" in warning.sentence
    assert warning.remedy
