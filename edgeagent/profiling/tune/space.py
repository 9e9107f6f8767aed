"""What is searched: settings that this device, this package and the memory allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.profiling.tune.search import Stage

CHUNKS = (32, 64, 128, 256, 512)
SPECULATIONS = (
    NGramSpeculation(ngram_len=3, max_draft_len=8),
    NGramSpeculation(ngram_len=3, max_draft_len=4),
    NGramSpeculation(ngram_len=2, max_draft_len=8),
)
KV_NOTE = (
    "KV precision was not searched: the graphs of this version keep keys and values as float32; "
    "int8 needs scales that are calibrated when a model is exported"
)
SPECULATION_NOTE = (
    "speculation was not searched: the package has no graph with the logits of all positions; "
    "export the model with edgeagent's own exporter"
)


@dataclass(frozen=True, slots=True)
class Space:
    """What decides which settings there are.

    Attributes:
        physical_cores: That this process may use.
        logical_cores: That this process may use.
        longest_prompt: Tokens of the longest prefill of the work: longer chunks change nothing.
        has_all_positions: Whether the package has the graph that speculation needs.
    """

    physical_cores: int
    logical_cores: int
    longest_prompt: int
    has_all_positions: bool

    def stages(self) -> tuple[Stage, ...]:
        """Return the steps of a search; what has most effect comes first."""
        always = (
            Stage("threads and spinning", self._threads),
            Stage("prefill chunk", self._chunks),
        )
        if not self.has_all_positions:
            return always
        return (*always, Stage("speculation and its graph", self._speculations))

    def notes(self) -> tuple[str, ...]:
        """Say what is not searched, and why."""
        return (KV_NOTE,) if self.has_all_positions else (KV_NOTE, SPECULATION_NOTE)

    def thread_counts(self) -> tuple[int, ...]:
        """Return the numbers of threads, the default first."""
        physical = self.physical_cores
        counts = (physical, self.logical_cores, max(1, physical // 2), 1)
        return tuple(dict.fromkeys(counts))

    def _threads(self, held: EngineConfig) -> Sequence[EngineConfig]:
        """Threads and spinning depend on each other: one thread has nobody to wait for."""
        return [
            held.model_copy(
                update={
                    # `None` is the physical cores: the setting that is the default stays so.
                    "intra_op_num_threads": None if count == self.physical_cores else count,
                    "allow_spinning": spin,
                }
            )
            for count in self.thread_counts()
            for spin in (True, False)
            if spin or count > 1
        ]

    def _chunks(self, held: EngineConfig) -> Sequence[EngineConfig]:
        shorter = [chunk for chunk in CHUNKS if chunk < self.longest_prompt]
        enough = [chunk for chunk in CHUNKS if chunk >= self.longest_prompt][:1]
        return [held.model_copy(update={"prefill_chunk_len": n}) for n in (*shorter, *enough)]

    def _speculations(self, held: EngineConfig) -> Sequence[EngineConfig]:
        return [held.model_copy(update={"speculation": guess}) for guess in SPECULATIONS]


def describe(config: EngineConfig, physical_cores: int) -> str:
    """Return settings as people read them: `4 threads, spinning, chunk 128`."""
    threads = config.intra_op_num_threads or physical_cores
    parts = [
        f"{threads} thread{'s' if threads > 1 else ''}",
        "spinning" if config.allow_spinning else "no spinning",
        f"chunk {config.prefill_chunk_len}",
    ]
    if (guess := config.speculation) is not None:
        parts.append(f"guessing {guess.max_draft_len} after {guess.ngram_len}")
    return ", ".join(parts)
