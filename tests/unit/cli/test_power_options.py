"""Options of outside meters, load pulses and estimates become one request."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from edgeagent.cli.power_options import POWER_NAMES, power_options, power_request
from edgeagent.config.power import PowerRequest
from edgeagent.errors import ConfigError
from edgeagent.meter.external.requested import discover_requested
from edgeagent.record.estimate import EstimateLimits
from edgeagent.record.samples import SampleKind

seen: list[PowerRequest] = []


@click.command()
@power_options
def command(**options: Any) -> None:
    assert set(options) == set(POWER_NAMES)
    seen.append(power_request(**options))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([], PowerRequest()),
        (["--load-pulse"], PowerRequest(load_pulse=True)),
        (["--meter", "shelly:10.0.0.7"], PowerRequest(meters=("shelly:10.0.0.7",))),
        (
            ["--allow-estimates", "--idle-w", "4", "--max-w", "15"],
            PowerRequest(estimate=EstimateLimits(idle_w=4, max_w=15)),
        ),
    ],
)
def test_options(line: list[str], expected: PowerRequest) -> None:
    done = CliRunner().invoke(command, line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert seen.pop() == expected


def test_contradictions_are_errors() -> None:
    with pytest.raises(ConfigError, match="--allow-estimates"):
        CliRunner().invoke(command, ["--idle-w", "4"], catch_exceptions=False)
    with pytest.raises(ConfigError, match="no meter"):
        CliRunner().invoke(command, ["--meter", "fritz:10.0.0.7"], catch_exceptions=False)


def test_an_estimate_is_read_only_where_it_was_asked_for() -> None:
    assert discover_requested().sources == ()
    found = discover_requested(estimate=EstimateLimits(idle_w=4, max_w=15))
    assert {info.kind for info in found.sources} == {SampleKind.ESTIMATED}
