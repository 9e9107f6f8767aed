from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from edgeagent.agent.tools.program import CommandTool
from edgeagent.config.tools_file import CommandSpec, ToolsFile, ToolsFileSpec
from edgeagent.errors import ConfigError, ToolError

PROGRAM = """
import json, os, subprocess, sys, time
arguments = json.load(sys.stdin)
what = arguments["what"]
if what == "echo":
    print(json.dumps(arguments, ensure_ascii=False), os.getcwd(), sorted(os.environ))
elif what == "fail":
    print("no such thing", file=sys.stderr)
    sys.exit(3)
elif what == "flood":
    while True:
        sys.stdout.write("x" * 100000)
elif what == "hang":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open("child", "w").write(str(child.pid))
    time.sleep(60)
elif what == "leave":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(child.pid)
"""


def make(folder: Path, **settings: object) -> CommandTool:
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    spec = CommandSpec.model_validate(
        {
            "name": "program",
            "description": "Do something.",
            "run": [sys.executable, "program.py"],
            "parameters": {"what": {"type": "string"}},
            **settings,
        }
    )
    return CommandTool(spec, ToolsFile(folder / "tools.toml", ToolsFileSpec()))


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pid: int) -> None:
    deadline_s = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_arguments_go_in_and_output_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "1")
    monkeypatch.setenv("WANTED_KEY", "2")
    tool = make(tmp_path, env={"COLOUR": "blue"}, pass_env=["WANTED_KEY"])
    output = tool.run({"what": "echo", "more": "ü\n"})
    assert output.startswith('{"what": "echo", "more": "ü\\n"}')
    assert str(tmp_path.resolve()) in output
    assert "COLOUR" in output
    assert "WANTED_KEY" in output
    assert "SECRET_KEY" not in output


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("fail", "status 3: no such thing"),
        ("flood", "more than 1 MiB"),
        ("silent", "wrote nothing"),
    ],
)
def test_failures_are_tool_errors(tmp_path: Path, what: str, says: str) -> None:
    with pytest.raises(ToolError, match=says):
        make(tmp_path).run({"what": what})


def test_a_slow_program_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"within 0\.5 s"):
        make(tmp_path, timeout_s=0.5).run({"what": "hang"})
    child = tmp_path / "child"
    if child.exists():  # a busy machine may not have come that far
        wait_until_gone(int(child.read_text()))


@pytest.mark.skipif(os.name == "nt", reason="needs process groups")
def test_what_a_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    wait_until_gone(int(make(tmp_path).run({"what": "leave"})))


def test_a_program_that_is_not_there_is_a_tool_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be started: No such file"):
        make(tmp_path, run=["./not-there"]).run({"what": "echo"})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"parameters": {"what": {"type": "strong"}}}, "cannot be made a grammar"),
        ({"cwd": "nowhere"}, "is not a folder"),
        ({"pass_env": ["NOT_SET_ANYWHERE"]}, "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_mistakes_are_found_before_the_first_call(
    tmp_path: Path, settings: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        make(tmp_path, **settings)


def test_optional_parameters_and_examples(tmp_path: Path) -> None:
    example = {
        "question": "What is in stock?",
        "arguments": {"what": "echo"},
        "result": "12 hats",
        "answer": "12 hats are in stock.",
    }
    tool = make(tmp_path, required=[], example=[example])
    assert tool.parameters["required"] == []
    (shown,) = tool.examples
    assert shown.turns[0].calls[0].arguments == {"what": "echo"}
    assert shown.observations == ("12 hats",)
