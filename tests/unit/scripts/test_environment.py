from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import environment
import pytest
from environment import SetupError

SCRIPTS = Path(environment.__file__).parent
PROJECT = """
[dependency-groups]
dev = ["pytest>=8", {include-group = "lint"}]
lint = ["ruff>=0.12"]
questions = ["some-benchmark==1"]
"""


class Commands:
    """Stands in for the programs that need a network; leaves an interpreter where venv would."""

    def __init__(self) -> None:
        self.run: list[list[str]] = []
        self.failing = ""

    def __call__(self, command: list[str], what: str) -> None:
        kind = "venv" if "venv" in command[:3] else "pip"
        self.run.append([kind, *command])
        if kind == self.failing:
            raise SetupError(f"{what} failed")
        if kind == "venv":
            python = environment._python()
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()
            (environment.FOLDER / "pyvenv.cfg").touch()

    def take(self) -> list[str]:
        kinds = [command[0] for command in self.run]
        self.run.clear()
        return kinds


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    stand_in = Commands()
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "FOLDER", tmp_path / ".venv")
    monkeypatch.setattr(environment, "_run", stand_in)
    return stand_in


def test_made_once_then_reused(commands: Commands) -> None:
    python = environment.prepare()
    assert python.is_relative_to(environment.FOLDER)
    (make, install) = commands.run
    assert make == ["venv", sys.executable, "-m", "venv", str(environment.FOLDER)]
    assert install[-1] == f"{environment.ROOT}[export]"
    assert not {"--index-url", "--extra-index-url", "--find-links"} & set(install)
    commands.take()

    assert environment.prepare() == python
    assert commands.take() == []


def test_a_group_is_added_to_what_is_there(commands: Commands) -> None:
    environment.prepare()
    commands.take()
    environment.prepare(("dev",))
    assert commands.run[0][-2:] == ["pytest>=8", "ruff>=0.12"]
    assert commands.take() == ["pip"]
    environment.prepare(("dev",))
    environment.prepare()
    assert commands.take() == []


def test_questions_come_without_their_dependencies(commands: Commands) -> None:
    environment.prepare(("dev", "questions"))
    _, whole, alone = commands.run
    assert whole[-2:] == ["pytest>=8", "ruff>=0.12"]
    assert "--no-deps" not in whole
    assert alone[-2:] == ["--no-deps", "some-benchmark==1"]
    commands.take()
    environment.prepare(("dev", "questions"))
    assert commands.take() == []


@pytest.mark.parametrize("change", ["project", "python", "place", "interpreter gone", "damaged"])
def test_made_again_when_it_does_not_fit(commands: Commands, change: str) -> None:
    environment.prepare()
    weights = environment.FOLDER / "test-home" / "weights.gguf"
    weights.parent.mkdir()
    weights.touch()
    leftover = environment.FOLDER / "lib" / "old.py"
    leftover.parent.mkdir()
    leftover.touch()
    commands.take()

    stamp = environment.FOLDER / environment._STAMP_NAME
    if change == "project":
        (environment.ROOT / "pyproject.toml").write_text(PROJECT + "\n", encoding="utf-8")
    elif change == "interpreter gone":
        environment._python().unlink()
    elif change == "damaged":
        stamp.write_text("{", encoding="utf-8")
    else:
        stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {change: "other"}))

    environment.prepare()
    assert commands.take() == ["venv", "pip"]
    assert weights.exists()
    assert not leftover.exists()


@pytest.mark.parametrize("failing", ["venv", "pip"])
def test_an_unfinished_environment_is_not_used(commands: Commands, failing: str) -> None:
    commands.failing = failing
    with pytest.raises(SetupError):
        environment.prepare()
    commands.failing = ""
    commands.take()
    environment.prepare()
    assert commands.take() == ["venv", "pip"]


def test_the_environment_of_somebody_else_is_left_alone(commands: Commands) -> None:
    environment.FOLDER.mkdir()
    (environment.FOLDER / "pyvenv.cfg").write_text("home = /usr/bin")
    with pytest.raises(SetupError, match=r"\.venv was not made by this script"):
        environment.prepare()
    assert [path.name for path in environment.FOLDER.iterdir()] == ["pyvenv.cfg"]
    assert commands.take() == []


def test_weights_of_tests_alone_make_no_environment(commands: Commands) -> None:
    (environment.FOLDER / "test-home").mkdir(parents=True)
    environment.prepare()
    assert commands.take() == ["venv", "pip"]
    assert (environment.FOLDER / "test-home").is_dir()


def test_python_too_old(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "OLDEST_PYTHON", (9, 1))
    with pytest.raises(SetupError, match=r"^edgeagent needs Python 9\.1 or newer, but .* is"):
        environment.prepare()
    assert commands.take() == []


@pytest.mark.parametrize("script", ["environment", "quickstart", "check"])
def test_an_old_python_can_read_the_scripts_and_say_so(script: str) -> None:
    source = (SCRIPTS / f"{script}.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names
    }
    assert "tomllib" not in imported  # new in 3.11; fine inside a function


def test_venv_missing(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> Any:
        return None if name == "ensurepip" else object()

    monkeypatch.setattr(environment.importlib.util, "find_spec", find_spec)
    with pytest.raises(SetupError, match=r"ensurepip is missing; .* apt install python3-venv"):
        environment.prepare()
    assert not environment.FOLDER.exists()


def test_groups_include_groups(commands: Commands) -> None:
    assert environment.requirements(("dev",)) == ["pytest>=8", "ruff>=0.12"]
    assert environment.requirements(("lint", "lint")) == ["ruff>=0.12", "ruff>=0.12"]
    with pytest.raises(SetupError, match="no dependency group 'docs'"):
        environment.requirements(("docs",))


def test_a_failing_program_shows_its_last_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print(*range(100), sep='\\n'); print('no route', file=sys.stderr); exit(3)"
    with pytest.raises(SetupError) as caught:
        environment._run([sys.executable, "-c", code], "Installing")
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("Installing failed")
    assert len(lines) == 12
    assert "  | 99" in lines
    assert "  | no route" in lines
    assert capsys.readouterr().out == "Installing ...\n"


def test_programs_get_no_settings_of_other_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "kept")
    monkeypatch.setenv("VIRTUAL_ENV", "elsewhere")
    variables = environment.child_environment()
    assert "PYTHONPATH" not in variables
    assert variables["PIP_USER"] == "0"
    assert variables["PIP_INDEX_URL"] == "kept"
    assert variables["VIRTUAL_ENV"] == str(environment.FOLDER)


def test_hand_over_passes_the_exit_status_on() -> None:
    code = (
        "import sys, environment\n"
        "print('before')\n"
        "environment.hand_over([sys.executable, '-c', 'print(\"after\"); raise SystemExit(7)'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (7, ["before", "after"])


@pytest.mark.heavy
def test_a_clean_checkout_sets_itself_up(tmp_path: Path) -> None:
    """Really installs, so it needs a network: from elsewhere, at a path with spaces."""
    checkout = tmp_path / "a check out"
    root = SCRIPTS.parent
    subprocess.run(["git", "clone", "-q", str(root), str(checkout)], check=True)
    script = checkout / "scripts" / "quickstart.py"
    done = subprocess.run(
        [sys.executable, str(script), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Usage: edgeagent profile" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr
