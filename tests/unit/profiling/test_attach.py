"""An external meter's recording is brought to the run's clock and attached, or refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgeagent.cli.import_power import command
from edgeagent.errors import ConfigError, RunDataError
from edgeagent.meter.external.load_pulse import PATTERNS, Position
from edgeagent.profiling.attach import attach_power
from edgeagent.profiling.progress import ProfileProgress
from edgeagent.profiling.protocol.pulses import record_pulses
from edgeagent.record import jsonl
from edgeagent.record.external import ALIGNMENT_NAME, AlignmentRecord
from edgeagent.record.pulse import PULSES_NAME, PulseRecord
from edgeagent.record.run import (
    EXTERNAL_NAME,
    SAMPLES_NAME,
    TASKS_NAME,
    HostRecord,
    RunConfig,
    SampleBatch,
)
from edgeagent.record.samples import Sample, SampleKind, Scope

S = 1_000_000_000
BASE_NS = 1000 * S
RUN_S = 200.0
IDLE_W, BUSY_W = 5.0, 12.0

CONFIG = RunConfig(
    model_id="m",
    package_sha256="0" * 64,
    precision="int4",
    package_bytes=1,
    engine="scripted",
    engine_version="1",
    ep="cpu",
    engine_settings={},
    suite="tiny@1",
    suite_sha256="1" * 64,
    paradigms=("base",),
    repeat=1,
    seed=0,
    budget={},
    tool_call_format="compact",
    edgeagent_version="0.1.0",
    host=HostRecord(
        os="Linux",
        machine="x86_64",
        cpu="c",
        cores_physical=2,
        cores_usable=2,
        memory_bytes=1 << 30,
        python="3.11",
    ),
)


def pulse(position: Position, at_s: float, session: int = 0) -> PulseRecord:
    edges = [BASE_NS + round((at_s + t) * S) for t in np.cumsum((0.0, *PATTERNS[position]))]
    return PulseRecord(
        config=CONFIG,
        session=session,
        position=position,
        t0_ns=edges[0],
        t1_ns=edges[-1],
        busy=tuple((edges[i], edges[i + 1]) for i in (1, 3, 5)),
        workers=2,
    )


PULSES = [pulse("start", 2.0), pulse("end", RUN_S - 12.0)]


def run_folder(tmp_path: Path, pulses: list[PulseRecord]) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / TASKS_NAME).write_text("{}\n", encoding="utf-8")
    for record in pulses:
        jsonl.append(folder / PULSES_NAME, record)
    return folder


def recording(
    path: Path, pulses: list[PulseRecord], *, step_s: float = 0.05, end_s: float = RUN_S + 5
) -> Path:
    """A meter that starts 7 s before the run's zero and goes slow by 500 ppm."""
    meter_s = np.arange(0.0, (end_s + 7.0) / 1.0005, step_s)
    run_s = meter_s * 1.0005 - 7.0
    power = np.full(len(run_s), IDLE_W)
    for record in pulses:
        for start, end in record.busy:
            power[(run_s >= (start - BASE_NS) / S) & (run_s < (end - BASE_NS) / S)] = BUSY_W
    power[(run_s >= 20.0) & (run_s < 30.0)] = 10.0
    rows = [f"{t:.4f},{w:.3f}" for t, w in zip(meter_s, power, strict=True)]
    path.write_text("t,watts\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_readings_are_on_the_clock_of_the_run(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, PULSES)
    csv = recording(tmp_path / "meter.csv", PULSES)
    found = attach_power(folder, csv)
    batches = list(jsonl.read(folder / EXTERNAL_NAME, SampleBatch))
    samples = [sample for batch in batches for sample in batch.samples]
    assert len(samples) == found.samples > 3800
    (source,) = batches[0].sources
    assert (source.source, source.quantity, source.kind) == (
        "external:meter",
        "power_w",
        SampleKind.SAMPLED,
    )
    assert (source.scope, source.total) == (Scope.WALL, "wall")
    assert source.interval_s == pytest.approx(0.05)
    assert source.resolution == pytest.approx(2.0)
    times_s = np.array([sample.t_ns - BASE_NS for sample in samples]) / S
    watts = np.array([sample.value for sample in samples])
    assert times_s[0] >= 2.0
    assert times_s[-1] <= RUN_S
    in_load = watts == 10.0
    assert times_s[in_load][0] == pytest.approx(20.0, abs=0.06)
    assert times_s[in_load][-1] == pytest.approx(30.0, abs=0.06)
    (record,) = jsonl.read(folder / ALIGNMENT_NAME, AlignmentRecord)
    assert record.skew_ppm == pytest.approx(500, abs=200)
    assert record.t0_ns == pytest.approx(BASE_NS - 7 * S, abs=0.06 * S)
    assert record.file_sha256 == hashlib.sha256(csv.read_bytes()).hexdigest()
    assert record.pulse_groups == 2
    assert samples[0].width_ns == round(2 * record.uncertainty_s * S)
    gaps = np.diff([sample.t_ns for sample in samples])
    assert max(batch.largest_gap_ns for batch in batches) == gaps.max()


def test_importing_twice_changes_nothing_and_other_meters_stay(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, PULSES)
    csv = recording(tmp_path / "meter.csv", PULSES)
    attach_power(folder, csv, name="usb", scope=Scope.SYSTEM)
    first = (folder / EXTERNAL_NAME).read_bytes()
    attach_power(folder, csv, name="plug")
    both = {name: (folder / name).read_bytes() for name in (EXTERNAL_NAME, ALIGNMENT_NAME)}
    attach_power(folder, csv, name="plug")
    assert both == {name: (folder / name).read_bytes() for name in both}
    assert both[EXTERNAL_NAME].startswith(first)
    records = list(jsonl.read(folder / ALIGNMENT_NAME, AlignmentRecord))
    assert [record.source for record in records] == ["external:usb", "external:plug"]


def test_two_meters_of_one_total_would_be_added_and_are_refused(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, PULSES)
    csv = recording(tmp_path / "meter.csv", PULSES)
    attach_power(folder, csv, name="plug")
    before = (folder / EXTERNAL_NAME).read_bytes()
    with pytest.raises(ConfigError, match="has the wall meter external:plug already"):
        attach_power(folder, csv, name="other")
    assert (folder / EXTERNAL_NAME).read_bytes() == before


def test_fast_recordings_are_thinned_and_keep_their_energy(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, PULSES)
    csv = recording(tmp_path / "meter.csv", PULSES, step_s=0.005)
    found = attach_power(folder, csv)
    assert found.samples == pytest.approx((RUN_S - 4.5) / 0.02, rel=0.02)
    samples = [s for b in jsonl.read(folder / EXTERNAL_NAME, SampleBatch) for s in b.samples]
    energy_j = np.trapezoid([s.value for s in samples], [s.t_ns / S for s in samples])
    length_s = (samples[-1].t_ns - samples[0].t_ns) / S
    busy_s = sum(end - start for record in PULSES for start, end in record.busy) / S
    exact_j = IDLE_W * length_s + (BUSY_W - IDLE_W) * busy_s + 5.0 * 10.0
    assert energy_j == pytest.approx(exact_j, rel=1e-3)


def test_an_interrupted_session_ends_with_its_last_reading(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, PULSES[:1])
    last = Sample(source="process:rss", t_ns=BASE_NS + 40 * S, width_ns=0, value=1.0)
    batch = SampleBatch(config=CONFIG, session=0, sources=(), samples=(last,), largest_gap_ns=0)
    jsonl.append(folder / SAMPLES_NAME, batch)
    found = attach_power(folder, recording(tmp_path / "meter.csv", PULSES))
    (record,) = found.alignments
    assert (record.skew_ppm, record.scale, record.pulse_groups) == (None, 1.0, 1)
    samples = [s for b in jsonl.read(folder / EXTERNAL_NAME, SampleBatch) for s in b.samples]
    assert samples[-1].t_ns == pytest.approx(BASE_NS + 40 * S, abs=0.06 * S)
    # A crystal may be off by 100 ppm, which the 38 s behind the pulses turn into 4 ms.
    assert record.uncertainty_s > 38e-4


def test_a_session_that_the_recording_does_not_show_is_named(tmp_path: Path) -> None:
    later = [pulse("start", 900.0, 1), pulse("end", 960.0, 1)]
    folder = run_folder(tmp_path, [*PULSES, *later])
    found = attach_power(folder, recording(tmp_path / "meter.csv", PULSES))
    assert [record.session for record in found.alignments] == [0]
    (note,) = found.notes
    assert note.startswith("Part 2 of the run: ")


def test_wrong_recordings_and_runs_leave_no_file(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, PULSES)
    noise = np.random.default_rng(1).normal(5, 1, 1200)
    rows = "\n".join(f"{index * 0.05:.2f},{value:.3f}" for index, value in enumerate(noise))
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(f"t,watts\n{rows}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="does not show the load pulses"):
        attach_power(folder, wrong)
    right = recording(tmp_path / "meter.csv", PULSES)
    with pytest.raises(ConfigError, match="is no name for a meter"):
        attach_power(folder, right, name="../x")
    with pytest.raises(ConfigError, match="wall or system"):
        attach_power(folder, right, scope=Scope.PACKAGE)
    assert sorted(path.name for path in folder.iterdir()) == [PULSES_NAME, TASKS_NAME]
    (folder / PULSES_NAME).unlink()
    with pytest.raises(RunDataError, match="--load-pulse"):
        attach_power(folder, right)
    with pytest.raises(RunDataError, match="is not a run folder"):
        attach_power(tmp_path, right)


def test_the_command_tells_what_was_found(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, PULSES)
    csv = recording(tmp_path / "meter.csv", PULSES)
    done = CliRunner().invoke(command, [str(folder), str(csv)])
    assert done.exit_code == 0, done.output
    assert "times right to" in done.output
    assert "ppm" in done.output
    done = CliRunner().invoke(command, [str(folder), str(csv), "--json"])
    facts = json.loads(done.output)
    assert facts["source"]["source"] == "external:meter"
    assert facts["alignments"][0]["pulse_groups"] == 2


def test_pulses_are_recorded_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PATTERNS, "end", (0.02, 0.03, 0.02, 0.05, 0.02))
    shown: list[ProfileProgress] = []
    record_pulses(tmp_path, CONFIG, 3, "end", shown.append)
    (record,) = jsonl.read(tmp_path / PULSES_NAME, PulseRecord)
    assert (record.session, record.position) == (3, "end")
    first, second = ((end - start) / S for start, end in record.busy)
    assert 0.03 <= first < second
    assert record.t0_ns < record.busy[0][0]
    assert record.busy[-1][1] < record.t1_ns
    assert {progress.stage for progress in shown} == {"load pulses"}
