"""One engine in a process of its own, for `benchmark_llama_cpp.py`; not meant to be run by hand.

Speaks JSON, one object a line: it says hello when the model is loaded, answers each job on stdin
with one line on stdout, and ends at the end of input. Between jobs it blocks in a read, so it
computes only while the other engine waits. Runs with an interpreter that has either engine.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

_NEWLINE = "\n"


class Bench(Protocol):
    """An engine as the benchmark sees it; the cache is empty at the start of each prefill."""

    def hello(self) -> dict[str, Any]:
        """Name the engine and its version."""
        ...

    def encode(self, text: str) -> list[int]:
        """Tokenize, adding nothing."""
        ...

    def prefill(self, token_ids: list[int]) -> None:
        """Run a prompt from an empty cache; the logits of its last position are then known."""
        ...

    def decode(self, count: int) -> list[int]:
        """Choose `count` tokens greedily, which takes `count - 1` steps of the model."""
        ...


class EdgeagentBench:
    """edgeagent's engine through its public protocol, with the settings that it runs with."""

    def __init__(self, package: Path, threads: int, context_len: int) -> None:
        """Load the package and allocate the cache."""
        from edgeagent.config.run import EngineConfig
        from edgeagent.engine.genai import GenaiEngine

        self._engine = GenaiEngine(package, EngineConfig(intra_op_num_threads=threads))
        self._session = self._engine.open(context_len)
        self._newline = self._engine.encode(_NEWLINE)

    def hello(self) -> dict[str, Any]:
        """See `Bench`."""
        import onnxruntime

        import edgeagent

        return {
            "edgeagent": edgeagent.__version__,
            "onnxruntime_genai": self._engine.info.version,
            "onnxruntime": onnxruntime.__version__,
        }

    def encode(self, text: str) -> list[int]:
        """See `Bench`."""
        return self._engine.encode(text)

    def prefill(self, token_ids: list[int]) -> None:
        """See `Bench`."""
        self._session.rewind(0)
        self._session.append(token_ids)

    def decode(self, count: int) -> list[int]:
        """See `Bench`; a newline takes the place of an end of turn, so the work is the same."""
        from edgeagent.engine.protocol import DecodeParams

        chosen: list[int] = []
        while len(chosen) < count:
            params = DecodeParams(max_new_tokens=count - len(chosen))
            chosen += [event.token_id for event in self._session.decode(params)]
            if len(chosen) < count:
                self._session.append(self._newline)
                chosen += self._newline
        return chosen[:count]


class LlamaCppBench:
    """llama.cpp through the low-level calls of its Python binding: nothing but model and argmax."""

    def __init__(self, gguf: Path, threads: int, context_len: int) -> None:
        """Load the file. Flash attention and the rest stay at the binding's defaults."""
        import llama_cpp

        self._version = llama_cpp.__version__
        self._system = llama_cpp.llama_print_system_info().decode().strip()
        self._llama = llama_cpp.Llama(
            model_path=str(gguf),
            n_ctx=context_len,
            n_batch=512,
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=0,
            verbose=False,
        )
        self._sampler = self._llama._init_sampler(temp=0.0)

    def hello(self) -> dict[str, Any]:
        """See `Bench`."""
        return {"llama_cpp_python": self._version, "llama_cpp_features": self._system}

    def encode(self, text: str) -> list[int]:
        """See `Bench`."""
        return [int(token) for token in self._llama.tokenize(text.encode(), add_bos=False)]

    def prefill(self, token_ids: list[int]) -> None:
        """See `Bench`."""
        self._llama.reset()
        self._llama.eval(token_ids)

    def decode(self, count: int) -> list[int]:
        """See `Bench`."""
        sampler, context = self._sampler, self._llama._ctx
        chosen: list[int] = [sampler.sample(context, -1)]
        while len(chosen) < count:
            self._llama.eval(chosen[-1:])
            chosen.append(sampler.sample(context, -1))
        return chosen


def answer(bench: Bench, job: dict[str, Any]) -> dict[str, Any]:
    """Do one job: `{"encode": text}` or `{"prompt": ids, "generate": count}`."""
    if "encode" in job:
        return {"ids": bench.encode(job["encode"])}
    t0_ns = time.perf_counter_ns()
    bench.prefill(job["prompt"])
    t1_ns = time.perf_counter_ns()
    chosen = bench.decode(job["generate"])
    t2_ns = time.perf_counter_ns()
    return {"prefill_ns": t1_ns - t0_ns, "decode_ns": t2_ns - t1_ns, "ids": chosen}


_BENCHES: dict[str, Callable[[Path, int, int], Bench]] = {
    "edgeagent": EdgeagentBench,
    "llama_cpp": LlamaCppBench,
}


def main() -> None:
    """Serve jobs; arguments: engine, model, threads, context length."""
    name, model, threads, context_len = sys.argv[1:]
    # Native code may print to stdout, which belongs to the protocol: give it stderr instead.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    bench = _BENCHES[name](Path(model), int(threads), int(context_len))
    hello = {"python": platform.python_version(), **bench.hello()}
    print(json.dumps(hello), file=replies, flush=True)
    busy_until_ns = time.process_time_ns()
    for line in sys.stdin:
        idle_cpu_ns = time.process_time_ns() - busy_until_ns
        reply = answer(bench, json.loads(line)) | {"idle_cpu_ns": idle_cpu_ns}
        print(json.dumps(reply), file=replies, flush=True)
        busy_until_ns = time.process_time_ns()


if __name__ == "__main__":
    main()
