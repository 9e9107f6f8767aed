"""Show which operators of a package take the time of a prefill and of a decode step.

    .venv/bin/python scripts/profile_operators.py PACKAGE [--graph all_positions.onnx] [--json FILE]

Runs the package's decoder in onnxruntime with its profiler on, with the cache in one buffer as the
engine has it, and sums kernel times by operator type. The profiler itself costs time with every
operator, so totals are above those of a normal run; shares are what it is good for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PHASES = ("prefill", "decode")
_WARM_UP_RUNS = 2
_NUMPY_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}


class ProfileError(Exception):
    """The package cannot be profiled; the message is for a person."""


def operator_times(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each model run its seconds, and seconds and calls per operator type.

    Args:
        events: The profiler's trace: `model_run` spans of the session, kernel spans of the nodes.
    """
    found = list(events)
    runs = sorted(
        (event for event in found if event.get("name") == "model_run"), key=lambda run: run["ts"]
    )
    kernels = [
        event
        for event in found
        if event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time")
    ]
    times: list[dict[str, Any]] = []
    for run in runs:
        begin, end = run["ts"], run["ts"] + run["dur"]
        operators: dict[str, dict[str, Any]] = defaultdict(lambda: {"time_s": 0.0, "calls": 0})
        for kernel in kernels:
            if begin <= kernel["ts"] < end:
                operator = operators[kernel["args"]["op_name"]]
                operator["time_s"] += kernel["dur"] * 1e-6
                operator["calls"] += 1
        times.append({"time_s": run["dur"] * 1e-6, "operators": dict(operators)})
    return times


