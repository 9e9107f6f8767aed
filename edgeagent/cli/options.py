"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from edgeagent.config.run import Budget, EngineConfig

_Function = TypeVar("_Function", bound=Callable[..., object])

_ENGINE_OPTIONS = (
    click.option(
        "--ep", default="cpu", show_default=True, help="Execution provider, see `doctor`."
    ),
    click.option(
        "--threads", type=click.IntRange(1, 1024), help="Threads; default: the physical cores."
    ),
    click.option(
        "--spin/--no-spin",
        default=True,
        show_default=True,
        help="Whether idle threads busy-wait: faster, but costs energy.",
    ),
)
_BUDGET_OPTIONS = (
    click.option("--max-turns", type=click.IntRange(1, 100), help="Model turns of one agent."),
    click.option(
        "--max-new-tokens", type=click.IntRange(1, 1 << 16), help="Tokens generated in one turn."
    ),
    click.option(
        "--context", type=click.IntRange(64, 1 << 20), help="Tokens of each role's KV cache."
    ),
    click.option(
        "--grounding/--no-grounding",
        default=None,
        help="Limit tool calls to what was said; default: for models under 1 B weights.",
    ),
    click.option("--timeout", type=click.FloatRange(min=0.1), help="Seconds for one task."),
)


def engine_options(function: _Function) -> _Function:
    """Add the options of the runtime: `ep`, `threads`, `spin`."""
    for option in reversed(_ENGINE_OPTIONS):
        function = option(function)
    return function


def budget_options(function: _Function) -> _Function:
    """Add the limits of a task: turns, tokens, context, time and grounding."""
    for option in reversed(_BUDGET_OPTIONS):
        function = option(function)
    return function


def engine_config(ep: str, threads: int | None, spin: bool) -> EngineConfig:
    """Return the engine settings that the options stand for."""
    return EngineConfig(ep=ep, intra_op_num_threads=threads, allow_spinning=spin)


def budget(
    max_turns: int | None,
    max_new_tokens: int | None,
    context: int | None,
    timeout: float | None,
    *,
    grounding: bool | None,
) -> Budget:
    """Return the budget that the options stand for; what is not given keeps its default."""
    given = {
        "max_turns": max_turns,
        "max_new_tokens": max_new_tokens,
        "max_context_len": context,
        "timeout_s": timeout,
        "grounding": grounding,
    }
    return Budget.model_validate({key: value for key, value in given.items() if value is not None})
