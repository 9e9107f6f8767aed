"""Does `edgeagent compare` find what is there, and nothing else?

Profiles the same thing several times on this machine and compares each run with the first: they
must not be distinguishable. Then a run whose model is slowed down on purpose: it must be found.

    python3 scripts/check_comparison.py --repeat 2 --slowdown 1.10
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeagent.clock import now_ns
from edgeagent.config.model import DEFAULT_MODEL
from edgeagent.config.protocol import Protocol
from edgeagent.config.suites import load_suite
from edgeagent.engine.protocol import (
    DecodeParams,
    Engine,
    OnProgress,
    Session,
    ShouldStop,
    TokenEvent,
)
from edgeagent.export.resolve import ensure_package
from edgeagent.profiling.runner import run_profile
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.profiling.workbench import load_engine
from edgeagent.report.comparison.compare import compare_runs
from edgeagent.report.comparison.render import comparison_rows, machine_line
from edgeagent.report.model import Verdict


class SlowSession:
    """A session each step of which takes `factor` times as long."""

    def __init__(self, session: Session, factor: float) -> None:
        self._session = session
        self._factor = factor

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)

    def append(
        self,
        token_ids: Sequence[int],
        *,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> None:
        """Prefill, slowly."""
        t0_ns = now_ns()
        self._session.append(token_ids, on_progress=on_progress, should_stop=should_stop)
        self._lag(t0_ns)

    def decode(
        self, params: DecodeParams, *, should_stop: ShouldStop | None = None
    ) -> Iterator[TokenEvent]:
        """Generate, slowly."""
        t0_ns = now_ns()
        for event in self._session.decode(params, should_stop=should_stop):
            self._lag(t0_ns)
            yield event
            t0_ns = now_ns()

    def _lag(self, t0_ns: int) -> None:
        """Keep a core busy, as a slower program would; sleeping would cool it down."""
        end_ns = now_ns() + round((self._factor - 1) * (now_ns() - t0_ns))
        while now_ns() < end_ns:
            pass


class SlowEngine:
    """An engine whose sessions are slow."""

    def __init__(self, engine: Engine, factor: float) -> None:
        self._engine = engine
        self._factor = factor

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def open(self, max_context_len: int, adapter: str | None = None) -> SlowSession:
        """Open a slow session."""
        return SlowSession(self._engine.open(max_context_len, adapter), self._factor)


def main() -> int:
    """Profile, compare, and return 1 if a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--suite", default="core")
    parser.add_argument("--paradigms", default="base,single")
    parser.add_argument("--same", type=int, default=2, help="runs of the same thing")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--slowdown", type=float, default=1.10)
    parser.add_argument("--keep", type=Path, help="folder for the runs, else they are deleted")
    arguments = parser.parse_args()
    package, suite = ensure_package(arguments.model), load_suite(arguments.suite)

    def profile(folder: Path, factor: float) -> Path:
        settings = ProfileSettings(
            package=package,
            suite=suite,
            paradigms=tuple(arguments.paradigms.split(",")),
            protocol=Protocol(repeat=arguments.repeat),
            out=folder,
        )
        print(f"profiling, {factor:.2f} times as slow", flush=True)
        return run_profile(
            settings,
            open_engine=lambda chosen: SlowEngine(
                load_engine(chosen.package.folder, chosen.engine), factor
            ),
        ).folder

    with contextlib.ExitStack() as stack:
        name = arguments.keep or stack.enter_context(tempfile.TemporaryDirectory())
        factors = [1.0] * arguments.same + [arguments.slowdown]
        runs = [profile(Path(name) / str(i), factor) for i, factor in enumerate(factors)]
        comparison = compare_runs(runs)
    wrong = 0
    for factor, run in zip(factors[1:], comparison.runs, strict=True):
        print(f"\n{factor:.2f} times as slow against the first run")
        for row in comparison_rows(run):
            print("  " + "  ".join(f"{cell:<18}" for cell in row).rstrip())
        print("  " + machine_line(run))
        expected = Verdict.NOT_DISTINGUISHABLE if factor == 1 else Verdict.WORSE
        found = [paradigm.ratios["e2e_s"].verdict for paradigm in run.paradigms]
        wrong += sum(verdict is not expected for verdict in found)
    print(f"\n{wrong} verdicts on seconds per task are wrong" if wrong else "\nas it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
