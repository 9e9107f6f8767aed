from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgeagent.agent.plugins import load_plugin
from edgeagent.errors import ConfigError

TOOL = '''
class Shout:
    """Writes in capitals."""

    name = "shout"
    is_delegate = False
    description = "Write a text in capitals."
    parameters = {
        "type": "object",
        "properties": {"text": {"type": "string", "maxLength": 20}},
        "required": ["text"],
    }

    def run(self, arguments):
        return str(arguments["text"]).upper()
'''
PARADIGM = '''
class Echo:
    """Answers with the question."""

    name = "echo"

    def __init__(self, runtime):
        self.runtime = runtime

    def warm_up(self):
        pass

    def run(self, question, task):
        return question
'''


def write(folder: Path, source: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(source, encoding="utf-8")
    return path


@pytest.mark.parametrize("item", ["Shout", "Shout()"])
def test_tools_are_classes_or_instances(tmp_path: Path, item: str) -> None:
    plugin = load_plugin(write(tmp_path, f"{TOOL}\nTOOLS = [{item}]\n"))
    (tool,) = plugin.tools
    assert tool.run({"text": "hey"}) == "HEY"
    assert plugin.paradigms == ()


def test_paradigms_are_classes(tmp_path: Path) -> None:
    plugin = load_plugin(write(tmp_path, f"{PARADIGM}\nPARADIGMS = (Echo,)\n"))
    assert [paradigm.name for paradigm in plugin.paradigms] == ["echo"]


def test_a_file_is_run_once_until_it_changes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    count = f"with open({str(log)!r}, 'a') as log:\n    log.write('x')\n"
    path = write(tmp_path, f"{TOOL}\nTOOLS = [Shout]\n{count}")
    first, second = load_plugin(path), load_plugin(path)
    assert log.read_text() == "x"
    assert first.tools[0] is not second.tools[0]
    write(tmp_path, path.read_text().replace("upper", "title"))
    assert load_plugin(path).tools[0].run({"text": "hey"}) == "Hey"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1\n", "neither TOOLS nor PARADIGMS"),
        ("x = 1\ny = = 2\n", r"mine\.py cannot be loaded: line 2: invalid syntax"),
        ("def f():\n    raise OSError('no disk.')\nf()\n", "line 2: OSError: no disk"),
        ("import not_there_at_all\n", "line 1: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "line 1: SystemExit: 3"),
        ("TOOLS = 3\n", "TOOLS is not a list"),
        ("TOOLS = [3]\n", "the tool int has no `name`"),
        (TOOL.replace('"shout"', '"two words"') + "TOOLS = [Shout]", "Shout has no `name`"),
        (TOOL.replace("description =", "d =") + "TOOLS = [Shout]", "Shout has no `description`"),
        (TOOL.replace("is_delegate =", "d =") + "TOOLS = [Shout]", "write is_delegate = False"),
        (TOOL.replace("def run", "def go") + "TOOLS = [Shout]", "no method `run"),
        (TOOL.replace('"object"', '"array"') + "TOOLS = [Shout]", "JSON Schema of an object"),
        (TOOL.replace('["text"]', '["word"]') + "TOOLS = [Shout]", "requires 'word'"),
        (TOOL.replace('"string"', '"strong"') + "TOOLS = [Shout]", "cannot be made a grammar"),
        (TOOL.replace("20}", "{3}}") + "TOOLS = [Shout]", "is not JSON"),
        (TOOL + "    examples = ('a',)\nTOOLS = [Shout]", "not of the class Example"),
        (TOOL + "    close = 3\nTOOLS = [Shout]", "`close` that cannot be called"),
        (
            TOOL.replace("Shout:", "Shout:\n    def __init__(self, x): pass") + "TOOLS = [Shout]",
            "made",
        ),
        (PARADIGM + "PARADIGMS = [Echo(None)]", "Echo is not a class"),
        (PARADIGM.replace("warm_up", "warm") + "PARADIGMS = [Echo]", "no method `warm_up`"),
        (PARADIGM.replace('"echo"', "3") + "PARADIGMS = [Echo]", "Echo has no `name`"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_plugin(write(tmp_path, source))
    assert str(tmp_path) in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_plugin(tmp_path / "gone.py")


def test_a_file_that_fails_leaves_no_module_behind(tmp_path: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(ConfigError):
        load_plugin(write(tmp_path, "raise ValueError\n"))
    assert not {name for name in set(sys.modules) - before if "plugin" in name}
