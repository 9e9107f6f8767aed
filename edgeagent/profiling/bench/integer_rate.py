"""How fast this runtime multiplies matrices of integers here: the ceiling of a prefill.

The graphs are those of `profiles/ceilings/`, made by `scripts/make_ceiling_graphs.py`.
`MatMulInteger` on 8-bit integers stands for what the processor can do. Of its two forms, one is
fast on some processors and the other on others; the better one counts. `MatMulNBits` is the kernel
that packages run, on 4-bit and 8-bit weights: what a model could reach with this runtime.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeagent.clock import now_ns
from edgeagent.config.paths import data_dir
from edgeagent.errors import ConfigError, EngineError
from edgeagent.privacy import disable_dependency_telemetry
from edgeagent.record.bench import CeilingReading

BLOCK_NS = 40_000_000
BLOCKS = 5
ROWS = 128
"""As many as one native call of a prefill has by default."""

KERNELS: dict[str, tuple[str, np.dtype[Any]]] = {
    "matmul:u8s8": ("matmul_u8s8.onnx", np.dtype(np.uint8)),
    "matmul:s8s8": ("matmul_s8s8.onnx", np.dtype(np.int8)),
    "matmul:nbits4": ("matmul_4bit.onnx", np.dtype(np.float32)),
    "matmul:nbits8": ("matmul_8bit.onnx", np.dtype(np.float32)),
}
"""File in `profiles/ceilings/` and type of the rows, by the name of the kernel."""

_ERRORS_ONLY = 3


def measure_integer_rate(
    threads: int, names: tuple[str, ...], *, allow_spinning: bool = True, round_: int = 0
) -> Iterator[CeilingReading]:
    """Yield the blocks of each kernel, in the order of `names`.

    Args:
        threads: Of one operator.
        names: Keys of `KERNELS`.
        allow_spinning: Whether idle threads busy-wait, as in the engine's settings.
        round_: Number of the round, for the record.

    Raises:
        EngineError: The runtime cannot be imported or refused a graph.
        ConfigError: The installation lacks the graphs.
    """
    for name in names:
        file, dtype = KERNELS[name]
        session = _open(data_dir("profiles") / "ceilings" / file, threads, allow_spinning)
        width = int(session.get_inputs()[0].shape[1])
        rows = np.random.default_rng(0).integers(0, 100, (ROWS, width)).astype(dtype)
        inputs = {"rows": rows}
        session.run(None, inputs)
        t0_ns = now_ns()
        session.run(None, inputs)
        runs = max(1, math.ceil(BLOCK_NS / max(1, now_ns() - t0_ns)))
        for _ in range(BLOCKS):
            t0_ns = now_ns()
            for _ in range(runs):
                session.run(None, inputs)
            t1_ns = now_ns()
            yield CeilingReading(
                kernel=name,
                round=round_,
                threads=threads,
                amount=2 * runs * ROWS * width * width,
                t0_ns=t0_ns,
                t1_ns=t1_ns,
            )


def _open(path: Path, threads: int, allow_spinning: bool) -> Any:
    disable_dependency_telemetry()
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise EngineError(f"onnxruntime cannot be imported ({error}); install it again.") from error
    if not path.is_file():
        raise ConfigError(f"The installation of edgeagent lacks {path.name}; install it again.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "1" if allow_spinning else "0"
    )
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions
        raise EngineError(f"The runtime refused {path.name}: {error}") from error
