"""The real engine: onnxruntime-genai.

What the runtime does when it is used naively, and what is done here instead:

- It sends telemetry unless told not to before its first import: `edgeagent.privacy` comes first.
- It allocates and zeroes a KV cache for the model's whole context: sessions pass the length they
  were opened for.
- After a stop by one's own budget the last token was never run and leaves a hole in the cache;
  after a rewind the next generated token is the old one: tokens are chosen here from the logits
  and always appended, `generate_next_token` is not used.
- It holds the GIL during native calls: prompts are appended in chunks, so a prefill can be
  cancelled and watched, and nothing in this process is trusted to sample meanwhile.
- It runs token ids beyond the vocabulary without complaint: they are refused here.
- It appends to a batch only once and rewinds it only to nothing: rows that decode together are run
  by onnxruntime itself, see `ort_graph`.
- Its cache cannot be rewound for some kinds of models: a new one is filled instead, which
  `cached_len` shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from edgeagent.clock import now_ns
from edgeagent.config.run import EngineConfig
from edgeagent.engine.adapters import require_adapter
from edgeagent.engine.genai_adapters import GenaiAdapters
from edgeagent.engine.genai_package import CONFIG_NAME, read_package, require_all_positions
from edgeagent.engine.genai_runtime import first_line, import_runtime, open_model
from edgeagent.engine.genai_session import GenaiSession, SessionRuntime
from edgeagent.engine.grammar import GrammarMatcher, GrammarTokenizer
from edgeagent.engine.ort_graph import OrtGraph
from edgeagent.engine.protocol import EngineInfo
from edgeagent.engine.row_group import RowGroup
from edgeagent.engine.rows import RowRuntime
from edgeagent.engine.text import encodable
from edgeagent.engine.turns import TurnGroup
from edgeagent.errors import EngineError, ResourceError


class GenaiEngine:
    """One package, loaded."""

    def __init__(self, folder: Path, config: EngineConfig | None = None) -> None:
        """Load the package.

        Raises:
            EngineError: The package is damaged, or the runtime or the execution provider refused.
            ResourceError: Less memory is available than the weights need.
        """
        self._config = config or EngineConfig()
        self._facts = read_package(folder)
        if self._config.speculation is not None:
            require_all_positions(folder)
        _check_memory(self._facts.weights_bytes, f"Loading {folder.name}")
        og = import_runtime()
        t0_ns = now_ns()
        self._model, ep = open_model(folder, self._config)
        self._og = og
        try:
            self._tokenizer: Any = og.Tokenizer(self._model)
        except Exception as error:
            raise EngineError(
                f"{folder}: the tokenizer cannot be loaded: {first_line(error)}."
            ) from error
        self._adapters: GenaiAdapters | None = GenaiAdapters(
            og, self._model, self._facts.folder, self._facts.adapters
        )
        self._grammar_tokenizer: GrammarTokenizer | None = None
        self._batch_graph: OrtGraph | None = None
        self._batch_graph_was_tried = False
        self.info = EngineInfo(
            name="genai",
            version=str(og.__version__),
            ep=ep,
            context_len=self._facts.context_len,
            vocab_size=self._facts.vocab_size,
            kv_bytes_per_token=self._facts.kv_bytes_per_token,
            load_ns=now_ns() - t0_ns,
        )
        self.chat_template = self._facts.chat_template
        self.chat_tokens = self._facts.chat_tokens
        self.control_tokens = self._facts.control_tokens
        self.adapters = tuple(sorted(self._facts.adapters))
        self.folder = self._facts.folder

    def encode(self, text: str) -> list[int]:
        """Tokenize; nothing is added."""
        text = encodable(text, nfc=self._facts.normalizes_nfc)
        return [int(token) for token in self._loaded().encode(text)]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of the tokens."""
        # Of nothing but control tokens the runtime makes a replacement character.
        shown = [token for token in token_ids if token not in self._facts.hidden_ids]
        if not shown:
            return ""
        return str(self._loaded().decode(np.asarray(shown, dtype=np.int32)))

    def _loaded(self) -> Any:
        if self._tokenizer is None:
            raise EngineError("The engine is closed.")
        return self._tokenizer

    def open(self, max_context_len: int, adapter: str | None = None) -> GenaiSession:
        """Open a session; its KV cache is allocated and its adapter activated now.

        Raises:
            ResourceError: Longer than the package's context, or not enough memory.
            EngineError: The engine is closed, has no such adapter, or the runtime refused.
        """
        self._check_context(1, max_context_len, adapter)
        tokenizer = self._loaded()
        return GenaiSession(
            SessionRuntime(
                new_generator=lambda: self._new_generator(max_context_len, adapter),
                new_stream=tokenizer.create_stream,
                new_matcher=self.matcher,
                eos_ids=frozenset(self._facts.eos_ids),
                vocab_size=self._facts.vocab_size,
            ),
            max_context_len=max_context_len,
            prefill_chunk_len=self._config.prefill_chunk_len,
            speculation=self._config.speculation,
        )

    def open_group(
        self, rows: int, max_context_len: int, adapter: str | None = None
    ) -> RowGroup | TurnGroup:
        """Open rows that decode together; the first call loads the weights a second time.

        Where the graph cannot be run outside of onnxruntime-genai, and with other execution
        providers than the CPU, the rows are sessions that take turns.

        Raises:
            ResourceError: Longer than the package's context, or not enough memory.
            EngineError: The engine is closed, has no such adapter, or the runtime refused.
        """
        if rows < 1:
            raise ValueError(f"a group of {rows} sessions decodes nothing")
        self._check_context(rows, max_context_len, adapter)
        folder = self._facts.folder
        graph = None
        if self.info.ep == "cpu" and self._facts.extends_cache_in_place:
            pool_bytes = rows * max_context_len * self._facts.kv_bytes_per_token
            graph = self._load_batch_graph(pool_bytes)
        if graph is None:
            return TurnGroup(lambda: self.open(max_context_len, adapter), rows)
        return RowGroup(
            RowRuntime(
                graph=graph,
                new_stream=self._loaded().create_stream,
                new_matcher=self.matcher,
                eos_ids=frozenset(self._facts.eos_ids),
                vocab_size=self._facts.vocab_size,
                prefill_chunk_len=self._config.prefill_chunk_len,
                adapter_file=None if adapter is None else folder / self._facts.adapters[adapter],
            ),
            rows,
            max_context_len,
        )

    def _load_batch_graph(self, pool_bytes: int) -> OrtGraph | None:
        """Return the decoder as rows run it, loaded by the first call; `None` if it cannot be.

        Args:
            pool_bytes: What the rows that are about to be opened need besides.
        """
        if not self._batch_graph_was_tried:
            name = self._facts.folder.name
            _check_memory(
                self._facts.weights_bytes + pool_bytes,
                f"Loading {name} a second time to run batches",
            )
            graph = OrtGraph(self._facts.folder / self._facts.graph, self._config)
            self._batch_graph = graph if graph.fits() else None
            self._batch_graph_was_tried = True
        return self._batch_graph

    def _check_context(self, rows: int, max_context_len: int, adapter: str | None) -> None:
        self._loaded()
        if max_context_len < 1:
            raise ValueError(f"a context of {max_context_len} tokens holds nothing")
        if max_context_len > self._facts.context_len:
            raise ResourceError(
                f"A context of {max_context_len} tokens was asked for, but "
                f"{self._facts.folder / CONFIG_NAME} allows {self._facts.context_len}."
            )
        if adapter is not None:
            require_adapter(adapter, self.adapters, str(self._facts.folder))
        _check_memory(
            rows * max_context_len * self._facts.kv_bytes_per_token,
            f"{'A KV cache' if rows == 1 else f'KV caches of {rows} rows'} for {max_context_len} "
            "tokens",
        )

    def _new_generator(self, max_context_len: int, adapter: str | None) -> Any:
        """Return a generator whose cache is empty and holds `max_context_len` tokens."""
        try:
            params = self._og.GeneratorParams(self._model)
            params.set_search_options(max_length=max_context_len, batch_size=1, do_sample=False)
            generator = self._og.Generator(self._model, params)
        except Exception as error:
            raise EngineError(
                f"{self._facts.folder} cannot be run with a context of {max_context_len} tokens: "
                f"{first_line(error)}."
            ) from error
        if adapter is not None and self._adapters is not None:
            self._adapters.activate(generator, adapter)
        return generator

    def matcher(self, grammar: str) -> GrammarMatcher:
        """Compile a grammar for this vocabulary; the token trie is built at the first call."""
        if self._grammar_tokenizer is None:
            self._grammar_tokenizer = GrammarTokenizer(
                self._facts.tokenizer_json, self._facts.vocab_size, self._facts.eos_ids
            )
        return GrammarMatcher(self._grammar_tokenizer, grammar)

    def close(self) -> None:
        """Unload the model."""
        self._tokenizer = None
        self._adapters = None
        self._model = None
        self._batch_graph = None
        self._batch_graph_was_tried = False


def _check_memory(needed_bytes: int, what: str) -> None:
    available = psutil.virtual_memory().available
    if needed_bytes > available:
        raise ResourceError(
            f"{what} needs {needed_bytes / 1e6:.0f} MB of memory, but {available / 1e6:.0f} MB "
            "are available; close other programs or choose a smaller model or context."
        )
