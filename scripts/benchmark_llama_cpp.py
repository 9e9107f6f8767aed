r"""Compare the raw speed of edgeagent's engine with llama.cpp on the same weights.

    .venv/bin/python scripts/benchmark_llama_cpp.py --gguf FILE.gguf --package DIR \
        --llama-python PATH/TO/python

Run it with an interpreter that has edgeagent; `--llama-python` is one that has llama-cpp-python
(which compiles for about a quarter of an hour, so it is no dependency of this project). Make the
package with `edgeagent export FILE.gguf --out DIR`.

Both models stay loaded, each in a process of its own, and take turns; only one computes at a time.
Every round gives one ratio of two neighbouring measurements, so a machine that slows down slows
both; medians and quartiles of these ratios are the result. Prompts are the same token ids, both
choose greedily, and both use the same number of threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_process import ComparisonError, ModelProcess, model_process

ROOT = Path(__file__).resolve().parent.parent
WORKER = Path(__file__).resolve().with_name("benchmark_worker.py")
ENGINES = ("edgeagent", "llama_cpp")
_QUIET = 10.0
"""Percent; above it, engines that wait in a loop for their threads lose more than others."""

MEASURES = ("prefill_tok_per_s", "decode_tok_per_s")


@dataclass(frozen=True)
class Round:
    """One measurement of one engine, with the CPU time it used while it should have waited."""

    prefill_tok_per_s: float
    decode_tok_per_s: float
    idle_cpu_s: float


@dataclass(frozen=True)
class Comparison:
    """Rates of both engines and the ratios edgeagent / llama.cpp of neighbouring measurements."""

    edgeagent: float
    llama_cpp: float
    ratio: float
    ratio_p25: float
    ratio_p75: float
    ratio_min: float
    ratio_max: float


def compare(edgeagent: Sequence[float], llama_cpp: Sequence[float]) -> Comparison:
    """Return medians of both series and the spread of their paired ratios."""
    ratios = [ours / theirs for ours, theirs in zip(edgeagent, llama_cpp, strict=True)]
    p25, median, p75 = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    )
    return Comparison(
        edgeagent=statistics.median(edgeagent),
        llama_cpp=statistics.median(llama_cpp),
        ratio=median,
        ratio_p25=p25,
        ratio_p75=p75,
        ratio_min=min(ratios),
        ratio_max=max(ratios),
    )


def order_of(round_index: int) -> tuple[str, ...]:
    """Return who goes first: the order flips every round, so a steady drift cancels."""
    return ENGINES if round_index % 2 == 0 else ENGINES[::-1]


class Worker:
    """A process that measures, with its model loaded."""

    def __init__(self, process: ModelProcess) -> None:
        """Use a process that is ready."""
        self.name = process.name
        self.versions = process.versions
        self.ask = process.ask

    def measure(self, prompt: list[int], generate: int) -> tuple[Round, list[int]]:
        """Measure one prefill and one decode; the first token of a decode takes no step."""
        reply = self.ask({"prompt": prompt, "generate": generate})
        return Round(
            prefill_tok_per_s=len(prompt) / (reply["prefill_ns"] * 1e-9),
            decode_tok_per_s=(generate - 1) / (reply["decode_ns"] * 1e-9),
            idle_cpu_s=reply["idle_cpu_ns"] * 1e-9,
        ), reply["ids"]


@contextmanager
def started(
    name: str, python: Path, model: Path, threads: int, context_len: int
) -> Iterator[Worker]:
    """Start a worker and end it afterwards."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} if name == "edgeagent" else None
    command = [python, "-P", WORKER, name, model, threads, context_len]
    with model_process(name, command, environment) as process:
        yield Worker(process)


