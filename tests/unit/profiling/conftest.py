"""A small suite and a package record, so that profiles run with the scripted engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.config.package import Package
from edgeagent.config.suites import Suite, load_suite
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.record.manifest import Manifest, SourceRecord, TensorGroup
from edgeagent.record.run import RunConfig

SUITE = """
name = "tiny"
version = 1
description = "Three tasks."
documents = "documents"

[[task]]
id = "sum"
category = "arithmetic"
question = "What is 2 + 3?"
check = { kind = "number", value = 5 }

[[task]]
id = "colour"
category = "lookup"
question = "What colour is the Zorb?"
check = { kind = "match", any_of = ["teal"] }

[[task]]
id = "hello"
category = "no_tool"
question = "Hello!"
check = { kind = "match", any_of = ["hello"] }
forbid_tools = true
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    folder = tmp_path / "suite"
    (folder / "documents").mkdir(parents=True)
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")
    (folder / "documents" / "zorb.md").write_text("# Zorb\n\nThe Zorb is teal.\n", encoding="utf-8")
    return load_suite(folder)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    manifest = Manifest(
        model_id="scripted-model",
        edgeagent_version="0.1.0",
        created_utc="2026-01-01T00:00:00+00:00",
        source=SourceRecord(
            file="m.gguf", sha256="0" * 64, size_bytes=1, origin="test", architecture="llama"
        ),
        recipe={},
        tensor_groups=(
            TensorGroup(
                group="mlp",
                source_types={"Q4_0": 1},
                stored_as="int4 block 32",
                tensors=1,
                size_bytes=10,
                exact=True,
            ),
        ),
        tool_versions={},
        files={"model.onnx": 10},
        parameters=1,
        context_len=8192,
        kv_bytes_per_token=0,
        tool_call_format="compact",
    )
    return Package(tmp_path / "package", manifest, "f" * 64)


@pytest.fixture
def settings_config(suite: Suite, package: Package) -> RunConfig:
    """The configuration of a run with default settings."""
    return ProfileSettings(package=package, suite=suite).run_config()


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watch the load of other programs for an instant only."""
    monkeypatch.setattr("edgeagent.profiling.protocol.conditions.LOAD_WINDOW_S", 0.02)
