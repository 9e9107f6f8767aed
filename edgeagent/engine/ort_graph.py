"""A decoder graph in plain onnxruntime: some rows of a pool of caches in one run.

onnxruntime-genai can run a batch, but append to it only once and rewind it only to nothing, so it
cannot keep prefixes of rows apart. The graph itself can: its attention reads and extends every
row's keys and values in a buffer given by the caller, and the attention mask tells how long each
row is. So a row's cache is a slice of a larger buffer, run by itself or with its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeagent.config.run import EngineConfig
from edgeagent.engine.genai_runtime import first_line, thread_count
from edgeagent.engine.sampling import Logits
from edgeagent.errors import EngineError
from edgeagent.privacy import disable_dependency_telemetry

_CACHE_TYPES: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
_TOKEN_INPUTS = frozenset({"input_ids", "attention_mask", "position_ids"})
_PAST, _PRESENT = "past_key_values.", "present."
_PROBE_LEN = 8
_PROBE_TOLERANCE = 0.2


@dataclass(frozen=True, slots=True)
class CacheInput:
    """Keys or values of a layer: `(rows, heads, len, head_size)`."""

    name: str
    output: str
    dtype: type[np.floating[Any]]
    heads: int
    head_size: int


class CachePool:
    """The keys and values of several rows, each `max_context_len` tokens long.

    A row of the pool is called a slot; its token `t` of layer `i` lies at `[slot, :, t, :]`.
    """

    def __init__(
        self,
        inputs: Sequence[CacheInput],
        rows: int,
        max_context_len: int,
        adapter: Mapping[str, Any] | None = None,
    ) -> None:
        """Allocate.

        Args:
            inputs: What is cached.
            rows: Number of slots.
            max_context_len: Tokens of each.
            adapter: Weights of the LoRA adapter that all of them run with, by input; `None` for
                the model alone. Keys and values of one adapter are wrong under another.
        """
        self.inputs = inputs
        self.adapter = adapter or {}
        self.tensors: list[NDArray[Any]] = [
            np.zeros((rows, cache.heads, max_context_len, cache.head_size), cache.dtype)
            for cache in inputs
        ]
        self.bindings: dict[tuple[int, int], Any] = {}
        """Buffers of a range of slots as the runtime was told them."""

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        """Copy the tokens from `start` to `end` of one slot to another."""
        for tensor in self.tensors:
            tensor[target, :, start:end] = tensor[source, :, start:end]

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchange the first `length` tokens of two slots."""
        for tensor in self.tensors:
            kept = tensor[one, :, :length].copy()
            tensor[one, :, :length] = tensor[other, :, :length]
            tensor[other, :, :length] = kept

    def free(self) -> None:
        """Give the memory back, whoever still holds the pool."""
        self.bindings.clear()
        self.tensors.clear()
        self.adapter = {}