def prompt_text() -> str:
    """Return text to make prompts of: the documents of the core suite."""
    documents = sorted((ROOT / "profiles" / "suites" / "core" / "documents").iterdir())
    return "\n".join(path.read_text(encoding="utf-8") for path in documents)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Make the comparison and return its record."""
    models = {"edgeagent": options.package, "llama_cpp": options.gguf}
    pythons = {"edgeagent": Path(sys.executable), "llama_cpp": options.llama_python}
    context_len = options.prompt_tokens + options.generate + 8
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(
                started(name, pythons[name], models[name], options.threads, context_len)
            )
            for name in ENGINES
        }
        encoded = {name: workers[name].ask({"encode": prompt_text()})["ids"] for name in ENGINES}
        prompt = encoded["edgeagent"][: options.prompt_tokens]
        if len(prompt) < options.prompt_tokens:
            raise ComparisonError(f"--prompt-tokens: there is text for {len(prompt)} tokens only")
        busy_percent = [_busy_percent()]
        rounds: dict[str, list[Round]] = {name: [] for name in ENGINES}
        chosen: dict[str, list[int]] = {}
        for index in range(-1, options.rounds):  # round -1 warms both up and is not counted
            for name in order_of(index):
                time.sleep(options.pause)
                measured, chosen[name] = workers[name].measure(prompt, options.generate)
                if index >= 0:
                    rounds[name].append(measured)
            _progress(index + 1, options.rounds)
        busy_percent.append(_busy_percent())
        versions = {name: worker.versions for name, worker in workers.items()}
    return {
        "settings": {
            "gguf": options.gguf.name,
            "prompt_tokens": options.prompt_tokens,
            "generate": options.generate,
            "rounds": options.rounds,
            "threads": options.threads,
        },
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "busy_percent": max(busy_percent),
        },
        "versions": versions,
        "same_tokenization": encoded["edgeagent"] == encoded["llama_cpp"],
        "same_first_tokens": _common_prefix_len(*chosen.values()),
        "idle_cpu_s": {n: statistics.median(r.idle_cpu_s for r in rounds[n]) for n in ENGINES},
        "results": {
            measure: asdict(compare(*([getattr(r, measure) for r in rounds[n]] for n in ENGINES)))
            for measure in MEASURES
        },
        "rounds": {name: [asdict(measured) for measured in rounds[name]] for name in ENGINES},
    }


def _busy_percent() -> float:
    """Return how busy the processor is while both workers wait, with the work of others."""
    import psutil

    time.sleep(1.0)
    return float(psutil.cpu_percent(interval=1.0))


def _common_prefix_len(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = enumerate(zip(one, other, strict=True))
    return next((index for index, (a, b) in pairs if a != b), len(one))


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rround {done}/{total}", end="\n" if done == total else "", file=sys.stderr)


def render(record: dict[str, Any]) -> str:
    """Return the record as text."""
    settings, idle = record["settings"], record["idle_cpu_s"]
    lines = [
        f"{settings['gguf']}: {settings['prompt_tokens']} prompt tokens,"
        f" {settings['generate']} generated, {settings['rounds']} rounds,"
        f" {settings['threads']} threads",
        *(f"{name}: {json.dumps(found)}" for name, found in record["versions"].items()),
        f"same tokenization: {'yes' if record['same_tokenization'] else 'NO'};"
        f" first {record['same_first_tokens']} of {settings['generate']} chosen tokens are equal",
        "CPU seconds used while the other one computed (median): "
        + ", ".join(f"{name} {seconds:.3f}" for name, seconds in idle.items()),
        f"other programs kept the processor {record['machine']['busy_percent']:.0f} % busy"
        + (": these figures mean little" if record["machine"]["busy_percent"] > _QUIET else ""),
        "",
        f"{'tok/s (median)':<16}{'edgeagent':>10}{'llama.cpp':>11}{'ratio':>8}"
        f"{'quartiles':>15}{'range':>15}",
    ]
    for measure, found in record["results"].items():
        quartiles = f"{found['ratio_p25']:.2f} - {found['ratio_p75']:.2f}"
        extremes = f"{found['ratio_min']:.2f} - {found['ratio_max']:.2f}"
        lines.append(
            f"{measure.removesuffix('_tok_per_s'):<16}{found['edgeagent']:>10.1f}"
            f"{found['llama_cpp']:>11.1f}{found['ratio']:>8.2f}{quartiles:>15}{extremes:>15}"
        )
    return "\n".join(lines)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options, checked."""
    parser = argparse.ArgumentParser(
        prog="benchmark_llama_cpp.py",
        description="Compare the speed of edgeagent's engine with llama.cpp on the same weights.",
    )
    add = parser.add_argument
    add("--gguf", type=Path, required=True, help="the weights, for llama.cpp")
    add("--package", type=Path, required=True, help="the package exported from them")
    add("--llama-python", type=Path, required=True, help="a Python that has llama-cpp-python")
    add("--prompt-tokens", type=_at_least(1), default=512, metavar="N", help="default 512")
    add("--generate", type=_at_least(2), default=64, metavar="N", help="default 64")
    add("--rounds", type=_at_least(1), default=10, metavar="N", help="default 10")
    add("--threads", type=_at_least(1), metavar="N", help="default: physical cores")
    add("--pause", type=float, default=0.2, metavar="SECONDS", help="before each, default 0.2")
    add("--json", type=Path, metavar="FILE", help="also write everything that was measured")
    options = parser.parse_args(arguments)
    if not options.gguf.is_file():
        parser.error(f"--gguf: {options.gguf} is not a file")
    if not (options.package / "genai_config.json").is_file():
        parser.error(f"--package: {options.package} is not a package of `edgeagent export`")
    return options


def _at_least(least: int) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number


def main() -> None:
    """See the module."""
    options = parse(sys.argv[1:])
    try:
        if options.threads is None:
            from edgeagent.config.cores import usable_physical_cores

            options.threads = usable_physical_cores()
        record = run(options)
    except ImportError:
        sys.exit(f"error: {sys.executable} has no edgeagent; use the Python of .venv")
    except ComparisonError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(render(record))


if __name__ == "__main__":
    main()
