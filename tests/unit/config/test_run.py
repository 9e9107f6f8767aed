from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgeagent.config.run import FREE_NEW_TOKENS, Budget


@pytest.mark.parametrize(
    ("parameters", "grounded"),
    [(1, True), (999_999_999, True), (1_000_000_000, False), (7_000_000_000, False)],
)
def test_small_models_are_grounded(parameters: int, grounded: bool) -> None:
    assert Budget().for_model(parameters).grounding is grounded


@pytest.mark.parametrize("parameters", [1, 7_000_000_000])
@pytest.mark.parametrize("grounding", [True, False])
def test_what_the_user_decided_is_kept(grounding: bool, parameters: int) -> None:
    assert Budget(grounding=grounding).for_model(parameters).grounding is grounding


def test_a_model_decides_nothing_but_grounding() -> None:
    budget = Budget(max_turns=3, max_new_tokens=7, max_context_len=100, timeout_s=1.5)
    decided = budget.for_model(1)
    assert decided == budget.model_copy(update={"grounding": True})
    assert budget.grounding is None


@pytest.mark.parametrize(
    "limits", [{"max_turns": 0}, {"max_context_len": 63}, {"timeout_s": 0}, {"grounding": "often"}]
)
def test_limits_are_checked(limits: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Budget.model_validate(limits)


def test_models_that_are_not_grounded_may_write_longer_turns_unless_it_is_said() -> None:
    assert Budget().for_model(100).max_new_tokens == Budget().max_new_tokens
    assert Budget().for_model(3_000_000_000).max_new_tokens == FREE_NEW_TOKENS
    assert Budget(max_new_tokens=50).for_model(3_000_000_000).max_new_tokens == 50
