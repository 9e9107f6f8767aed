"""The project around the package: what is shipped, and whether its documents tell the truth."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import edgeagent
from edgeagent.agent.paradigms.catalog import Catalog
from edgeagent.agent.plugins import load_plugin
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.documents.index import DocumentIndex
from edgeagent.agent.tools.documents.search import DocumentSearch
from edgeagent.cli import COMMANDS, main
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import ToolError

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "profiles" / "suites" / "README.md",
    ROOT / "profiles" / "devices" / "README.md",
]
EXAMPLES = {"edgeagent/agent/formats/tagged.py", "edgeagent/agent/paradigms/retrieve.py"}
"""Files that whoever follows the examples of CONTRIBUTING writes."""

WRITTEN = ("edgeagent", "models", "profiles", "tests", "scripts", "docs", ".ci")
"""Folders whose files are written by hand."""


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> Iterator[list[str]]:
    """Command lines of `edgeagent` in code, from its name on."""
    blocks = re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", text)
    for line in [*"\n".join(blocks).splitlines(), *inline]:
        if found := re.search(r"(?:^|\s)edgeagent ([a-z].*)", line):
            yield found[1].split()


# The package


def test_public_names() -> None:
    assert edgeagent.__all__ == ["Assistant", "__version__", "load", "profile"]
    for name in edgeagent.__all__:
        assert getattr(edgeagent, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = edgeagent.nothing


def test_console_script_is_the_command_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"edgeagent": "edgeagent.cli:main"}
    installed = importlib.metadata.entry_points(group="console_scripts", name="edgeagent")
    for entry in installed:
        assert entry.load() is main


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout; the build backend is installed, so no network is needed."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--disable-pip-version-check", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("edgeagent-*.whl")
    return built


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_wheel_ships_models_and_suites_and_nothing_else_but_the_package(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    data = {name for name in names if name.startswith("edgeagent/data/")}
    expected = {f"edgeagent/data/models/{name}" for name in files_below(ROOT / "models")}
    expected |= {f"edgeagent/data/profiles/{name}" for name in files_below(ROOT / "profiles")}
    assert data == expected
    info = f"edgeagent-{edgeagent.__version__}.dist-info/"
    assert all(name.startswith(("edgeagent/", info)) for name in names)
    assert {"edgeagent/py.typed", f"{info}licenses/LICENSE"} <= names


def test_an_installed_wheel_finds_its_data(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import json, edgeagent\n"
        "from edgeagent.config.model import list_recipes\n"
        "from edgeagent.config.suites import load_suite\n"
        "suite = str(load_suite('core').folder)\n"
        "print(json.dumps([edgeagent.__file__, len(list_recipes()), suite]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    package, recipes, suite = json.loads(done.stdout)
    assert Path(package).is_relative_to(tmp_path)
    assert recipes == len(list((ROOT / "models").glob("*.toml"))) >= 11
    assert Path(suite).is_relative_to(tmp_path)


# The documents


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []

    paths = re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?|[A-Z]+\.md)`", text)
    named = [path for path in paths if path.split("/")[0] in WRITTEN or path.endswith(".md")]
    assert [path for path in named if path not in EXAMPLES and not (ROOT / path).exists()] == []


def test_readme_has_no_relative_links_because_package_indexes_cannot_follow_them() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_exist_with_these_options(document: Path) -> None:
    for name, *arguments in command_lines(document.read_text(encoding="utf-8")):
        assert name in COMMANDS, f"edgeagent {name}"
        command = main.get_command(click.Context(main), name)
        assert command is not None
        if isinstance(command, click.Group) and arguments:
            command = command.get_command(click.Context(command), arguments[0])
            assert command is not None, f"edgeagent {name} {arguments[0]}"
        known = {option for parameter in command.params for option in parameter.opts}
        options = {word.split("=")[0] for word in arguments if word.startswith("--")}
        assert options <= known | {"--help"}, f"edgeagent {name}"


def test_readme_names_every_command_and_both_scripts() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"`edgeagent {name}" in text
    for script in ("quickstart.py", "check.py"):
        assert f"python3 scripts/{script}" in text
        assert f"py scripts\\{script}" in text
        assert (ROOT / "scripts" / script).is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_in_documents_compiles(document: Path) -> None:
    for block in python_blocks(document.read_text(encoding="utf-8")):
        compile(block, document.name, "exec")


def test_the_examples_of_contributing_work(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for block in python_blocks(text):
        exec(block, names)

    contacts = names["Contacts"]()  # type: ignore[operator]
    assert names["TOOLS"] == [names["Contacts"]]
    assert contacts.run({"name": "Ada Quern"}).endswith("555 0142.")
    with pytest.raises(ToolError, match="no contact"):
        contacts.run({"name": "Nobody"})
    assert contacts.offer("Where is Ottersby?", ()) is None
    offered = contacts.offer("Who answers?", ("Ask ada quern.",))
    assert offered["properties"]["name"]["enum"] == ["Ada Quern"]

    (tmp_path / "school.md").write_text("# School\n\nOrla Fenn founded the sailing school.")
    index = DocumentIndex(tmp_path)
    asked: list[str] = []

    def reply(conversation: str) -> str:
        asked.append(conversation)
        return "Orla Fenn."

    # The paradigm as a file of somebody's own, as the text says.
    (block,) = [one for one in python_blocks(text) if "class Retrieve" in one]
    plugin = tmp_path / "retrieve.py"
    plugin.write_text(f"{block}\n\nPARADIGMS = (Retrieve,)\n", encoding="utf-8")
    assert "`PARADIGMS = (Retrieve,)`" in text
    runtime = Runtime(ScriptedEngine(reply), [DocumentSearch(index)])
    retrieve = Catalog(load_plugin(plugin).paradigms).make("retrieve", runtime)
    retrieve.warm_up()
    outcome = retrieve.run("Who founded the sailing school?", TaskRun(timeout_s=30.0))
    assert (outcome.answer, outcome.failure) == ("Orla Fenn.", None)
    assert "Orla Fenn founded the sailing school." in asked[-1]
    runtime.close()
    index.close()


# The tree


def own_files() -> list[Path]:
    """Files of the checkout that are written by hand."""
    found = [path for name in WRITTEN for path in (ROOT / name).rglob("*") if path.is_file()]
    found += [path for path in ROOT.iterdir() if path.suffix in {".md", ".toml", ".yaml"}]
    caches = re.compile(r"/(?:__pycache__|\.[a-z_]+_cache|\.hypothesis)/")
    texts = [path for path in found if path.suffix not in {".npz", ".onnx"}]
    return [path for path in texts if not caches.search(path.as_posix())]


def test_no_file_names_a_place_of_one_machine_or_a_package_registry() -> None:
    places = re.compile(r"(?<![\w.~}/])/(?:work|root|mnt|Users/\w+|home/\w+)/|\b[A-Z]:\\Users\\")
    registries = re.compile("|".join(["pypi" + r"\.org", "python" + "hosted", "anaconda" + r"\."]))
    found = []
    for path in own_files():
        text = path.read_text(encoding="utf-8")
        if places.search(text) or registries.search(text):
            found.append(path.relative_to(ROOT).as_posix())
    assert found == []


def test_modules_stay_small() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in (ROOT / "edgeagent").rglob("*.py")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 330
    }
    assert long == {}
