"""A bundle with real weights: made, carried, installed, and answering."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeagent.config.suites import load_suite

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


def test_a_bundle_runs_where_it_is_installed(
    edgeagent: Run, smollm2_package: Path, short_suite: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model.tar.zst"
    made = edgeagent(
        "bundle", smollm2_package, "--suite", short_suite, "--zstd", "--out", out, "--json"
    )
    assert made.returncode == 0, made.stderr
    assert "writing the bundle" in made.stderr
    data = json.loads(made.stdout)
    assert data["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()

    done = edgeagent("install", out, "--sha256", data["sha256"], "--json")
    assert done.returncode == 0, done.stderr
    installed = json.loads(done.stdout)
    folder = Path(installed["folder"])
    assert folder == tmp_path / "edgeagent-home" / "packages" / "smollm2-135m-instruct"

    # By the model's id and by its folder; the home is empty but for it, so nothing is exported.
    for name in ("smollm2-135m-instruct", folder):
        answer = edgeagent("run", name, "What is the capital of France?", "--paradigm", "base")
        assert answer.returncode == 0, answer.stderr
        assert "Paris" in answer.stdout
    assert not (tmp_path / "edgeagent-home" / "sources").exists()

    suite = Path(installed["suite"])
    assert installed["next"] == [["edgeagent", "profile", str(folder), "--suite", str(suite)]]
    assert load_suite(suite).sha256 == load_suite(short_suite).sha256


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
@pytest.mark.parametrize("action", ["bundle", "install"])
def test_ctrl_c_leaves_nothing(
    action: str, edgeagent: Run, start: Start, smollm2_package: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    bundle = tmp_path / "model.tar"
    if action == "install":
        assert edgeagent("bundle", smollm2_package, "--out", bundle).returncode == 0
        process = start("install", bundle, "--out", place / "model")
    else:
        process = start("bundle", smollm2_package, "--zstd", "--out", place / "model.tar.zst")
    deadline_s = time.monotonic() + 60
    while not any(place.iterdir()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert list(place.iterdir()) == []
