"""What a reader of the report is told about energy, and what is kept from them."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from energy_world import MODULE, TASK_J, World, day, failure, package
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent.clock import NS_PER_S
from edgeagent.errors import EdgeAgentError
from edgeagent.record.run import SAMPLES_NAME
from edgeagent.report import Summary, load_run, summarize, write_report
from edgeagent.report.comparison.compare import compare_runs
from edgeagent.report.energy.rows import energy_rows
from edgeagent.report.markdown import tradeoff_markdown
from edgeagent.report.table import tradeoff_rows
from edgeagent.report.terminal import print_summary


def _cells(rows) -> dict[str, tuple[str, ...]]:
    return {row.label: row.cells for row in rows}


def _terminal(summary: Summary) -> str:
    from rich.console import Console

    file = io.StringIO()
    print_summary(summary, Console(file=file, width=100, highlight=False))
    return " ".join(file.getvalue().split())


def _both_meters(world: World, **more):
    readings = {
        package(): world.counted(package(), share=0.5),
        MODULE: world.sampled(MODULE),
    }
    return world.run(readings, **more)


def test_tradeoff_names_the_total_and_pairs_the_differences(runs) -> None:
    cells = _cells(tradeoff_rows(summarize(_both_meters(day(runs)))))
    assert cells["Energy per task, module"] == ("68.4 J", "103 J")
    assert cells["  per solved task"] == ("137 J", "205 J")
    assert cells["  without idle power"] == ("52.4 J", "78.6 J")


def test_section_has_phases_agents_tokens_and_the_other_total(runs) -> None:
    cells = _cells(energy_rows(summarize(_both_meters(day(runs)))))
    assert cells["Prefill"] == ("18.0 J, 12.0 W", "27.0 J, 12.0 W")
    assert cells["Tool"] == ("1.60 J, 4.00 W", "2.40 J, 4.00 W")
    assert cells["Agent planner"] == ("50.0 J, 9.09 W", "75.0 J, 9.09 W")
    assert cells["Decoded token"] == ("0.81 J", "1.22 J")
    assert cells["By cpu, package"] == ("34.2 J", "51.3 J")
    assert cells["Failed, all"] == ("205 J", "308 J")
    assert cells["Gross, per task"] == ("68.4 J", "103 J")


def test_phases_that_are_not_resolved_say_so_in_every_table(runs) -> None:
    world = day(runs, tasks=4)
    slow = MODULE.model_copy(update={"interval_s": 1.0})
    summary = summarize(world.run({slow: world.sampled(slow, interval_s=1.0)}))
    assert _cells(energy_rows(summary))["Tool"] == ("insufficient resolution",) * 2
    assert "| Tool | insufficient resolution | insufficient resolution |" in tradeoff_markdown(
        summary
    )


def test_markdown_tells_sources_sums_and_holes(runs) -> None:
    world = day(runs)
    hit_s = world.tasks[3].spans[0].t0_ns / NS_PER_S + 1
    text = tradeoff_markdown(summarize(_both_meters(world, failures=(failure(MODULE, hit_s),))))
    assert "Energy is that of the total cpu (scope package: rapl:package-0), the widest" in text
    assert "| cpu (headline), package | rapl:package-0 |" in text
    assert "| module, module | ina3221:VDD_IN | not measured | not measured |" in text
    assert "1.00 W before, 1.00 W after" in text
    assert "- module: 1 interval, together " in text
    assert "not known because readings failed; what touches one has no figure." in text


def test_reason_for_missing_net_energy_is_told(runs) -> None:
    summary = summarize(_both_meters(day(runs, after_w=2.5)))
    sentence = "module: no net energy, because idle power drifted by +25.0 %"
    assert sentence in tradeoff_markdown(summary)
    assert sentence in _terminal(summary)
    assert _cells(energy_rows(summary))["Net, per task"] == ("not measured", "not measured")


def test_terminal_tells_what_the_run_came_to(runs) -> None:
    text = _terminal(summarize(_both_meters(day(runs, tasks=2))))
    # 2.5 * 68.4 J per task, twice; 5 s of 2 W twice; 0.73 s of 3 W four times.
    assert "The whole run took 371 J: task runs 342 J, idle baselines 20.0 J, between them" in text
    assert "Idle power: 2.00 W before, 2.00 W after." in text


def test_recommendation_says_joules_only_where_they_were_measured(runs) -> None:
    world = World(runs)
    for index in range(12):
        world.task(f"t{index}", solved=False)
        world.task(f"t{index}", "single", scale=1.5)
    measured = summarize(world.run({MODULE: world.sampled(MODULE)}))
    assert (
        "at 1.5 times the seconds and 1.5 times the joules per task."
        in measured.recommendation.reason
    )


def test_estimates_are_marked_and_stand_apart(runs) -> None:
    world = day(runs)
    summary = summarize(world.run(world.estimated()))
    cells = _cells(tradeoff_rows(summary))
    assert cells["Energy per task"] == ("not measured", "not measured")
    estimate = summary.paradigms[0].energy_estimate
    assert cells["Energy per task, ESTIMATED"][0] == (
        f"{estimate.energy_j_estimate_per_task:.1f} J ({estimate.low_j_per_task:.1f}"
        f"\N{EN DASH}{estimate.high_j_per_task:.0f}), estimate"
    )
    assert "joules" not in summary.recommendation.reason
    assert ", estimate |" in tradeoff_markdown(summary)
    assert ", estimate" in _terminal(summary)


def test_every_span_is_in_the_table_for_other_programs(runs) -> None:
    world = day(runs, tasks=2)
    hit_s = world.tasks[1].spans[0].t0_ns / NS_PER_S + 1
    run = world.run({MODULE: world.sampled(MODULE)}, failures=(failure(MODULE, hit_s),))
    write_report(run.folder)
    text = (run.folder / "energy.csv").read_text(encoding="utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == 5 + 1 + 5 + 5  # the second task run is not known
    assert [line["state"] for line in lines if line["task_id"] == "t0"][5:] == ["read_failed"]
    root, prefill, *_ = lines
    assert float(root["energy_j"]) == pytest.approx(TASK_J, rel=0.01)
    assert float(prefill["own_energy_j"]) == pytest.approx(18.0, rel=0.01)
    assert (root["own_energy_j"], root["own_state"]) == ("0.0", "ok")
    assert (lines[3]["kind"], lines[3]["own_state"]) == ("tool", "insufficient_resolution")
    assert lines[3]["own_energy_j"] == ""


def test_run_without_energy_has_no_section_and_no_file(runs, no_package) -> None:
    folder = runs.write([runs.task("a")], [runs.batch((no_package,), {})])
    summary = write_report(folder)
    assert "## Energy" not in tradeoff_markdown(summary)
    assert not (folder / "energy.csv").exists()


@pytest.mark.parametrize("same", [True, False])
def test_runs_are_compared_by_energy_only_if_it_covers_the_same(
    runs, tmp_path: Path, same: bool
) -> None:
    folders = []
    for name, source in (("first", MODULE), ("second", MODULE if same else package())):
        world = day(type(runs)(tmp_path / name))
        read = world.sampled if source is MODULE else world.counted
        folders.append(world.run({source: read(source)}).folder)
    (found,) = compare_runs(folders).runs
    assert ("energy_j" in found.paradigms[0].ratios) is same
    told = any("of the cpu here and of the module in the reference" in note for note in found.notes)
    assert told is not same


_NUMBERS = (
    *("value", "t_ns", "width_ns", "counter_range", "interval_s"),
    *("max_power_w", "resolution"),
)
_ABSURD = ("-7", "0", "1e308", "-1e308", "9" * 18, "1" + "0" * 400, "1e-320")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_absurd_numbers_in_readings_give_a_report_or_a_sentence(runs, data) -> None:
    samples = runs.folder / SAMPLES_NAME
    whole = samples.with_suffix(".whole")
    if not whole.exists():
        _both_meters(day(runs, tasks=1))
        whole.write_bytes(samples.read_bytes())
    text = whole.read_text()
    for field in data.draw(st.lists(st.sampled_from(_NUMBERS), min_size=1, max_size=4)):
        places = [found.span() for found in re.finditer(rf'(?<="{field}":)[-0-9.e]+', text)]
        start, end = data.draw(st.sampled_from(places))
        text = text[:start] + data.draw(st.sampled_from(_ABSURD)) + text[end:]
    samples.write_text(text)
    message = "."
    try:
        summary = summarize(load_run(runs.folder))
        assert Summary.model_validate_json(summary.model_dump_json()) == summary
    except EdgeAgentError as error:
        message = str(error)
    assert message.endswith(".")
    assert "\n" not in message


def test_summaries_of_version_1_still_validate(runs, package) -> None:
    summary = summarize(_both_meters(day(runs, tasks=2)))
    data = summary.model_dump(mode="json")
    del data["energy_totals"]
    for paradigm in data["paradigms"]:
        del paradigm["energy_others"], paradigm["energy_estimate"]
        kept = ("attempts", "energy_j_per_task", "energy_j_per_solved_task", "energy_j_failed")
        paradigm["energy"] = {name: paradigm["energy"][name] for name in kept}
    data["schema_version"] = 1
    old = Summary.model_validate(data)
    assert old.paradigms[0].energy.total == "cpu"
    assert old.energy_totals == ()
