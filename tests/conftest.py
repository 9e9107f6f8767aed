"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgeagent.privacy import disable_dependency_telemetry

if TYPE_CHECKING:
    from edgeagent.engine.genai import GenaiEngine

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
    from filelock import FileLock

    from edgeagent.config.model import load_recipe
    from edgeagent.export.sources import pull

    with FileLock(weights_home / "pull.lock"):  # test processes share it
        return pull(load_recipe("smollm2-135m-instruct"), weights_home / "sources")


@pytest.fixture(scope="session")
def smollm2_package(smollm2_gguf: Path, weights_home: Path) -> Path:
    """The default model's package, exported anew in each test process; its gate is tested apart."""
    from edgeagent.export.native import export_checkpoint
    from edgeagent.export.protocol import ModelFacts
    from edgeagent.export.settings import ExportSettings

    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    folder = weights_home / "packages" / worker / "smollm2-135m-instruct"
    folder.parent.mkdir(parents=True, exist_ok=True)
    export_checkpoint(
        smollm2_gguf,
        folder,
        facts=ModelFacts(model_id="smollm2-135m-instruct"),
        settings=ExportSettings(verify="none"),
    )
    return folder


@pytest.fixture(scope="session")
def smollm2(smollm2_package: Path) -> Iterator[GenaiEngine]:
    """The default model, loaded once; tests open sessions of their own."""
    from edgeagent.engine.genai import GenaiEngine

    engine = GenaiEngine(smollm2_package)
    yield engine
    engine.close()
