"""Each system has its own readers of energy, and says so where it has none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeagent.meter.discover import discover
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SourceState


@pytest.mark.parametrize(
    ("system", "source"),
    [
        ("win32", "emi:package"),
        ("darwin", "powermetrics:package"),
        ("freebsd14", "cpu:package"),
        ("linux", "rapl:package"),
    ],
)
def test_the_processor_is_one_row_with_a_reason(
    system: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeagent.meter.discover.system_of", lambda _tree: system)
    found = discover(os.getpid(), SystemTree(tmp_path))
    (row,) = (info for info in found.sources if info.source == source)
    assert row.state is not SourceState.OK
    assert row.reason
