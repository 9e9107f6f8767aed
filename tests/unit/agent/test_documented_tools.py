"""What the documents say about tools is true: their files are loaded, their results computed."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from edgeagent.agent.plugins import load_plugin
from edgeagent.agent.tools.arithmetic import evaluate
from edgeagent.agent.tools.dates import Dates
from edgeagent.agent.tools.program import CommandTool
from edgeagent.agent.tools.protocol import Grounded
from edgeagent.agent.tools.toolbox import BUILT_IN, DEFAULT
from edgeagent.config.spec import parse_spec
from edgeagent.config.tools_file import (
    CommandSpec,
    McpServerSpec,
    ToolsFile,
    ToolsFileSpec,
    load_tools_file,
)
from edgeagent.errors import ToolError

ROOT = Path(__file__).resolve().parents[3]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TOOLS = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")


def blocks(text: str, language: str, begin: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return [block for block in found if begin in block]


def test_the_tool_in_a_file_of_ones_own(tmp_path: Path) -> None:
    (source,) = blocks(CONTRIBUTING, "python", "class Contacts")
    (tmp_path / "contacts.py").write_text(source, encoding="utf-8")
    (tool,) = load_plugin(tmp_path / "contacts.py").tools
    assert tool.run({"name": "Ada Quern"}) == "The number of Ada Quern is 555 0142."
    with pytest.raises(ToolError, match="no contact 'Bo'"):
        tool.run({"name": "Bo"})
    assert isinstance(tool, Grounded)
    offered = tool.offer("What is the phone number of ada quern?", ())
    assert offered is not None
    assert offered["properties"] == {"name": {"type": "string", "enum": ["Ada Quern"]}}
    assert tool.offer("What is the capital of Japan?", ()) is None


@pytest.mark.parametrize(("text", "count"), [(CONTRIBUTING, 2), (TOOLS, 1)])
def test_the_tools_files(tmp_path: Path, text: str, count: int) -> None:
    sources = [
        source for source in blocks(text, "toml", "") if "[[command]]" in source or "[mcp" in source
    ]
    assert len(sources) == count
    for source in sources:
        path = tmp_path / "tools.toml"
        path.write_text(source, encoding="utf-8")
        file = load_tools_file(path)
        for command in file.spec.command:
            assert CommandTool(command, file).name == "stock"


def rows(heading: str) -> list[tuple[str, str]]:
    section = TOOLS.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)`[^|]*\| (.+?) \|$", section, re.MULTILINE)


@pytest.mark.parametrize(("expression", "result"), rows("Calculator"))
def test_results_of_the_calculator(expression: str, result: str) -> None:
    assert evaluate(expression).text() == result


@pytest.mark.parametrize(("expression", "result"), rows("Dates")[:3])
def test_results_of_dates(expression: str, result: str) -> None:
    assert Dates(lambda: date(2026, 1, 1)).run({"expression": expression}) == result


def test_keys_and_defaults_are_those_of_the_code() -> None:
    for spec, heading in ((McpServerSpec, "MCP servers"), (CommandSpec, "Programs")):
        section = TOOLS.split(f"## {heading}\n")[1].split("\n## ")[0]
        told = set(re.findall(r"`([a-z_]+)`", section)) | {"parameters", "example"}
        assert set(spec.model_fields) <= told
    spec = parse_spec({"command": "x"}, McpServerSpec, "x")
    defaults = f"| {spec.max_tokens} |", f"| {spec.start_timeout_s:g}, {spec.call_timeout_s:g} |"
    assert all(default in TOOLS for default in defaults)
    file = blocks(TOOLS, "toml", "use =")[0]
    assert all(f"{key} =" in file or f"{key}" in file for key in ToolsFileSpec.model_fields)
    assert all(f"`{name}`" in TOOLS for name in BUILT_IN)
    assert all(f"| `{name}` |" in TOOLS for name in DEFAULT)
    assert ToolsFile(Path("x"), ToolsFileSpec()).spec.use is None
