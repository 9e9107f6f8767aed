"""Measure what decoding rows together gains on this machine: 1, 2, 4 and 8 rows, side by side.

    .venv/bin/python scripts/benchmark_batch.py PACKAGE [--rows 1,2,4,8] [--tokens N] [--rounds N]

Every row continues a prompt of its own, so nothing is shared but the weights. In each round all
numbers of rows and a session by itself take turns in changing order; the ratio is the tokens per
second of all rows together over those of the session in the same round. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeagent.engine.genai import GenaiEngine
    from edgeagent.engine.protocol import SessionGroup

_SUBJECTS = (
    "the lighthouse keeper",
    "a long winter",
    "bread and salt",
    "the first railway",
    "bees in a garden",
    "an empty house",
    "the price of tea",
    "rain on the hills",
)
_CONTEXT_LEN = 512


def prompt(engine: GenaiEngine, row: int) -> list[int]:
    """A text for the row to continue; rows differ in length too."""
    subject = _SUBJECTS[row % len(_SUBJECTS)]
    return engine.encode(f"{'A story. ' * (8 + row)}This is a long story about {subject}.\n\n")


def alone_tok_per_s(engine: GenaiEngine, count: int) -> float:
    """Speed of an ordinary session."""
    from edgeagent.engine.protocol import DecodeParams

    session = engine.open(_CONTEXT_LEN)
    session.append(prompt(engine, 0))
    began = time.perf_counter()
    made = sum(1 for _ in session.decode(DecodeParams(max_new_tokens=count, grammar=_ENDLESS)))
    elapsed_s = time.perf_counter() - began
    session.close()
    return made / elapsed_s


def together_tok_per_s(engine: GenaiEngine, group: SessionGroup, rows: int, count: int) -> float:
    """Speed of all rows together."""
    from edgeagent.engine.protocol import DecodeParams

    for row in range(rows):
        group.sessions[row].rewind(0)
        group.sessions[row].append(prompt(engine, row))
    params = DecodeParams(max_new_tokens=count, grammar=_ENDLESS)
    began = time.perf_counter()
    made = sum(1 for _ in group.decode(dict.fromkeys(range(rows), params)))
    return made / (time.perf_counter() - began)


_ENDLESS = "start: /(.|\\n){2000}/"
"""So that no row ends early."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--rows", default="1,2,4,8", help="numbers of rows, separated by commas")
    parser.add_argument("--tokens", type=int, default=48, help="tokens that each row generates")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    from edgeagent.config.run import EngineConfig
    from edgeagent.engine.genai import GenaiEngine

    counts = [int(number) for number in args.rows.split(",")]
    engine = GenaiEngine(args.package, EngineConfig())
    group = engine.open_group(max(counts), _CONTEXT_LEN)
    if not group.is_batched:
        print(f"{args.package} cannot be run in batches: its rows take turns.", file=sys.stderr)
    ratios: dict[int, list[float]] = {rows: [] for rows in counts}
    speeds: dict[int, list[float]] = {rows: [] for rows in [0, *counts]}
    for number in range(args.rounds + 1):  # the first one warms up
        order = [0, *counts]
        random.Random(number).shuffle(order)
        took = {
            rows: together_tok_per_s(engine, group, rows, args.tokens)
            if rows
            else alone_tok_per_s(engine, args.tokens)
            for rows in order
        }
        if number == 0:
            continue
        for rows, speed in took.items():
            speeds[rows].append(speed)
            if rows:
                ratios[rows].append(speed / took[0])
    print(f"a session by itself: {statistics.median(speeds[0]):.1f} tok/s")
    for rows in counts:
        low, median, high = (
            statistics.quantiles(ratios[rows], n=4, method="inclusive")
            if args.rounds > 1
            else ratios[rows] * 3
        )
        print(
            f"{rows} rows: {statistics.median(speeds[rows]):.1f} tok/s, "
            f"{median:.2f}x ({low:.2f} to {high:.2f})"
        )
    print(
        json.dumps(
            {
                "package": args.package.name,
                "is_batched": group.is_batched,
                "ratio_by_rows": {rows: statistics.median(ratios[rows]) for rows in counts},
            }
        )
    )
    group.close()
    engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
