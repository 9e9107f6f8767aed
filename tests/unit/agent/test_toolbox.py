from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgeagent.agent.tools.python.support import Support
from edgeagent.agent.tools.toolbox import DEFAULT, Toolbox, open_toolbox, plugin_files
from edgeagent.config.workspace import Workspace
from edgeagent.errors import ConfigError
from tests.unit.agent.test_plugins import TOOL

DEFAULT_NAMES = list(DEFAULT)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path / "home"))


def write(folder: Path, text: str) -> Workspace:
    folder.mkdir(exist_ok=True)
    (folder / "tools.toml").write_text(text, encoding="utf-8")
    return Workspace(tools_file=folder / "tools.toml")


def open_box(workspace: Workspace, notes: list[str] | None = None) -> Toolbox:
    return open_toolbox(
        workspace, count_tokens=len, on_note=[].append if notes is None else notes.append
    )


def names(workspace: Workspace, notes: list[str] | None = None) -> list[str]:
    with open_box(workspace, notes) as box:
        return [tool.name for tool in box.tools]


def test_without_anything_there_are_the_default_tools() -> None:
    assert names(Workspace()) == DEFAULT_NAMES


def test_use_chooses_among_the_built_in_tools(tmp_path: Path) -> None:
    assert names(write(tmp_path, 'use = ["dates"]')) == ["dates"]
    assert names(write(tmp_path, "use = []")) == []
    with pytest.raises(ConfigError, match=r"tools\.toml: use\.0: Input should be 'calculator'"):
        names(write(tmp_path, 'use = ["abacus"]'))


def test_everything_that_a_file_can_name(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mill.md").write_text("# Mill\n\nIt belongs to Ada Quern.")
    (tmp_path / "sales.csv").write_text("article,sold\nhat,3\n")
    (tmp_path / "mine.py").write_text(f"{TOOL}\nTOOLS = [Shout]\n")
    workspace = write(
        tmp_path,
        f"""
        documents = "notes"
        files = ["notes"]
        tables = ["sales.csv"]
        plugins = ["mine.py"]
        [[command]]
        name = "stock"
        description = "Look up how many of an article are in stock."
        run = [{sys.executable!r}, "-c", "print(12)"]
        [command.parameters.article]
        type = "string"
        """,
    )
    with open_box(workspace) as box:
        tools = {tool.name: tool for tool in box.tools}
        assert list(tools) == [
            *DEFAULT_NAMES,
            "search",
            "list_files",
            "read_file",
            "sql",
            "stock",
            "shout",
        ]
        assert tools["stock"].run({"article": "hat"}) == "12"
        assert "mill.md" in str(tools["list_files"].run({}))
    assert plugin_files(workspace) == ((tmp_path / "mine.py").resolve(),) or plugin_files(
        workspace
    ) == (tmp_path / "mine.py",)


def test_python_is_left_out_where_there_is_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(
        "edgeagent.agent.tools.python.support.sandbox_support",
        lambda: Support(offered=False, reason="there is no sandbox here"),
    )
    assert names(write(tmp_path, "python = true"), notes) == DEFAULT_NAMES
    assert notes == ["The tool python is left out: there is no sandbox here."]
    monkeypatch.setattr(
        "edgeagent.agent.tools.python.support.sandbox_support", lambda: Support(offered=True)
    )
    assert names(write(tmp_path, "python = true")) == [*DEFAULT_NAMES, "python"]


def test_two_tools_of_one_name_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TOOL.replace('"shout"', '"calculator"') + "TOOLS = [Shout]")
    with pytest.raises(ConfigError, match=r"mine\.py: there already is a tool 'calculator'"):
        names(Workspace(plugins=(tmp_path / "mine.py",)))


def test_what_was_opened_is_closed_also_when_opening_fails(tmp_path: Path) -> None:
    closing = f"    def close(self):\n        open({str(tmp_path / 'closed')!r}, 'a').close()\n"
    (tmp_path / "mine.py").write_text(f"{TOOL}\n{closing}\nTOOLS = [Shout]\n")
    with open_box(Workspace(plugins=(tmp_path / "mine.py",))) as box:
        assert not (tmp_path / "closed").exists()
    assert (tmp_path / "closed").exists()
    box.close()
    (tmp_path / "closed").unlink()
    (tmp_path / "other.py").write_text("TOOLS = [3]")
    with pytest.raises(ConfigError, match=r"other\.py"):
        names(Workspace(plugins=(tmp_path / "mine.py", tmp_path / "other.py")))
    assert (tmp_path / "closed").exists()


def test_a_tool_that_cannot_be_closed_does_not_keep_others_open(tmp_path: Path) -> None:
    first = f"    def close(self):\n        open({str(tmp_path / 'closed')!r}, 'x').close()\n"
    second = "    def close(self):\n        raise OSError('stuck')\n"
    (tmp_path / "first.py").write_text(f"{TOOL}\n{first}\nTOOLS = [Shout]\n")
    source = TOOL.replace('"shout"', '"whisper"')
    (tmp_path / "second.py").write_text(f"{source}\n{second}\nTOOLS = [Shout]\n")
    open_box(Workspace(plugins=(tmp_path / "first.py", tmp_path / "second.py"))).close()
    assert (tmp_path / "closed").exists()


def test_documents_of_the_workspace_win(tmp_path: Path) -> None:
    for folder in ("notes", "letters"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.md").write_text(f"# {folder}\n\nSomething of {folder}.")
    notes: list[str] = []
    workspace = write(tmp_path, 'documents = "notes"').model_copy(
        update={"documents": tmp_path / "letters"}
    )
    with open_box(workspace, notes) as box:
        found = box.tools[-1].run({"query": "something"})
    assert "letters" in str(found)
    assert len(notes) == 1
    assert "letters is searched, and not the documents of" in notes[0]


def test_the_same_plugin_named_twice_is_loaded_once(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"{TOOL}\nTOOLS = [Shout]\n")
    workspace = write(tmp_path, 'plugins = ["./mine.py"]').model_copy(
        update={"plugins": (tmp_path / "mine.py",)}
    )
    assert names(workspace) == [*DEFAULT_NAMES, "shout"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dokuments = 'x'", "dokuments: there is no such key"),
        ("[mcp.a]\nargs = []", r"mcp\.a\.command: this key is missing"),
        ("[mcp.a]\ncommand = 'x'\ntools = ['b']\nrename = { c = 'd' }", "c is not among `tools`"),
        ("[mcp.'a b']\ncommand = 'x'", "mcp.a b"),
        ("[[command]]\nname = 'a'\ndescription = 'b'\nrun = []", r"command\.0\.run"),
        (
            "[[command]]\nname = 'a'\ndescription = 'b'\nrun = ['c']\nrequired = ['d']",
            "there is no parameter d",
        ),
        ("documents = 'gone'", "gone is not a folder"),
        ("files = ['gone']", "gone"),
    ],
)
def test_mistakes_in_a_file_are_sentences(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        names(write(tmp_path, text))
