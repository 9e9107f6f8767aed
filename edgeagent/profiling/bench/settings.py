"""What a person asks a benchmark for, and the cells that follow from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeagent import __version__
from edgeagent.config.package import Package
from edgeagent.config.run import EngineConfig
from edgeagent.errors import ConfigError
from edgeagent.meter.host.facts import host_record
from edgeagent.profiling.bench.messages import MAX_SEED, Loaded
from edgeagent.record.bench import Cell
from edgeagent.record.bench_run import BenchConfig, SpecSheet

DEFAULT_PROMPT_LENS = (32, 128, 512)
DEFAULT_DEPTHS = (0, 256, 1024)
DEFAULT_NEW_TOKENS = 32
DEFAULT_REPEAT = 5
DEFAULT_MIN_DURATION_S = 1.0
DEFAULT_SEED = 20260419


@dataclass(frozen=True)
class BenchSettings:
    """One benchmark.

    Attributes:
        package: The exported model.
        engine: Settings of the runtime.
        engine_origin: Where they come from, in words.
        prompt_lens: Lengths of prompts to prefill.
        depths: Tokens in the KV cache before a decode.
        new_tokens: Decode steps of one repetition.
        repeat: Rounds; each starts a fresh process and measures every cell.
        min_duration_s: Measured time of each cell in all rounds together, at least.
        seed: Of the tokens and of the order of cells.
        spec: What the maker of the device states, `None` if nothing is known.
    """

    package: Package
    engine: EngineConfig = field(default_factory=EngineConfig)
    engine_origin: str = "default"
    prompt_lens: tuple[int, ...] = DEFAULT_PROMPT_LENS
    depths: tuple[int, ...] = DEFAULT_DEPTHS
    new_tokens: int = DEFAULT_NEW_TOKENS
    repeat: int = DEFAULT_REPEAT
    min_duration_s: float = DEFAULT_MIN_DURATION_S
    seed: int = DEFAULT_SEED
    spec: SpecSheet | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            ConfigError: A number is out of its range, or there is nothing to measure.
        """
        if not self.prompt_lens and not self.depths:
            raise ConfigError("There is neither a prompt length nor a depth to measure.")
        if any(length < 1 for length in self.prompt_lens):
            raise ConfigError("A prompt must have at least one token.")
        if any(depth < 0 for depth in self.depths):
            raise ConfigError("A depth cannot be negative.")
        if self.new_tokens < 1 or self.repeat < 1 or not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(
                "New tokens and repetitions must be at least 1, and the seed from 0 to 2^32 - 1."
            )
        if not 0 <= self.min_duration_s <= 3600:
            raise ConfigError("The shortest duration of a cell must be from 0 to 3600 seconds.")
        if self.depths and self.new_tokens + 1 > self.max_context_len:
            raise ConfigError(
                f"{self.new_tokens} new tokens do not fit the package's context of "
                f"{self.max_context_len} tokens."
            )

    @property
    def max_context_len(self) -> int:
        """Longest context of the package."""
        return self.package.manifest.context_len

    def fitting_prompt_lens(self) -> tuple[int, ...]:
        """Return the prompt lengths in order, cut to the package's context."""
        return _fitting(self.prompt_lens, self.max_context_len - 1)

    def fitting_depths(self) -> tuple[int, ...]:
        """Return the depths in order, cut to what leaves room for the new tokens."""
        return _fitting(self.depths, self.max_context_len - self.new_tokens - 1)

    def cells(self) -> tuple[Cell, ...]:
        """Return what is measured, prompts first."""
        return (
            *(Cell(kind="prefill", tokens=length) for length in self.fitting_prompt_lens()),
            *(
                Cell(kind="decode", depth=depth, tokens=self.new_tokens)
                for depth in self.fitting_depths()
            ),
        )

    def context_len(self) -> int:
        """Return the length of the KV cache, which is the same for all cells."""
        return min(self.max_context_len, max(cell.context_len for cell in self.cells()))

    def notes(self) -> tuple[str, ...]:
        """Return what is measured otherwise than it was asked for."""
        cut = set(self.prompt_lens) - set(self.fitting_prompt_lens())
        cut |= set(self.depths) - set(self.fitting_depths())
        if not cut:
            return ()
        lengths = ", ".join(map(str, sorted(cut)))
        return (f"Cut to the package's context of {self.max_context_len} tokens: {lengths}.",)

    def config(self, loaded: Loaded) -> BenchConfig:
        """Return everything that the figures depend on.

        Args:
            loaded: What the engine said of itself.
        """
        manifest = self.package.manifest
        settings = self.engine.model_dump(exclude={"ep", "intra_op_num_threads", "speculation"})
        speculation = self.engine.speculation
        settings["speculation"] = speculation is not None
        if speculation is not None:
            settings |= speculation.model_dump()
        return BenchConfig(
            model_id=manifest.model_id,
            package_sha256=self.package.sha256,
            precision=self.package.precision,
            package_bytes=manifest.package_bytes,
            engine=loaded.engine,
            engine_version=loaded.version,
            ep=loaded.ep,
            threads=loaded.threads,
            engine_settings=settings,
            engine_origin=self.engine_origin,
            context_len=self.context_len(),
            prompt_lens=self.fitting_prompt_lens(),
            depths=self.fitting_depths(),
            new_tokens=self.new_tokens,
            repeat=self.repeat,
            min_duration_s=self.min_duration_s,
            seed=self.seed,
            edgeagent_version=__version__,
            host=host_record(),
        )


def plan_round(cells: Sequence[Cell], round_: int, seed: int) -> tuple[Cell, ...]:
    """Return the cells in the order of one round, which depends on the arguments only.

    Rounds follow one another and each has every cell once: a drift of the machine then meets all
    cells alike.
    """
    order = list(cells)
    random.Random(f"{seed}/{round_}").shuffle(order)
    return tuple(order)


def _fitting(values: tuple[int, ...], limit: int) -> tuple[int, ...]:
    return tuple(sorted({min(value, limit) for value in values}))
