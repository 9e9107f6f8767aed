"""Environments of edgeagent's own: whole or not there, resumed, and found again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from backend_fakes import TOY, make_interpreter, pretend, write_toy_wheel

from edgeagent.errors import ConfigError, ExportError, MissingExtraError, ResourceError
from edgeagent.export.backends.environment import (
    create_environment,
    environments_dir,
    find_environment,
    remove_environment,
)
from edgeagent.export.backends.export import BACKENDS, find_interpreter
from edgeagent.export.backends.interpreter import installed_versions, user_interpreter
from edgeagent.export.backends.protocol import BackendStage, ignore_backend_progress
from edgeagent.export.backends.settings import BackendSettings


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and a folder of wheels as the only package index."""
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    return folder


@pytest.fixture(scope="module")
def with_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment with pip, which takes long to create."""
    folder = tmp_path_factory.mktemp("with-pip") / "environment"
    subprocess.run([sys.executable, "-I", "-m", "venv", str(folder)], check=True)
    return folder


@pytest.fixture
def begun(wheels: Path, with_pip: Path) -> Path:
    """An environment whose creation was cut off after the first step."""
    partial = environments_dir() / f"{TOY.key}.partial"
    shutil.copytree(with_pip, partial, symlinks=True)
    return partial


def leftovers() -> list[str]:
    return sorted(path.name for path in environments_dir().iterdir())


def test_an_environment_is_created_once_and_found_again(wheels: Path, with_pip: Path) -> None:
    write_toy_wheel(wheels)
    progress: list[tuple[BackendStage, int, int | None]] = []

    def note(stage: BackendStage, done: int, total: int | None, detail: str) -> None:
        progress.append((stage, done, total))

    assert find_environment(TOY) is None
    created = create_environment(TOY, note)
    assert created == find_environment(TOY) == create_environment(TOY, note)
    assert created.versions == {"toy": "1.5"}
    assert leftovers() == [TOY.key]
    assert [progress[0], progress[-1]] == [("environment", 0, 2), ("environment", 2, 2)]
    assert ("environment", 1, 2) in progress
    done = subprocess.run(
        [str(created.python), "-I", "-c", "import toy; print(toy.answer)"],
        capture_output=True,
        check=True,
    )
    assert done.stdout.split() == [b"42"]
    assert list((environments_dir().parent / "logs").iterdir()) == []

    (created.folder / "environment.json").write_text("{")  # damaged: made again, not trusted
    assert find_environment(TOY) is None
    shutil.copytree(with_pip, environments_dir() / f"{TOY.key}.partial", symlinks=True)
    assert create_environment(TOY, note) == created
    assert remove_environment(TOY)
    assert leftovers() == []
    assert not remove_environment(TOY)


def test_a_failed_download_is_resumed_and_ctrl_c_leaves_nothing(wheels: Path, begun: Path) -> None:
    with pytest.raises(ExportError) as caught:
        create_environment(TOY, ignore_backend_progress)
    assert str(caught.value).startswith(
        "Installing the packages of the toy backend failed: ERROR: No matching distribution found"
        " for toy==1.5"
    )
    log = Path(str(caught.value).rpartition(" is in ")[2].removesuffix("."))
    assert "toy==1.5" in log.read_text(encoding="utf-8")
    assert find_environment(TOY) is None
    assert leftovers() == [begun.name]

    write_toy_wheel(wheels)
    stages: list[str] = []

    def interrupt(stage: BackendStage, done: int, total: int | None, detail: str) -> None:
        stages.append(detail)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_environment(TOY, interrupt)
    assert stages == ["toy"]  # it went on with the environment that was there
    assert leftovers() == []


@pytest.mark.usefixtures("begun")
def test_packages_that_do_not_import_are_not_kept(wheels: Path) -> None:
    write_toy_wheel(wheels, code="raise ImportError('libtoy.so.1: cannot open')\n")
    with pytest.raises(ExportError, match=r"toy backend failed: ImportError: libtoy\.so\.1"):
        create_environment(TOY, ignore_backend_progress)
    assert leftovers() == []


@pytest.mark.usefixtures("begun")
def test_one_process_at_a_time(wheels: Path) -> None:
    lock = environments_dir() / f"{TOY.key}.lock"
    lock.write_text(str(os.getpid()))
    with pytest.raises(ConfigError, match=r"Another process is creating .* delete .*\.lock"):
        create_environment(TOY, ignore_backend_progress)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    lock.write_text(str(ended.pid))  # its owner is gone
    with pytest.raises(ExportError, match="No matching distribution"):
        create_environment(TOY, ignore_backend_progress)
    assert not lock.exists()


def test_a_full_disk_is_noticed_before(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(wheels)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ResourceError, match=r"toy backend needs 0\.0 GB of disk and .* has 0\.0"):
        create_environment(TOY, ignore_backend_progress)
    assert leftovers() == []


def test_without_an_environment_the_message_says_both_ways(wheels: Path) -> None:
    with pytest.raises(MissingExtraError) as caught:
        find_interpreter(BACKENDS["optimum"], BackendSettings(), ignore_backend_progress)
    for words in ("--create-env", "--backend-python", "edgeagent[optimum]", "GB"):
        assert words in str(caught.value)
    assert caught.value.exit_code == 9


def test_the_users_interpreter_must_have_the_packages(tmp_path: Path) -> None:
    requirements = BACKENDS["builder"].requirements
    with pytest.raises(ConfigError, match="There is no interpreter"):
        user_interpreter(tmp_path / "python", requirements)
    (tmp_path / "not-python").write_text("")
    with pytest.raises(ConfigError, match="does not work as a Python interpreter"):
        user_interpreter(tmp_path / "not-python", requirements)

    python = make_interpreter(tmp_path / "own")
    versions = dict.fromkeys(requirements.bounds, "9") | {"onnxruntime-genai": "0.17.1"}
    del versions["gguf"]
    pretend(python, versions)
    with pytest.raises(ConfigError) as caught:
        user_interpreter(python, requirements)
    assert "lacks onnxruntime-genai>=0.18,<0.19 (it has 0.17.1)" in str(caught.value)
    assert "transformers>=5.2,<6 (it has 9), gguf>=0.17; install edgeagent[builder] there" in str(
        caught.value
    )


def test_a_virtual_environment_is_asked_through_its_own_link(tmp_path: Path) -> None:
    python = make_interpreter(tmp_path / "own")
    pretend(python, {"toy": "1.2"})
    found = user_interpreter(python, TOY)
    assert (found.python, found.versions) == (python, {"toy": "1.2"})
    assert str(tmp_path) not in found.label
    assert installed_versions(python, ["toy", "other"]) == {"toy": "1.2", "other": None}
    assert json.dumps(found.versions)
