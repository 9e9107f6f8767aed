"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from edgeagent.config.engine_choice import EngineChoice
from edgeagent.config.package import Package
from edgeagent.config.run import Budget

_Function = TypeVar("_Function", bound=Callable[..., object])

_ENGINE_OPTIONS = (
    click.option("--ep", help="Execution provider, see `doctor`; default: cpu."),
    click.option(
        "--threads", type=click.IntRange(1, 1024), help="Threads; default: the physical cores."
    ),
    click.option(
        "--spin/--no-spin",
        default=None,
        help="Whether idle threads busy-wait; default: they do.",
    ),
    click.option(
        "--prefill-chunk",
        type=click.IntRange(1, 1 << 16),
        help="Tokens of a prompt that are run at once; default: 128.",
    ),
    click.option(
        "--speculation/--no-speculation",
        default=None,
        help="Whether to guess tokens from earlier ones; default: no.",
    ),
    click.option(
        "--tuned/--no-tuned",
        default=True,
        help="Whether to use what `tune` found, where no option says otherwise; default: yes.",
    ),
)
ENGINE_NAMES = ("ep", "threads", "spin", "prefill_chunk", "speculation", "tuned")
"""Names of the parameters that these options become."""

_BUDGET_OPTIONS = (
    click.option("--max-turns", type=click.IntRange(1, 100), help="Model turns of one agent."),
    click.option(
        "--max-new-tokens", type=click.IntRange(1, 1 << 16), help="Tokens generated in one turn."
    ),
    click.option("--max-tokens", type=click.IntRange(min=1), help="Tokens generated for one task."),
    click.option(
        "--max-energy",
        type=click.FloatRange(min=0, min_open=True),
        help="Joules for one task, on a device that measures them.",
    ),
    click.option(
        "--max-thinking",
        type=click.IntRange(0, 1 << 16),
        help="Tokens of a thinking section, for models that have one; default: 0, none.",
    ),
    click.option(
        "--grammar/--no-grammar",
        default=None,
        help="Whether calls are held to their schemas by a grammar; default: yes.",
    ),
    click.option(
        "--sessions",
        type=click.Choice(["own", "shared"]),
        help="Whether each role has a KV cache of its own, or roles share one; default: by memory.",
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
    """Add the options of the runtime, see `ENGINE_NAMES`; none of them decides unless given."""
    for option in reversed(_ENGINE_OPTIONS):
        function = option(function)
    return function


def budget_options(function: _Function) -> _Function:
    """Add the limits of a task: turns, tokens, energy, context, time, grammar and grounding."""
    for option in reversed(_BUDGET_OPTIONS):
        function = option(function)
    return function


def engine_choice(
    package: Package,
    *,
    ep: str | None,
    threads: int | None,
    spin: bool | None,
    prefill_chunk: int | None,
    speculation: bool | None,
    tuned: bool,
) -> EngineChoice:
    """Return the engine settings that the options stand for, tuned ones where none was given.

    Raises:
        ConfigError: The tuned settings are damaged.
    """
    from edgeagent.profiling.engine_for import engine_config_for

    return engine_config_for(
        package,
        tuned=tuned,
        ep=ep,
        intra_op_num_threads=threads,
        allow_spinning=spin,
        prefill_chunk_len=prefill_chunk,
        speculation=speculation,
    )


def take(options: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Remove the options of these names and return them."""
    return {name: options.pop(name) for name in names}


def budget(
    *,
    max_turns: int | None,
    max_new_tokens: int | None,
    max_tokens: int | None,
    max_energy: float | None,
    max_thinking: int | None,
    sessions: str | None,
    context: int | None,
    timeout: float | None,
    grounding: bool | None,
    grammar: bool | None,
) -> Budget:
    """Return the budget that the options stand for; what is not given keeps its default."""
    given = {
        "max_turns": max_turns,
        "max_new_tokens": max_new_tokens,
        "max_tokens": max_tokens,
        "max_energy_j": max_energy,
        "max_thinking_tokens": max_thinking,
        "constrained": grammar,
        "max_context_len": context,
        "sessions": sessions,
        "timeout_s": timeout,
        "grounding": grounding,
    }
    return Budget.model_validate({key: value for key, value in given.items() if value is not None})
