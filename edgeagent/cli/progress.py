"""How long things still take: a live line on a terminal, sparse lines in a log, or silence.

Progress goes to stderr; stdout belongs to results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from edgeagent.cli.text import human_bytes, human_duration

if TYPE_CHECKING:
    from rich.console import Console

    from edgeagent.export.sources import OnProgress, PullProgress

_LINE_EVERY_S = 10.0

Amount = Callable[[float], str]
"""Writes an amount for people, such as `human_bytes`."""

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")


def plain_number(count: float) -> str:
    """Write an amount of steps."""
    return f"{count:.0f}"


class ProgressDisplay(Protocol):
    """Where a command reports how far it is."""

    def update(
        self,
        label: str,
        done: float,
        total: float | None,
        *,
        detail: str = "",
        amount: Amount = plain_number,
    ) -> None:
        """Report the state of the stage `label`; another label begins another stage."""
        ...

    def note(self, text: str) -> None:
        """Tell something that stays on the screen."""
        ...


class SilentDisplay:
    """Shows nothing (`--quiet`)."""

    def update(
        self,
        label: str,
        done: float,
        total: float | None,
        *,
        detail: str = "",
        amount: Amount = plain_number,
    ) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""


class PlainDisplay:
    """A line when a stage begins, one every ten seconds, and one when it is complete."""

    def __init__(
        self,
        write: Callable[[str], None] = lambda line: click.echo(line, err=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._clock = clock
        self._label: str | None = None
        self._began_s = 0.0
        self._written_s = 0.0
        self._complete = False

    def update(
        self,
        label: str,
        done: float,
        total: float | None,
        *,
        detail: str = "",
        amount: Amount = plain_number,
    ) -> None:
        """Write a line if one is due."""
        now_s = self._clock()
        begins = label != self._label
        if begins:
            self._label, self._began_s, self._complete = label, now_s, False
        completes = not self._complete and total is not None and done >= total
        if not (begins or completes or now_s - self._written_s >= _LINE_EVERY_S):
            return
        self._complete = self._complete or completes
        self._written_s = now_s
        state = amount(done) if total is None else f"{amount(done)} of {amount(total)}"
        line = f"{label}: {state}"
        elapsed_s = now_s - self._began_s
        if total is not None and 0 < done < total and elapsed_s > 0:
            line += f", about {human_duration(elapsed_s * (total - done) / done)} left"
        self._write(f"{line} ({detail})" if detail else line)

    def note(self, text: str) -> None:
        """Write a line."""
        self._write(text)


class LiveDisplay:
    """One line on a terminal that is drawn again and again, and gone when the work is done."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=console,
            transient=True,
        )
        self._label: str | None = None

    def __enter__(self) -> LiveDisplay:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def update(
        self,
        label: str,
        done: float,
        total: float | None,
        *,
        detail: str = "",
        amount: Amount = plain_number,
    ) -> None:
        """Draw the state."""
        if label != self._label:
            for task_id in self._progress.task_ids:
                self._progress.remove_task(task_id)
            self._progress.add_task(label, total=total, state="", detail="")
            self._label = label
        state = amount(done) if total is None else f"{amount(done)}/{amount(total)}"
        (task_id,) = self._progress.task_ids
        self._progress.update(task_id, completed=done, total=total, state=state, detail=detail)

    def note(self, text: str) -> None:
        """Write a line above the live one."""
        self._console.print(text, markup=False, highlight=False)


@contextmanager
def progress_display(*, quiet: bool = False) -> Iterator[ProgressDisplay]:
    """Yield the display that fits where stderr goes."""
    if quiet:
        yield SilentDisplay()
        return
    if not sys.stderr.isatty():
        yield PlainDisplay()
        return
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        yield PlainDisplay()
        return
    with LiveDisplay(console) as display:
        yield display


def show_pull(display: ProgressDisplay, model_id: str) -> OnProgress:
    """Return a callback that shows how far a download is."""
    words = {"download": "downloading", "unpack": "unpacking", "verify": "verifying"}

    def report(progress: PullProgress) -> None:
        if progress.stage == "failed":
            display.note(f"{progress.origin} failed: {progress.note}")
            return
        label = f"{words[progress.stage]} {model_id}"
        display.update(label, progress.done_bytes, progress.total_bytes, amount=human_bytes)

    return report
