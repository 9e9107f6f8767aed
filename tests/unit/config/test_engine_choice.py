"""What is given wins over what was tuned, which wins over the default."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from edgeagent.config.engine_choice import choose_engine, given_engine
from edgeagent.config.run import EngineConfig, NGramSpeculation

TUNED_GUESS = NGramSpeculation(ngram_len=2, max_draft_len=4)
TUNED = {"allow_spinning": False, "prefill_chunk_len": 64, "speculation": TUNED_GUESS}


@pytest.mark.parametrize(
    ("given", "tuned", "expected", "origin"),
    [
        ({}, {}, EngineConfig(), "default"),
        (
            {"ep": None, "intra_op_num_threads": None},
            TUNED,
            EngineConfig(**TUNED),
            "tuned: allow_spinning, prefill_chunk_len, speculation",
        ),
        (
            {"allow_spinning": True, "speculation": False, "intra_op_num_threads": 3},
            TUNED,
            EngineConfig(intra_op_num_threads=3, prefill_chunk_len=64),
            "given: allow_spinning, intra_op_num_threads, speculation; tuned: prefill_chunk_len",
        ),
        (
            {"speculation": True},
            {"speculation": TUNED_GUESS},
            EngineConfig(speculation=TUNED_GUESS),
            "given: speculation",
        ),
        (
            {"speculation": True},
            {},
            EngineConfig(speculation=NGramSpeculation()),
            "given: speculation",
        ),
    ],
)
def test_precedence(
    given: Mapping[str, object], tuned: Mapping[str, object], expected: EngineConfig, origin: str
) -> None:
    choice = choose_engine(given, tuned)
    assert choice.config == expected
    assert choice.origin == origin


def test_settings_of_a_caller_are_given() -> None:
    assert given_engine(EngineConfig(allow_spinning=False)).origin == "given: allow_spinning"
    assert given_engine(EngineConfig()).origin == "default"


@pytest.mark.parametrize(
    "config",
    [
        EngineConfig(ep="cuda"),
        EngineConfig(intra_op_num_threads=3, allow_spinning=False, prefill_chunk_len=64),
        EngineConfig(speculation=TUNED_GUESS),
    ],
)
def test_recorded_settings_are_flat_and_can_be_read_back(config: EngineConfig) -> None:
    recorded = config.recorded()
    assert "ep" not in recorded
    assert all(value is None or isinstance(value, str | int | bool) for value in recorded.values())
    assert EngineConfig.from_recorded(recorded, config.ep) == config


@pytest.mark.parametrize("guess", ["3", "3,8,1", "a,b", "0,8"])
def test_recorded_settings_that_make_no_sense_are_refused(guess: str) -> None:
    recorded = EngineConfig().recorded() | {"speculation": guess}
    with pytest.raises(ValueError, match=r"."):
        EngineConfig.from_recorded(recorded, "cpu")
