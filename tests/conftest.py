"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeagent.privacy import disable_dependency_telemetry

disable_dependency_telemetry()


@pytest.fixture(scope="session")
def weights_home() -> Path:
    """Folder that keeps downloaded weights between test runs (`EDGEAGENT_TEST_HOME`)."""
    default = Path(__file__).resolve().parent.parent / ".venv" / "test-home"
    folder = Path(os.environ.get("EDGEAGENT_TEST_HOME", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def smollm2_gguf(weights_home: Path) -> Path:
    """The real weights of the default model, pulled once by edgeagent's own code."""
    from edgeagent.config.model import load_recipe
    from edgeagent.export.sources import pull

    return pull(load_recipe("smollm2-135m-instruct"), weights_home / "sources")
