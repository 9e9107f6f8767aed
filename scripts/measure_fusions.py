"""Measure what each fusion of the decoder graph gains: a table in Markdown.

    .venv/bin/python scripts/measure_fusions.py PACKAGE... [--rounds N] [--json FILE]

For each variant of `decoder_variants.py`, and for the package's graph with the logits of all
positions, the shipped graph and the variant are loaded side by side and take turns. The first row
compares the shipped graph with itself: what it shows beside 1.00 is chance. Every round
gives one ratio of two neighbouring measurements, so a machine that slows down slows both; medians
and quartiles of these ratios are the result. Above 1 the variant is slower than what is shipped.

On a machine that others use, `--processor-time` counts the time that the operators compute, with
one thread: waiting for other programs is left out, and so is what threads cost each other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profile_operators import PHASES, ProfileError, SharedCache, read_decoder

if TYPE_CHECKING:
    from onnx import ModelProto

CONTROL = "the shipped graph itself"
ALL_POSITIONS = "logits of all positions"
_ALL_POSITIONS_NAME = "all_positions.onnx"
_FOLDER_KEY = "session.model_external_initializers_file_folder_path"
_ERRORS_ONLY = 3
# The runtime would fuse again what a variant takes apart.
_DISABLED_OPTIMIZERS = [
    "MatMulAddFusion",
    "MatmulTransposeFusion",
    "QuickGeluFusion",
    "SkipLayerNormFusion",
]


def variants(package: Path, filename: str) -> Iterator[tuple[str, ModelProto | None]]:
    """Yield the name and graph of each variant, `None` where it does not apply."""
    import onnx
    from decoder_variants import VARIANTS, Edit, NotApplicableError

    yield CONTROL, onnx.load(package / filename, load_external_data=False)
    if (package / _ALL_POSITIONS_NAME).is_file():
        yield ALL_POSITIONS, onnx.load(package / _ALL_POSITIONS_NAME, load_external_data=False)
    for name, change in VARIANTS.items():
        edit = Edit(onnx.load(package / filename, load_external_data=False))
        try:
            change(edit)
        except NotApplicableError:
            yield name, None
        else:
            yield name, edit.done()


def open_graph(package: Path, graph: bytes, threads: int) -> Any:
    """Open a session on a graph whose weights lie in the package."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry(_FOLDER_KEY, str(package))
    # Idle threads of one session must not busy-wait while the other one computes.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(
        graph,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=_DISABLED_OPTIMIZERS,
    )


class Graph:
    """A loaded graph with a cache."""

    def __init__(self, package: Path, graph: bytes, options: argparse.Namespace) -> None:
        _, decoder = read_decoder(package)
        self._options = options
        longest = max(options.prompt_tokens, options.context + options.steps)
        session = open_graph(package, graph, options.threads)
        self._cache = SharedCache(session, decoder, max_len=longest)

    def measure(self, phase: str) -> float:
        """Seconds of one prefill, or of a decode step (the mean over some)."""
        options = self._options
        clock = time.process_time if options.processor_time else time.perf_counter
        began = clock()
        if phase == "prefill":
            self._cache.run(first=0, count=options.prompt_tokens)
            return clock() - began
        for step in range(options.steps):
            self._cache.run(first=options.context + step, count=1)
        return (clock() - began) / options.steps


def compare(shipped: Graph, variant: Graph, rounds: int) -> dict[str, dict[str, float]]:
    """Let both take turns; ratios variant / shipped by phase. The first round is not counted."""
    seconds: dict[str, dict[str, list[float]]] = {p: {"shipped": [], "variant": []} for p in PHASES}
    pair = {"shipped": shipped, "variant": variant}
    for index in range(-1, rounds):
        for phase in PHASES:
            for name in pair if index % 2 else reversed(pair):
                measured = pair[name].measure(phase)
                if index >= 0:
                    seconds[phase][name].append(measured)
    return {phase: ratios(**seconds[phase]) for phase in PHASES}


