"""A run records the settings of the runtime and where they come from."""

from __future__ import annotations

import pytest

from edgeagent.config.package import Package
from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.config.suites import Suite
from edgeagent.profiling.settings import ProfileSettings

GUESSING = EngineConfig(speculation=NGramSpeculation(ngram_len=2, max_draft_len=4))


@pytest.mark.parametrize(
    ("engine", "origin", "recorded"),
    [
        (EngineConfig(), None, (None, "default")),
        (EngineConfig(), "default", (None, "default")),
        (GUESSING, None, ("2,4", "given: speculation")),
        (GUESSING, "tuned: speculation", ("2,4", "tuned: speculation")),
    ],
)
def test_settings_and_origin_are_recorded(
    package: Package,
    suite: Suite,
    engine: EngineConfig,
    origin: str | None,
    recorded: tuple[str | None, str],
) -> None:
    settings = ProfileSettings(package=package, suite=suite, engine=engine, engine_origin=origin)
    found = settings.run_config().engine_settings
    assert (found["speculation"], found["origin"]) == recorded
    assert isinstance(found["intra_op_num_threads"], int)
