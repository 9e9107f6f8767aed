from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from edgeagent.cli.options import budget, budget_options
from edgeagent.config.run import Budget


def parsed(*arguments: str) -> Budget:
    """Return the budget that a command with the shared options gets."""
    budgets: list[Budget] = []

    @click.command()
    @budget_options
    def command(**limits: object) -> None:
        budgets.append(budget(**limits))  # type: ignore[arg-type]

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return budgets[0]


@pytest.mark.parametrize(
    ("arguments", "grounding"),
    [((), None), (("--grounding",), True), (("--no-grounding",), False)],
)
def test_grounding_reaches_the_budget(arguments: tuple[str, ...], grounding: bool | None) -> None:
    assert parsed(*arguments) == Budget(grounding=grounding)


def test_limits_reach_the_budget() -> None:
    given = parsed(
        *("--max-turns", "3", "--max-new-tokens", "50", "--context", "512", "--timeout", "7.5")
    )
    assert given == Budget(max_turns=3, max_new_tokens=50, max_context_len=512, timeout_s=7.5)