def ratios(shipped: Sequence[float], variant: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of the paired ratios, and the ratio of the shortest times."""
    found = [ours / theirs for theirs, ours in zip(shipped, variant, strict=True)]
    low, median, high = (
        statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
    )
    return {
        "ratio": median,
        "ratio_p25": low,
        "ratio_p75": high,
        "ratio_of_minima": min(variant) / min(shipped),
        "shipped_s": statistics.median(shipped),
        "variant_s": statistics.median(variant),
    }


def measure(package: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure all variants of one package.

    Raises:
        ProfileError: The folder is not a package, or the runtime does not run a graph.
    """
    from edgeagent.privacy import disable_dependency_telemetry

    disable_dependency_telemetry()
    filename, _ = read_decoder(package)
    found: dict[str, Any] = {}
    for name, graph in variants(package, filename):
        if options.only and options.only not in name:
            continue
        if graph is not None:
            try:
                # Loaded anew with each, so that neither has the better place in memory.
                shipped = Graph(package, (package / filename).read_bytes(), options)
                variant = Graph(package, graph.SerializeToString(), options)
            except Exception as error:  # the runtime's exceptions have no common base
                detail = str(error).splitlines()[0]
                raise ProfileError(f"{package}, {name}: does not run: {detail}") from error
            found[name] = compare(shipped, variant, options.rounds)
            del shipped, variant  # freed before the next ones are loaded
        else:
            found[name] = None
        print(f"{package.name}: {name}", file=sys.stderr)
    return {"package": package.name, "variants": found}


def render(record: Mapping[str, Any]) -> str:
    """Return the table in Markdown."""
    packages = record["packages"]
    heads = [f"{each['package']}, {phase}" for each in packages for phase in PHASES]
    lines = [f"| variant | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for name in packages[0]["variants"]:
        cells = [_cell(each["variants"][name], phase) for each in packages for phase in PHASES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: Mapping[str, Mapping[str, float]] | None, phase: str) -> str:
    if found is None:
        return "-"
    each = found[phase]
    return f"{each['ratio']:.2f} ({each['ratio_p25']:.2f} to {each['ratio_p75']:.2f})"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="measure_fusions.py", description="Measure what each fusion of the graph gains."
    )
    add = parser.add_argument
    add("packages", type=Path, nargs="+", metavar="PACKAGE")
    add("--prompt-tokens", type=int, default=256, metavar="N", help="prefill, default 256")
    add("--context", type=int, default=128, metavar="N", help="tokens before a step, default 128")
    add("--steps", type=int, default=8, metavar="N", help="decode steps a round, default 8")
    add("--rounds", type=int, default=10, metavar="N", help="default 10")
    add("--threads", type=int, metavar="N", help="default: physical cores")
    add("--processor-time", action="store_true", help="on one thread, for a machine in use")
    add("--only", metavar="TEXT", help="variants whose name contains this")
    add("--json", type=Path, metavar="FILE", help="also write everything that was measured")
    options = parser.parse_args()
    numbers = (options.prompt_tokens, options.context, options.steps, options.rounds)
    if min(*numbers, options.threads or 1) < 1:
        parser.error("numbers must be at least 1")
    try:
        from edgeagent.config.cores import usable_physical_cores

        if options.processor_time:
            options.threads = 1
        options.threads = options.threads or usable_physical_cores()
        record = {
            "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
            "clock": "processor time" if options.processor_time else "wall time",
            "rounds": options.rounds,
            "threads": options.threads,
            "packages": [measure(package, options) for package in options.packages],
        }
    except ImportError as error:
        sys.exit(f"error: {sys.executable} lacks {error.name}; use the Python of .venv")
    except ProfileError as error:
        sys.exit(f"error: {error}")
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(render(record))


if __name__ == "__main__":
    main()
