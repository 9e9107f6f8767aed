"""A suite of three tasks for runs with the real model, and how to start the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SUITE = """
name = "short"
version = 1
description = "Three tasks that the default model answers in a second each."
documents = "documents"

[[task]]
id = "product"
category = "arithmetic"
question = "A crate holds 46 jars. How many jars are in 83 crates?"
check = { kind = "number", value = 3818 }

[[task]]
id = "keeper"
category = "lookup"
question = "Who is the keeper of the Ormsby windmill?"
check = { kind = "match", any_of = ["Fardel"] }

[[task]]
id = "capital"
category = "language"
question = "What is the capital of France?"
check = { kind = "match", any_of = ["Paris"] }
"""

DOCUMENT = """# Ormsby windmill

The keeper of the Ormsby windmill is Tilda Fardel. The mill grinds barley on Mondays.
"""


@pytest.fixture
def short_suite(tmp_path: Path) -> Path:
    """Folder of a suite whose answers are real but quick."""
    folder = tmp_path / "short"
    (folder / "documents").mkdir(parents=True)
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")
    (folder / "documents" / "windmill.md").write_text(DOCUMENT, encoding="utf-8")
    return folder


Command = Callable[..., list[str]]


@pytest.fixture
def command() -> Command:
    """Return the command line that runs edgeagent with this interpreter."""
    return lambda *arguments: [sys.executable, "-m", "edgeagent", *map(str, arguments)]


@pytest.fixture
def clean_environment(tmp_path: Path) -> dict[str, str]:
    """An environment of its own: empty home and caches, and `CI` unset.

    Dependencies keep quiet under CI; what counts is what they do on a user's machine.
    """
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"CI", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "DO_NOT_TRACK"}
    }
    environment |= {
        "HOME": str(home),
        "EDGEAGENT_HOME": str(tmp_path / "edgeagent-home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), environment.get("PYTHONPATH", "")]),
    }
    (tmp_path / "tmp").mkdir()
    return environment


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def edgeagent(command: Command, clean_environment: dict[str, str], tmp_path: Path) -> Run:
    """Run the command line in `tmp_path` and return what it said."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=clean_environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(command: Command, clean_environment: dict[str, str], tmp_path: Path) -> Start:
    """Start the command line in `tmp_path` without waiting for it."""

    def begin(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(*arguments),
            cwd=tmp_path,
            env=clean_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin
