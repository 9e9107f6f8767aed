from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgeagent.errors import ResourceError
from edgeagent.record.outcome import FailureMode
from edgeagent.report import Summary, load_run, summarize, write_report
from edgeagent.report import format as fmt
from edgeagent.report.markdown import tradeoff_markdown
from edgeagent.report.model import Difference, Interval, Verdict
from edgeagent.report.scatter import tradeoff_svg
from edgeagent.report.terminal import print_summary


@pytest.fixture
def folder(runs, rss, no_package) -> Path:
    config = runs.config(paradigms=("base", "single", "multi"))
    tasks = []
    for index in range(20):
        for paradigm, limit in (("base", 3), ("single", 15), ("multi", 12)):
            tasks.append(
                runs.task(
                    f"t{index}",
                    paradigm,
                    solved=index < limit,
                    failure=None if index < 19 else FailureMode.PROTOCOL_VIOLATION,
                    e2e_ms=1000 + 250 * limit,
                    config=config,
                )
            )
    batch = runs.batch((rss, no_package), {"process:rss": [(500, 200e6)]}, config=config)
    return runs.write(tasks, [batch])


@pytest.fixture
def summary(folder: Path) -> Summary:
    return summarize(load_run(folder))


def _terminal(summary: Summary, width: int = 100) -> str:
    from rich.console import Console

    file = io.StringIO()
    print_summary(summary, Console(file=file, width=width, highlight=False))
    return file.getvalue()


def test_terminal_table_fits_100_columns_and_ends_with_the_verdict(summary: Summary) -> None:
    text = _terminal(summary, width=160)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "15/20 (75 %)" in text
    assert "200 MB" in text
    assert "Energy was not measured. rapl:package: There is no counter here." in " ".join(
        text.split()
    )
    last = " ".join(text.split())[-400:]
    assert "Deploy single: it solves 15/20, base 3/20" in last


def test_terminal_table_survives_a_narrow_terminal(summary: Summary) -> None:
    assert max(len(line.rstrip()) for line in _terminal(summary, width=60).splitlines()) <= 60


def test_markdown_says_where_the_figures_are_from(summary: Summary) -> None:
    text = tradeoff_markdown(summary)
    assert text.startswith("# tiny-model on Test CPU\n\n**Deploy single: it solves 15/20")
    assert "| Per paradigm | base | single | multi |\n| --- | --- | --- | --- |\n" in text
    assert "| Solved | 3/20 (15 %) | 15/20 (75 %) | 12/20 (60 %) |" in text
    assert "better: +60.0 points (+" in text
    assert "| arithmetic | 3/20, 15 % (5\N{EN DASH}36 %) | 15/20, 75 % (" in text
    assert "## Relative to the base model" not in text  # there is one category
    assert "| Protocol violation |" in text
    assert "| \N{EN SPACE}95 % interval |" in text
    assert "protocol violation 1" in text
    assert "| Energy per task | not measured | not measured | not measured |" in text
    for fact in ("scripted 1.2.3, cpu", "core@1", "seed 7", "2 usable cores", "a" * 64):
        assert fact in text
    assert "| rapl:package | energy_j | package | absent | There is no counter here." in text


def test_names_from_a_run_file_cannot_break_out_of_any_renderer(runs) -> None:
    name = "<script>|[red]\x1b[31m`x`\n# no"
    config = runs.config(model_id=name, paradigms=(name, "base"), precision=name)
    tasks = [runs.task("a", name, config=config, category=name), runs.task("a", config=config)]
    summary = summarize(load_run(runs.write(tasks)))
    markdown, svg, terminal = tradeoff_markdown(summary), tradeoff_svg(summary), _terminal(summary)
    assert "<script>" not in markdown
    assert "\n# no" not in markdown
    assert len({line.count(" | ") for line in markdown.split("\n\n")[4].splitlines()}) == 1
    ElementTree.fromstring(svg)
    assert "[red]" in terminal
    assert "\x1b[31m" not in terminal


def test_scatter_is_well_formed_and_has_a_point_per_paradigm(summary: Summary) -> None:
    root = ElementTree.fromstring(tradeoff_svg(summary))
    space = "{http://www.w3.org/2000/svg}"
    points = root.findall(f"{space}circle")
    # e2e 1.75, 4.75 and 4.0 s on an axis to 5 s; 60 px + 460 px * share; 310 px - 290 px * solved.
    assert [(float(p.get("cx", 0)), float(p.get("cy", 0))) for p in points] == [
        (221.0, 266.5),
        (497.0, 92.5),
        (428.0, 136.0),
    ]
    labels = [element.text for element in root.findall(f"{space}text")]
    assert labels[-3:] == ["base", "single", "multi"]
    assert "http" not in tradeoff_svg(summary).replace("http://www.w3.org/2000/svg", "")


def test_report_is_written_beside_the_data_and_again(folder: Path) -> None:
    first = write_report(folder)
    second = write_report(folder)
    assert first == second
    assert sorted(path.name for path in folder.iterdir()) == [
        "report.md",
        "samples.jsonl",
        "summary.json",
        "tasks.jsonl",
        "tradeoff.svg",
    ]
    data = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert data["schema_version"] == 3
    assert data["paradigms"][1]["solved"] == 15
    assert Summary.model_validate(data) == first


def test_report_that_cannot_be_written_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ResourceError, match=r"summary\.json cannot be written"):
        write_report(folder)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.01234, "0.0123"), (1.5, "1.50"), (12.34, "12.3"), (1234.5, "1,234")],
)
def test_numbers_keep_three_digits(value: float, text: str) -> None:
    assert fmt.number(value) == text


def test_not_measured_is_never_a_number() -> None:
    assert fmt.seconds(None) == fmt.megabytes(None) == fmt.quantity(None, "J") == "not measured"
    assert fmt.seconds(0.0) == "0.00 s"
    assert fmt.seconds(0.0123) == "12.3 ms"
    assert fmt.seconds(1.0) == "1.00 s"


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.9967, "99.7 %"), (0.002, "0.2 %"), (0.0, "0 %")]
)
def test_percent_is_whole_only_when_it_is_exact_at_the_ends(share: float, text: str) -> None:
    assert fmt.percent(share) == text


def test_difference_names_its_verdict_first() -> None:
    difference = Difference(
        mean=-0.5,
        interval=Interval(low=-1, high=0.25),
        tasks=9,
        verdict=Verdict.NOT_DISTINGUISHABLE,
    )
    assert fmt.difference(difference, "s") == "not distinguishable: -0.50 s (-1.00 to +0.25)"
    assert fmt.difference(None, "s") == "\N{EN DASH}"
