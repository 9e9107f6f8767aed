"""Evaluate GGUF files with llama-cpp-python; run by an interpreter that has it.

    python llama_cpp_worker.py JOBS.json RESULTS.npz

Jobs are `{"name": ..., "path": ..., "tokens": [...]}`; results are `(tokens, vocab)` by name. The
KV cache is float32, so what is left of a difference is the order of sums.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import llama_cpp
import numpy as np

_FLOAT32 = 0  # its ggml type


def main() -> int:
    """Evaluate every job."""
    jobs, results = (Path(argument) for argument in sys.argv[1:])
    logits = {}
    for job in json.loads(jobs.read_text(encoding="utf-8")):
        tokens = job["tokens"]
        model = llama_cpp.Llama(
            job["path"],
            n_ctx=256,
            n_threads=2,
            logits_all=True,
            type_k=_FLOAT32,
            type_v=_FLOAT32,
            verbose=False,
        )
        model.eval(tokens)
        logits[job["name"]] = np.array(model.scores[: len(tokens)], dtype=np.float32)
        model.close()
    np.savez(results, **logits)
    return 0


if __name__ == "__main__":
    sys.exit(main())
