from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeagent.cli.report import command
from edgeagent.errors import RunDataError

PROBE = """
import sys
sys.modules.update(dict.fromkeys(["onnxruntime", "onnxruntime_genai", "onnx", "gguf", "torch"]))
from click.testing import CliRunner
from edgeagent.cli.report import command
result = CliRunner().invoke(command, [sys.argv[1]])
assert result.exit_code == 0, result.output
heavy = {"edgeagent.engine", "edgeagent.meter", "edgeagent.profiling", "psutil"} & set(sys.modules)
assert not heavy, heavy
print(result.output)
"""


@pytest.fixture
def folder(runs, no_package) -> Path:
    tasks = [runs.task("a"), runs.task("a", "single")]
    return runs.write(tasks, [runs.batch((no_package,), {})])


def test_prints_the_table_and_writes_the_report(folder: Path) -> None:
    result = CliRunner().invoke(command, [str(folder)])
    assert result.exit_code == 0
    assert "Time per solved task" in result.output
    assert "Written:" in result.output
    assert (folder / "report.md").is_file()
    assert (folder / "summary.json").is_file()


def test_json_goes_to_standard_output_and_nothing_is_written(folder: Path) -> None:
    result = CliRunner().invoke(command, [str(folder), "--json"])
    assert json.loads(result.output)["config"]["model_id"] == "tiny-model"
    assert not (folder / "summary.json").exists()


def test_folder_that_is_no_run_raises_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(RunDataError, match="is not a run folder"):
        CliRunner().invoke(command, [str(tmp_path)], catch_exceptions=False)


def test_opens_where_no_runtime_is_installed(folder: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROBE, str(folder)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert process.returncode == 0, process.stderr
    assert "Solved" in process.stdout


def test_help_shows_each_example_on_a_line_of_its_own() -> None:
    lines = [line.strip() for line in CliRunner().invoke(command, ["--help"]).output.splitlines()]
    assert "edgeagent report runs/jetson --json > jetson.json" in lines
