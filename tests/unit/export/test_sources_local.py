from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from edgeagent.config.model import ModelRecipe
from edgeagent.errors import SourceError
from edgeagent.export.sources import PullProgress, pull

CONTENT = b"GGUF" + bytes(1000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def recipe(*sources: dict[str, object]) -> ModelRecipe:
    return ModelRecipe.model_validate(
        {
            "id": "tiny",
            "name": "Tiny",
            "family": "llama",
            "parameters": 1,
            "license": "MIT",
            "context_len": 8,
            "tool_call_format": "compact",
            "source": sources,
        }
    )


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_relative_paths_start_at_the_folder_of_downloads(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "tiny.gguf"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    found = pull(recipe({"kind": "local", "path": "sub/tiny.gguf", "sha256": SHA256}), tmp_path)
    assert found == file.resolve()


def test_home_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(CONTENT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    downloads = tmp_path / "downloads"
    assert pull(recipe({"kind": "local", "path": "~/tiny.gguf"}), downloads) == file.resolve()
    assert pull(recipe({"kind": "local", "path": str(file)}), downloads) == file.resolve()


def test_a_users_file_is_hashed_once_and_its_folder_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "mine"
    home.mkdir()
    file = home / "tiny.gguf"
    file.write_bytes(CONTENT)
    model = recipe({"kind": "local", "path": str(file), "sha256": SHA256})
    seen: list[PullProgress] = []
    for _ in range(2):
        pull(model, tmp_path / "downloads", on_progress=seen.append)
    assert [p.stage for p in seen] == ["verify"]
    assert [p.name for p in home.iterdir()] == ["tiny.gguf"]


def test_a_users_wrong_file_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(CONTENT)
    model = recipe({"kind": "local", "path": str(file), "sha256": "0" * 64})
    with pytest.raises(SourceError, match="SHA-256"):
        pull(model, tmp_path / "downloads")
    assert file.read_bytes() == CONTENT


def test_a_file_that_changed_is_hashed_again(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(CONTENT)
    model = recipe({"kind": "local", "path": str(file), "sha256": SHA256})
    pull(model, tmp_path)
    file.write_bytes(b"EVIL" + CONTENT[4:])
    os.utime(file, ns=(5, 5))
    with pytest.raises(SourceError, match="SHA-256"):
        pull(model, tmp_path)


@pytest.mark.parametrize("stamp", [b"", b"{}", b"[]", b"\xff\xfe", b'{"sha256": 1}', b"x" * 20000])
def test_a_damaged_stamp_is_ignored(stamp: bytes, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(CONTENT)
    model = recipe({"kind": "local", "path": str(file), "sha256": SHA256})
    pull(model, tmp_path)
    (place,) = (tmp_path / ".stamps").iterdir()
    place.write_bytes(stamp)
    assert pull(model, tmp_path) == file.resolve()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no file") as caught:
        pull(recipe({"kind": "local", "path": "absent.gguf"}), tmp_path)
    assert "absent.gguf" in str(caught.value)


def test_a_local_file_wins_over_downloads_listed_before_it(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(CONTENT)
    hub = {"kind": "hub", "repo": "a/b", "file": "tiny.gguf"}
    assert pull(recipe(hub, {"kind": "local", "path": str(file)}), tmp_path) == file.resolve()