class OrtGraph:
    """A decoder graph, loaded."""

    def __init__(self, path: Path, config: EngineConfig) -> None:
        """Load the graph and its weights on the CPU.

        Raises:
            EngineError: The runtime refused it.
        """
        disable_dependency_telemetry()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count(config)
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "1" if config.allow_spinning else "0"
        )
        options.log_severity_level = 4  # errors are raised, and told by those who handle them
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise EngineError(f"{path} cannot be loaded: {first_line(error)}.") from error
        inputs = self._session.get_inputs()
        self._has_positions = any(value.name == "position_ids" for value in inputs)
        self._optional = {value.name for value in self._session.get_overridable_initializers()}
        self._caches = _cache_inputs(inputs, self._session.get_outputs())

    def new_pool(
        self, rows: int, max_context_len: int, adapter_file: Path | None = None
    ) -> CachePool:
        """Return empty caches, of rows that run with a LoRA adapter if there is a file of one.

        Raises:
            EngineError: The runtime refused the file.
        """
        adapter = None if adapter_file is None else self._read_adapter(adapter_file)
        return CachePool(self._caches or (), rows, max_context_len, adapter)

    def _read_adapter(self, file: Path) -> Mapping[str, Any]:
        import onnxruntime

        try:
            weights: dict[str, Any] = onnxruntime.AdapterFormat.read_adapter(
                str(file)
            ).get_parameters()
        except Exception as error:
            raise EngineError(
                f"{file} cannot be used: {first_line(error)}; export the model again."
            ) from error
        unknown = weights.keys() - self._optional
        if unknown:
            raise EngineError(
                f"{file} cannot be used: the graph has no input {min(unknown)[:80]!r}; export the "
                "model again."
            )
        return weights

    def run(
        self, pool: CachePool, first: int, token_ids: NDArray[np.int64], lengths: Sequence[int]
    ) -> Logits:
        """Run new tokens of neighbouring slots, and extend their caches.

        Args:
            pool: The caches.
            first: The first of the slots.
            token_ids: `(slots, new)`; several new ones only for a single slot, which is all that
                the attention of onnxruntime takes.
            lengths: Tokens in each of the slots, the new ones included.

        Returns:
            Logits `(slots, vocab)` after the last token of each.

        Raises:
            EngineError: The runtime failed.
        """
        count, new = token_ids.shape
        mask = np.zeros((count, max(lengths)), dtype=np.int64)
        for row, length in enumerate(lengths):
            mask[row, :length] = 1
        try:
            binding = pool.bindings.get((first, count))
            if binding is None:
                binding = pool.bindings[first, count] = self._bind(pool, first, count)
            binding.bind_cpu_input("input_ids", token_ids)
            binding.bind_cpu_input("attention_mask", mask)
            if self._has_positions:
                ends = np.asarray(lengths, dtype=np.int64)[:, None]
                binding.bind_cpu_input("position_ids", ends + np.arange(-new, 0, dtype=np.int64))
            binding.bind_output("logits", "cpu")
            self._session.run_with_iobinding(binding)
            logits = binding.get_outputs()[0].numpy()
        except Exception as error:
            raise EngineError(f"The runtime failed on a batch: {first_line(error)}.") from error
        last: Logits = logits[:, -1].astype(np.float32, copy=False)
        return last

    def _bind(self, pool: CachePool, first: int, count: int) -> Any:
        binding = self._session.io_binding()
        binding.bind_output("logits", "cpu")  # bound first, so it is the first of the outputs
        for name, value in pool.adapter.items():
            binding.bind_ortvalue_input(name, value)
        for cache, tensor in zip(pool.inputs, pool.tensors, strict=True):
            rows = tensor[first : first + count]
            place = ("cpu", 0, cache.dtype, rows.shape, rows.ctypes.data)
            binding.bind_input(cache.name, *place)
            binding.bind_output(cache.output, *place)
        return binding

    def fits(self) -> bool:
        """Whether rows of different lengths compute together what they compute by themselves.

        Graphs come from several exporters, and what they do with a mask cannot be read off their
        inputs: two short rows are run both ways and compared.
        """
        if self._caches is None:
            return False
        pool = self.new_pool(2, _PROBE_LEN)
        prompts = np.asarray([[1, 2, 3], [4, 5, 6]], dtype=np.int64)
        lengths = (3, 2)
        alone = []
        try:
            for slot, length in enumerate(lengths):
                self.run(pool, slot, prompts[slot : slot + 1, :length], [length])
                alone.append(self.run(pool, slot, prompts[slot : slot + 1, :1], [length + 1])[0])
            together = self.run(pool, 0, prompts[:, :1], [length + 1 for length in lengths])
        except EngineError:
            return False
        # Quantized products are rounded differently for one row and for several.
        spread = float(np.std(alone))
        return bool(np.abs(together - np.stack(alone)).max() <= _PROBE_TOLERANCE * spread)


def _cache_inputs(inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[CacheInput, ...] | None:
    """Return the keys and values that the graph extends, `None` if it is of another kind."""
    results = {value.name: value for value in outputs}
    caches = []
    for value in inputs:
        if value.name in _TOKEN_INPUTS:
            if value.type != "tensor(int64)" or len(value.shape) != 2:
                return None
            continue
        output = results.pop(value.name.replace(_PAST, _PRESENT, 1), None)
        if (
            not value.name.startswith(_PAST)
            or output is None
            or value.type not in _CACHE_TYPES
            or output.type != value.type
            or len(value.shape) != 4
        ):
            return None
        _, heads, _, head_size = value.shape
        if not (isinstance(heads, int) and isinstance(head_size, int)):
            return None
        caches.append(
            CacheInput(value.name, output.name, _CACHE_TYPES[value.type], heads, head_size)
        )
    return tuple(caches) if caches and set(results) == {"logits"} else None
