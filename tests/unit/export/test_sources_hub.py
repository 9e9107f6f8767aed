"""The hub source against a real HTTP server on the loopback interface that behaves like the hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, CONTENT, SHA256, Hub, loopback_hub

from edgeagent.config.model import HubSource, ModelRecipe
from edgeagent.errors import MissingExtraError, ResourceError, SourceError
from edgeagent.export.sources import PullProgress, origin_of, pull, transfer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with loopback_hub(monkeypatch) as state:
        yield state


def recipe(**change: object) -> ModelRecipe:
    source = {"kind": "hub", "repo": "maker/tiny-GGUF", "file": "tiny.gguf", "revision": "v1"}
    return ModelRecipe.model_validate(
        {
            "id": "tiny",
            "name": "Tiny",
            "family": "llama",
            "parameters": 1,
            "license": "MIT",
            "context_len": 8,
            "tool_call_format": "compact",
            "source": [HubSource.model_validate(source | change).model_dump()],
        }
    )


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.rglob("*") if p.is_file()}


def test_file_arrives_verified_and_pinned(server: Hub, tmp_path: Path) -> None:
    seen: list[PullProgress] = []
    path = pull(recipe(sha256=SHA256, size_bytes=len(CONTENT)), tmp_path, on_progress=seen.append)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == {"tiny.gguf", "tiny.gguf.stamp.json"}
    assert origin_of(path) == f"hub maker/tiny-GGUF/tiny.gguf@{COMMIT}"
    assert {p for _, p, _ in server.requests} == {"/maker/tiny-GGUF/resolve/v1/tiny.gguf"}
    downloads = [p.done_bytes for p in seen if p.stage == "download"]
    assert downloads == sorted(downloads)
    assert downloads[-1] == len(CONTENT)


def test_nothing_about_the_machine_is_told(server: Hub, tmp_path: Path) -> None:
    pull(recipe(), tmp_path)
    for headers in server.headers:
        agent = headers.get("user-agent", "")
        assert "onnx" not in agent
        assert "torch" not in agent


def test_second_pull_asks_nobody(server: Hub, tmp_path: Path) -> None:
    pull(recipe(), tmp_path)
    asked = len(server.requests)
    seen: list[PullProgress] = []
    pull(recipe(), tmp_path, on_progress=seen.append)
    assert len(server.requests) == asked
    assert seen == []


def test_broken_transfer_continues_where_it_was(server: Hub, tmp_path: Path) -> None:
    server.break_after = [2_500_000]
    path = pull(recipe(sha256=SHA256), tmp_path)
    assert path.read_bytes() == CONTENT
    first, second = server.gets()
    assert first is None
    assert second is not None
    resumed_at = int(second.removeprefix("bytes=").removesuffix("-"))
    assert 0 < resumed_at <= 2_500_000


def test_interrupted_pull_resumes_in_the_next(server: Hub, tmp_path: Path) -> None:
    def interrupt(progress: PullProgress) -> None:
        if progress.done_bytes >= 2_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(recipe(), tmp_path, on_progress=interrupt)
    (part,) = (tmp_path / "tiny").iterdir()
    assert part.name == f".tiny.gguf.{SHA256[:16]}.part"
    kept = part.stat().st_size
    assert 2_000_000 <= kept < len(CONTENT)

    server.requests.clear()
    assert pull(recipe(), tmp_path).read_bytes() == CONTENT
    assert server.gets() == [f"bytes={kept}-"]
    assert names(tmp_path) == {"tiny.gguf", "tiny.gguf.stamp.json"}


def test_server_without_ranges_starts_over(server: Hub, tmp_path: Path) -> None:
    server.break_after = [2_500_000]
    server.ignore_range = True
    assert pull(recipe(sha256=SHA256), tmp_path).read_bytes() == CONTENT


def test_part_of_another_version_is_not_used(server: Hub, tmp_path: Path) -> None:
    old = tmp_path / "tiny" / ".tiny.gguf.ffffffffffffffff.part"
    old.parent.mkdir()
    old.write_bytes(b"x" * 100)
    assert pull(recipe(), tmp_path).read_bytes() == CONTENT
    assert server.gets() == [None]
    assert not old.exists()


def test_giving_up_keeps_what_arrived_and_says_how_to_go_on(server: Hub, tmp_path: Path) -> None:
    server.break_after = [100_000] * 5
    with pytest.raises(SourceError, match="run the same command again to resume"):
        pull(recipe(), tmp_path)
    assert len(server.gets()) == 5
    assert pull(recipe(), tmp_path).read_bytes() == CONTENT


def test_wrong_content_is_removed(server: Hub, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(SourceError, match=f"{SHA256} is expected"):
        pull(recipe(), tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"sha256": "0" * 64}, "SHA-256"), ({"size_bytes": 7}, "bytes but 7 are expected")],
)
def test_a_file_that_changed_is_refused_before_the_download(
    change: dict[str, object], message: str, server: Hub, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=message):
        pull(recipe(**change), tmp_path)
    assert server.gets() == []


def test_more_than_announced_is_refused(server: Hub, tmp_path: Path) -> None:
    server.announced_size = 1_500_000
    server.etag = "abc"
    with pytest.raises(SourceError, match="more than the 1500000 bytes"):
        pull(recipe(), tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "RepoNotFound", "there is no repository maker/tiny-GGUF"),
        (404, "EntryNotFound", r"it has no tiny.gguf at revision v1"),
        (404, "RevisionNotFound", r"it has no tiny.gguf at revision v1"),
        (403, "GatedRepo", "accept its terms"),
        (500, "", "cannot be reached"),
    ],
)
def test_refusals_are_explained(
    status: int, code: str, message: str, server: Hub, tmp_path: Path
) -> None:
    server.status, server.error_code = status, code
    with pytest.raises(SourceError, match=message) as caught:
        pull(recipe(), tmp_path)
    assert "\n" not in str(caught.value)


def test_unreachable_hub_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(SourceError, match="the hub cannot be reached") as caught:
        pull(recipe(), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_noticed_before_the_download(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1_000})()
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ResourceError, match="EDGEAGENT_HOME"):
        pull(recipe(), tmp_path)
    assert server.gets() == []


def test_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"edgeagent\[export\]"):
        pull(recipe(), tmp_path)