def summarize(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return medians over runs of the same kind, operators by time, the longest first."""
    names = {name for run in runs for name in run["operators"]}
    operators = [
        {
            "op_type": name,
            "calls": max(run["operators"].get(name, {"calls": 0})["calls"] for run in runs),
            "time_s": statistics.median(
                run["operators"].get(name, {"time_s": 0.0})["time_s"] for run in runs
            ),
        }
        for name in names
    ]
    operators.sort(key=lambda operator: (-operator["time_s"], operator["op_type"]))
    return {"time_s": statistics.median(run["time_s"] for run in runs), "operators": operators}


def read_decoder(package: Path) -> tuple[str, dict[str, Any]]:
    """Return the name of a package's graph and its description in `genai_config.json`.

    Raises:
        ProfileError: The folder is not a package.
    """
    try:
        config = json.loads((package / "genai_config.json").read_text(encoding="utf-8"))
        decoder: dict[str, Any] = config["model"]["decoder"]
        return str(decoder["filename"]), decoder
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProfileError(f"{package} is not a package of `edgeagent export`") from error


def measure(
    package: Path, prompt_tokens: int, runs: int, threads: int, graph: str | None = None
) -> dict[str, Any]:
    """Run the decoder with the profiler on and return the summary of both phases.

    Args:
        package: Folder of the package.
        prompt_tokens: Length of the prefill.
        runs: Of each phase.
        threads: Of an operator.
        graph: File name of another graph of the package than the one that it names.

    Raises:
        ProfileError: The folder is not a package, or the runtime does not run it.
    """
    from edgeagent.privacy import disable_dependency_telemetry

    disable_dependency_telemetry()
    import onnxruntime

    filename, decoder = read_decoder(package)
    model = package / (graph or filename)
    if not model.is_file():
        raise ProfileError(f"{package} has no graph {model.name}")
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "trace")
        try:
            session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
            _run_phases(session, decoder, prompt_tokens, runs)
        except Exception as error:  # the runtime's exceptions have no common base of their own
            raise ProfileError(f"{model} does not run: {str(error).splitlines()[0]}") from error
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times = operator_times(events)
    each = _WARM_UP_RUNS + runs
    if len(times) != 2 * each:
        raise ProfileError(f"the profiler shows {len(times)} runs instead of {2 * each}")
    return {
        "package": package.name,
        "graph": model.name,
        "onnxruntime": onnxruntime.__version__,
        "prompt_tokens": prompt_tokens,
        "runs": runs,
        "threads": threads,
        "prefill": summarize(times[_WARM_UP_RUNS:each]),
        "decode": summarize(times[each + _WARM_UP_RUNS :]),
    }


def _run_phases(session: Any, decoder: Mapping[str, Any], prompt_tokens: int, runs: int) -> None:
    """Run prefills of the prompt from an empty cache, then decode steps that follow it."""
    cache = SharedCache(session, decoder, max_len=prompt_tokens + 1)
    for _ in range(_WARM_UP_RUNS + runs):
        cache.run(first=0, count=prompt_tokens)
    for _ in range(_WARM_UP_RUNS + runs):
        cache.run(first=prompt_tokens, count=1)


class SharedCache:
    """Buffers `(1, kv_heads, max_len, head_dim)` that are input and output at once."""

    def __init__(self, session: Any, decoder: Mapping[str, Any], max_len: int) -> None:
        import numpy as np
        import onnxruntime

        self._session = session
        self._np = np
        self._ids_name = decoder["inputs"]["input_ids"]
        self._vocab = 256  # any ids will do: the work does not depend on them
        shape = (1, decoder["num_key_value_heads"], max_len, decoder["head_size"])
        self._binding = session.io_binding()
        self._logits_name = decoder["outputs"]["logits"]
        inputs = {node.name: node.type for node in session.get_inputs()}
        for layer in range(decoder["num_hidden_layers"]):
            for part in ("key", "value"):
                past = decoder["inputs"][f"past_{part}_names"] % layer
                present = decoder["outputs"][f"present_{part}_names"] % layer
                zeros = np.zeros(shape, dtype=_NUMPY_TYPES[inputs[past]])
                buffer = onnxruntime.OrtValue.ortvalue_from_numpy(zeros)
                self._binding.bind_ortvalue_input(past, buffer)
                self._binding.bind_ortvalue_output(present, buffer)
        self._mask_name = decoder["inputs"]["attention_mask"]
        self._positions_name = decoder["inputs"].get("position_ids")

    def run(self, first: int, count: int) -> None:
        """Run `count` tokens at the positions from `first`."""
        np = self._np
        # Bound anew, as a graph with the logits of all positions changes their shape.
        self._binding.bind_output(self._logits_name, "cpu")
        positions = np.arange(first, first + count, dtype=np.int64)[None]
        self._binding.bind_cpu_input(self._ids_name, positions % self._vocab)
        self._binding.bind_cpu_input(self._mask_name, np.ones((1, first + count), np.int64))
        if self._positions_name:
            self._binding.bind_cpu_input(self._positions_name, positions)
        self._session.run_with_iobinding(self._binding)

    def logits(self) -> Any:
        """Logits of the last run as an array, of all positions or the last one."""
        return self._binding.get_outputs()[-1].numpy()  # they were bound last


def render(record: Mapping[str, Any]) -> str:
    """Return the record as text."""
    lines = [
        f"{record['package']}/{record['graph']}, onnxruntime {record['onnxruntime']},"
        f" {record['threads']} threads, median of {record['runs']} runs"
    ]
    what = {
        "prefill": f"prefill of {record['prompt_tokens']} tokens",
        "decode": f"decode step after {record['prompt_tokens']} tokens",
    }
    for phase in PHASES:
        found = record[phase]
        total_s = found["time_s"]
        lines += ["", f"{what[phase]}: {total_s * 1e3:.2f} ms"]
        in_kernels_s = sum(operator["time_s"] for operator in found["operators"])
        rows = [(o["op_type"], o["calls"], o["time_s"]) for o in found["operators"]]
        for name, calls, time_s in [*rows, ("(between operators)", "", total_s - in_kernels_s)]:
            share = time_s / total_s
            lines.append(f"  {name:<36}{calls:>6}{time_s * 1e3:>11.3f} ms{share:>8.1%}")
    return "\n".join(lines)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="profile_operators.py",
        description="Show which operators of a package take the time.",
    )
    parser.add_argument("package", type=Path)
    parser.add_argument("--prompt-tokens", type=int, default=256, metavar="N", help="default 256")
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="default 10")
    parser.add_argument("--threads", type=int, metavar="N", help="default: physical cores")
    parser.add_argument("--graph", metavar="FILE", help="such as all_positions.onnx")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write it as JSON")
    options = parser.parse_args()
    if options.prompt_tokens < 1 or options.runs < 1 or (options.threads or 1) < 1:
        parser.error("numbers must be at least 1")
    try:
        from edgeagent.config.cores import usable_physical_cores

        threads = options.threads or usable_physical_cores()
        record = measure(
            options.package, options.prompt_tokens, options.runs, threads, options.graph
        )
    except ImportError:
        sys.exit(f"error: {sys.executable} has no edgeagent; use the Python of .venv")
    except ProfileError as error:
        sys.exit(f"error: {error}")
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(render(record))


if __name__ == "__main__":
    main()
