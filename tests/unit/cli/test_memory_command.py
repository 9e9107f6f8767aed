from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgeagent.agent.memory.store import TraceStore
from edgeagent.agent.memory.trace import SolvedCall, SolvedTrace
from edgeagent.cli import memory, run
from edgeagent.errors import ConfigError
from edgeagent.record.outcome import Outcome


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.sqlite"
    with TraceStore(path) as store:
        for question in ("What is 2 + 3?", "Where is \x1b[31mOrla?"):
            store.add(
                SolvedTrace(
                    question=question,
                    calls=(SolvedCall(tool="calculator", arguments={"x": 1}, result="5"),),
                    answer="5",
                    tools=("calculator",),
                    model_id="m",
                    accepted_by="user",
                    solved_utc="2026-01-01",
                )
            )
    return path


def invoke(*arguments: object) -> Result:
    found = CliRunner().invoke(memory.command, list(map(str, arguments)))
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def test_traces_are_listed_and_cannot_steer_a_terminal(file: Path) -> None:
    shown = invoke(file).stdout
    assert "1  What is 2 + 3?  [calculator]  5  (user, m, 2026-01-01)" in shown
    assert "\x1b" not in shown
    assert [one["id"] for one in json.loads(invoke(file, "--json").stdout)] == [1, 2]


def test_forgetting(file: Path) -> None:
    assert "forgot trace 1" in invoke(file, "--forget", 1).stderr
    with pytest.raises(ConfigError, match="no trace 1"):
        invoke(file, "--forget", 1)
    assert "forgot 1 traces" in invoke(file, "--forget-text", "orla").stderr
    assert json.loads(invoke(file, "--json").stdout) == []


def test_clearing_and_what_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match="empty"):
        invoke(file, "--forget-text", " ")
    assert "forgot 2 traces" in invoke(file, "--clear").stderr
    with pytest.raises(ConfigError, match="There is no memory"):
        invoke(file.with_name("other"))


def test_what_a_user_says_is_right_is_kept_if_it_is_clean(tmp_path: Path) -> None:
    path = tmp_path / "m"
    line = run._remember(path, "Hello?", Outcome(answer=""), ("calculator",), "m")
    assert line == "(not remembered: the agent did not finish by itself)"
    assert not path.exists()
    assert "remembered as 1" in run._remember(path, "Hello?", Outcome(answer="Hi"), ("c",), "m")
    with TraceStore(path, create=False) as store:
        assert [one.trace.accepted_by for one in store.traces()] == ["user"]


def test_remembering_needs_a_file() -> None:
    found = CliRunner().invoke(run.command, ["model", "question", "--remember"])
    assert isinstance(found.exception, ConfigError)
    assert "--memory FILE" in str(found.exception)
