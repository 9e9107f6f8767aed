from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from bench_records import CONFIG, bench_record
from rich.console import Console

from edgeagent.errors import RunDataError
from edgeagent.report.bench.load import load_bench
from edgeagent.report.bench.render import (
    CSV_HEAD,
    bench_csv,
    bench_json,
    bench_lines,
    bench_markdown,
    print_bench,
)
from edgeagent.report.bench.summary import summarize_bench


def on_a_terminal() -> str:
    file = io.StringIO()
    print_bench(summarize_bench(bench_record()), Console(file=file, width=120, force_terminal=True))
    return file.getvalue()


def texts() -> dict[str, str]:
    summary = summarize_bench(bench_record())
    return {
        "terminal": on_a_terminal(),
        "lines": bench_lines(summary),
        "markdown": bench_markdown(summary),
    }


@pytest.mark.parametrize("form", ["terminal", "lines", "markdown"])
def test_every_form_has_every_figure(form: str) -> None:
    text = texts()[form]
    for figure in (
        *("tiny-model", "2 threads", "prefill 10", "decode at 7", "75.0", "37.5", "165 ms"),
        *("30.0 ms", "cold", "400 ms", "warm", "207 ms", "3.00 MB", "7.00 MB", "0.012 MB"),
        *("0.30", "0.17", "0.075 GB/s", "0.15 GB/s", "read:a", "a counter (cpu)"),
    ):
        assert figure in text, (form, figure)


def test_columns_are_aligned() -> None:
    lines = bench_lines(summarize_bench(bench_record())).splitlines()
    head = next(line for line in lines if line.startswith("Test"))
    rows = [line for line in lines if line.startswith(("prefill", "decode"))]
    end = head.index("tok/s") + len("tok/s")
    assert [row[:end].split()[-1] for row in rows] == ["75.0", "37.5"]
    assert all(row[end : end + 1] == " " for row in rows)


def test_what_was_not_measured_is_no_number() -> None:
    summary = summarize_bench(bench_record(energy_source=None, ceilings=(), spec=None, cells=()))
    text = bench_lines(summary)
    assert "Energy was not measured" in text
    assert "Limit of the device" not in text
    assert "NaN" not in text


def test_a_limit_that_is_only_stated() -> None:
    text = bench_lines(summarize_bench(bench_record(ceilings=())))
    row = next(line for line in text.splitlines() if line.startswith("Memory, read"))
    assert "not measured" in row
    assert "0.15 GB/s" in row


def test_sentences_say_how_close_it_is() -> None:
    text = bench_lines(summarize_bench(bench_record()))
    assert (
        "Decode at 7 runs at 37.5 tok/s, 50 % of what the measured memory bandwidth allows "
        "(25 % of what is stated for the device)." in text
    )


def test_markup_of_names_is_not_followed() -> None:
    config = CONFIG.model_copy(update={"model_id": "a|b\x1b[31m*c*"})
    summary = summarize_bench(bench_record(config=config))
    markdown = bench_markdown(summary)
    assert "a\\|b?\\[31m\\*c\\*" in markdown
    assert "Cortex \\<X\\>" in markdown
    for text in (bench_lines(summary), bench_csv(summary)):
        assert "\x1b" not in text


def test_csv_has_one_figure_a_line_in_base_units() -> None:
    rows = list(csv.DictReader(io.StringIO(bench_csv(summarize_bench(bench_record())))))
    assert tuple(rows[0]) == CSV_HEAD
    found = {(row["test"], row["metric"]): row for row in rows}
    assert len(found) == len(rows)
    decode = found["decode at 7", "tpot_s"]
    assert (decode["unit"], decode["n"], float(decode["mean"])) == ("s", "2", pytest.approx(0.03))
    assert (decode["tokens"], decode["depth"], decode["threads"]) == ("4", "7", "2")
    assert float(found["load cold", "load_s"]["median"]) == 0.4
    assert found["load cold", "load_s"]["ci95_low"] == "", "one load has no interval"
    assert float(found["read:a", "bandwidth_bytes_per_s"]["median"]) == 75e6
    assert float(found["memory prefill", "rss_peak_bytes"]["median"]) == 7_000_000
    assert float(found["prefill 10", "energy_j_per_token"]["mean"]) == pytest.approx(0.3)
    assert ("memory load", "anon_peak_bytes") not in found


def test_json_keeps_every_reading(tmp_path: Path) -> None:
    record = bench_record()
    path = tmp_path / "bench.json"
    path.write_text(bench_json(record), encoding="utf-8")
    assert load_bench(path) == record


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a benchmark"),
        ("{}", r"\(summary\)"),
        ('{"summary": 1, "record": 2}', "summary"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RunDataError, match=message) as caught:
        load_bench(path)
    assert str(path) in str(caught.value)
    with pytest.raises(RunDataError, match="cannot be read"):
        load_bench(tmp_path / "missing.json")
