from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeagent.cli import main
from edgeagent.cli.workspace_options import named_paradigms
from edgeagent.config.workspace import Workspace
from edgeagent.errors import ConfigError

TEAM = """
name = "counters"
kind = "single"

[[role]]
name = "numbers"
instructions = "You compute."
tools = ["calculator"]
"""


def test_paradigms_are_named_or_given_as_files_of_teams(tmp_path: Path) -> None:
    file = tmp_path / "my-team.toml"
    file.write_text(TEAM, encoding="utf-8")
    assert named_paradigms([" base", str(file), "", "vote "]) == (
        ("base", "counters", "vote"),
        (file,),
    )


def test_a_team_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no-team\.toml cannot be read"):
        named_paradigms([str(tmp_path / "no-team.toml")])


def test_an_unknown_paradigm_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["run", str(tmp_path / "no-model"), "--paradigm", "crowd", "Hello?"]
    )
    assert result.exit_code == 2
    assert "There is no paradigm 'crowd'; choose base, single, multi" in str(result.output)


def test_a_plugin_adds_a_paradigm_by_name(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "class Echo:\n"
        "    name = 'echo'\n"
        "    def __init__(self, runtime):\n        pass\n"
        "    def warm_up(self):\n        pass\n"
        "    def run(self, question, task):\n        raise NotImplementedError\n"
        "PARADIGMS = [Echo]\n",
        encoding="utf-8",
    )
    arguments = ["run", str(tmp_path / "no-model"), "--paradigm", "echo", "Hello?"]
    without = CliRunner().invoke(main, arguments)
    assert "There is no paradigm 'echo'" in str(without.output)
    with_it = CliRunner().invoke(main, [*arguments, "--plugin", str(plugin)])
    assert "No model is called" in str(
        with_it.output
    )  # it went on to the model, which is not there
    assert "There is no paradigm" not in str(with_it.output)


def test_digests_tell_other_contents_apart_and_name_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "tools.toml"
    file.write_text("python = true\n", encoding="utf-8")
    workspace = Workspace(tools_file=file, plugins=(tmp_path / "mine.py",))
    with pytest.raises(ConfigError, match=r"mine\.py cannot be read"):
        workspace.digests()
    first = Workspace(tools_file=file).digests()
    assert list(first) == ["tools:tools.toml"]
    file.write_text("python = false\n", encoding="utf-8")
    assert Workspace(tools_file=file).digests() != first
    assert Workspace().digests() == {}
