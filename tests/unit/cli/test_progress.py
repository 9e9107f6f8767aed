from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgeagent.cli.progress import (
    LiveDisplay,
    PlainDisplay,
    SilentDisplay,
    progress_display,
    show_pull,
)
from edgeagent.cli.text import human_bytes, human_count, human_duration
from edgeagent.export.sources import PullProgress


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now_s = 0.0
        self.display = PlainDisplay(self.lines.append, lambda: self.now_s)


def test_plain_display_is_sparse() -> None:
    log = Log()
    for done in range(0, 101):
        log.now_s = done / 4
        log.display.update("work", done, 100)
    assert log.lines == [
        "work: 0 of 100",
        "work: 40 of 100, about 15 s left",
        "work: 80 of 100, about 5 s left",
        "work: 100 of 100",
    ]


def test_plain_display_tells_the_end_once_and_each_stage() -> None:
    log = Log()
    log.display.update("one", 5, 5)
    log.display.update("one", 5, 5)
    log.display.update("two", 1, None, detail="no total")
    assert log.lines == ["one: 5 of 5", "two: 1 (no total)"]


def test_pulls_are_shown_in_bytes_and_failures_kept() -> None:
    log = Log()
    report = show_pull(log.display, "tiny")
    report(PullProgress("failed", "wheel x==1", note="pip is gone"))
    report(PullProgress("download", "hub a/b", 1_500_000, 3_000_000))
    assert log.lines == [
        "wheel x==1 failed: pip is gone",
        "downloading tiny: 1.5 MB of 3.0 MB",
    ]


def test_live_display_draws_and_cleans_up() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, legacy_windows=False)
    with LiveDisplay(console) as display:
        display.update("reading [bold]", 1, 4, detail="[red]x[/red]")
        display.update("writing", 2, None)
        display.note("[kept] as it is")
    text = stream.getvalue()
    assert "[kept] as it is" in text
    assert "writing" in text


def test_quiet_and_redirected_displays(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(quiet=True) as display:
        assert isinstance(display, SilentDisplay)
        display.update("work", 0, 1)
        display.note("nothing")
    with progress_display() as display:
        assert isinstance(display, PlainDisplay)
        display.note("to a log")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "to a log\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (human_bytes(0), "0 B"),
        (human_bytes(98_362_432), "98.4 MB"),
        (human_bytes(2.5e9), "2.5 GB"),
        (human_count(134_515_008), "135 M"),
        (human_count(999_885_952), "1.0 B"),
        (human_count(3_075_098_624), "3.1 B"),
        (human_duration(59.4), "59 s"),
        (human_duration(185), "3 min 05 s"),
        (human_duration(7800), "2 h 10 min"),
    ],
)
def test_numbers_for_people(text: str, expected: str) -> None:
    assert text == expected
