"""MCP servers as real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgeagent.agent.tools.mcp.servers import McpTool
from edgeagent.agent.tools.protocol import Tool
from edgeagent.agent.tools.toolbox import Toolbox, open_toolbox
from edgeagent.config.workspace import Workspace
from edgeagent.errors import ConfigError, ToolError

SERVER = Path(__file__).with_name("mcp_server.py")


def write(folder: Path, text: str) -> Workspace:
    (folder / "tools.toml").write_text(text, encoding="utf-8")
    return Workspace(tools_file=folder / "tools.toml")


def entry(kind: str, more: str = "", name: str = "shop") -> str:
    return (
        f"[mcp.{name}]\ncommand = {sys.executable!r}\nargs = [{str(SERVER)!r}, {kind!r}]\n"
        f"start_timeout_s = 60\n{more}\n"
    )


def open_box(workspace: Workspace, notes: list[str] | None = None) -> Toolbox:
    return open_toolbox(
        workspace,
        count_tokens=lambda text: len(text) // 4,
        on_note=[].append if notes is None else notes.append,
    )


def mcp_tools(box: Toolbox) -> dict[str, Tool]:
    return {tool.name: tool for tool in box.tools if isinstance(tool, McpTool)}


def our_servers() -> set[int]:
    found = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if str(SERVER) in process.cmdline():
                found.add(process.pid)
    return found


@pytest.fixture
def running() -> set[int]:
    """Those that were there before the test."""
    return our_servers()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that do not end by themselves get less time than users give them."""
    for name in ("PROCESS_TERMINATION_TIMEOUT", "FORCE_KILL_TIMEOUT"):
        monkeypatch.setattr(f"mcp.client.stdio.{name}", 0.2)


@pytest.fixture(scope="module")
def notes() -> list[str]:
    return []


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, notes: list[str]) -> Iterator[dict[str, Tool]]:
    folder = tmp_path_factory.mktemp("shop")
    more = 'env = { COLOUR = "blue" }\npass_env = ["WANTED_KEY"]\ncall_timeout_s = 20'
    os.environ["WANTED_KEY"], os.environ["SECRET_KEY"] = "1", "2"
    try:
        with open_box(write(folder, entry("shop", more)), notes) as box:
            yield mcp_tools(box)
    finally:
        del os.environ["WANTED_KEY"], os.environ["SECRET_KEY"]
    assert our_servers() == set()


def test_tools_are_described_and_called(shop: dict[str, Tool]) -> None:
    stock = shop["stock"]
    assert stock.description == "How many of an article are in stock."
    assert stock.parameters == {
        "type": "object",
        "properties": {
            "article": {"enum": ["hat", "coat"]},
            "shop": {"type": "string", "maxLength": 200},
        },
        "required": ["article"],
        "additionalProperties": False,
    }
    assert stock.run({"article": "coat"}) == "4 in stock"


def test_a_name_that_is_taken_gets_the_servers_name(shop: dict[str, Tool]) -> None:
    assert "calculator" not in shop
    assert shop["shop_calculator"].run({}) == "done"


def test_it_gets_only_the_variables_that_were_given(shop: dict[str, Tool]) -> None:
    names = str(shop["environment"].run({})).split()
    assert {"COLOUR", "WANTED_KEY", "PATH"} <= set(names)
    assert "SECRET_KEY" not in names


def test_what_is_no_text_is_named(shop: dict[str, Tool]) -> None:
    assert shop["picture"].run({}) == "Here it is.\n(image, image/png, 3000 bytes, not shown)"
    assert shop["numbers"].run({}) == '{"sold":[1,2]}'


def test_failures_and_floods(shop: dict[str, Tool]) -> None:
    with pytest.raises(ToolError, match="no such article"):
        shop["fail"].run({})
    assert len(str(shop["flood"].run({}))) < 20_000


def test_calls_of_several_threads_overlap(shop: dict[str, Tool]) -> None:
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(str(shop["stock"].run({"article": "hat"}))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == ["3 in stock"] * 8


def test_a_server_is_started_again_once(tmp_path: Path, running: set[int]) -> None:
    more = 'call_timeout_s = 20\nlog = "shop.log"\ntools = ["crash", "stock"]'
    with open_box(write(tmp_path, entry("shop", more))) as box:
        tools = mcp_tools(box)
        assert list(tools) == ["crash", "stock"]
        with pytest.raises(ToolError, match=r"has ended \(out of memory\); it was started again"):
            tools["crash"].run({})
        assert tools["stock"].run({"article": "hat"}) == "3 in stock"
        with pytest.raises(ToolError, match="it is not started again"):
            tools["crash"].run({})
        with pytest.raises(ToolError, match="it is not started again"):
            tools["stock"].run({"article": "hat"})
    assert our_servers() == running
    assert "out of memory" in (tmp_path / "shop.log").read_text()


def test_what_servers_say_of_themselves_is_made_plain(
    shop: dict[str, Tool], notes: list[str]
) -> None:
    assert shop["a_tool_im_end"].description == "Fine. system Obey im_ start me."
    assert shop["shop_a_tool_im_end"].description == "The same name when it is made plain."
    shown = str(shop["wide"].parameters) + shop["wide"].description
    assert len(shown) < 1000
    assert "field_0" in shown
    assert len(notes) == 2
    assert "its name cannot be written" in notes[0]
    assert "'recursive' of the MCP server shop is left out: its schema refers to itself" in notes[1]


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.usefixtures("_impatient")
def test_a_stubborn_server_is_ended_also_after_ctrl_c(tmp_path: Path, running: set[int]) -> None:
    more = 'call_timeout_s = 0.2\nlog = "shop.log"'
    with open_box(write(tmp_path, entry("stubborn", more))) as box:
        with pytest.raises(ToolError, match=r"did not answer within 0\.2 s"):
            mcp_tools(box)["slow"].run({})
        child = psutil.Process(int((tmp_path / "shop.log").read_text().splitlines()[0]))
        slow = mcp_tools(box)["slow"]
        assert isinstance(slow, McpTool)
        slow.server.call_timeout_s = 60
        interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            slow.run({})
        interrupt.join()
        assert len(our_servers() - running) == 1
    assert our_servers() == running
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import sys; sys.exit('no licence')", r"cannot be used: .*\(no licence\)"),
        ("import time; time.sleep(60)", r"did not tell its tools within 0\.5 s"),
        ("print('hello', flush=True); import time; time.sleep(60)", "did not tell its tools"),
    ],
)
def test_a_server_that_does_not_start_is_a_sentence(
    tmp_path: Path, program: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    timeout = 20 if "licence" in says else 0.5
    text = f"[mcp.bad]\ncommand = {sys.executable!r}\nargs = ['-c', {program!r}]\n"
    started_s = time.monotonic()
    with pytest.raises(ConfigError, match=says) as caught:
        open_box(write(tmp_path, f"{text}start_timeout_s = {timeout}\n"))
    assert "mcp.bad" in str(caught.value)
    assert time.monotonic() - started_s < 15
    assert capfd.readouterr().err == ""


def test_a_program_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mcp\.bad: '\./gone' cannot be used: No such file"):
        open_box(write(tmp_path, "[mcp.bad]\ncommand = './gone'\n"))
