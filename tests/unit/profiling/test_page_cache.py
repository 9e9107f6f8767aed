from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest

from edgeagent.profiling.bench import page_cache
from edgeagent.profiling.bench.page_cache import drop_from_page_cache, resident_share

PAGES = 50

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="posix_fadvise and mincore of Linux")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files that were just written, so that their pages are dirty and in memory."""
    made = [tmp_path / "weights", tmp_path / "graph"]
    for path in made:
        path.write_bytes(os.urandom(PAGES * mmap.PAGESIZE))
    return made


def drops_pages(path: Path) -> bool:
    """Whether this file system lets go of pages at all; those in memory do not."""
    return drop_from_page_cache([path]).cold


@on_linux
def test_files_are_gone_and_come_back_when_read(files: list[Path]) -> None:
    assert resident_share(files) == 1.0
    if not drops_pages(files[0]):
        pytest.skip("the temporary folder is in memory")
    assert resident_share(files) == 0.5
    assert drop_from_page_cache(files) == page_cache.Dropped(cold=True, resident_share=0.0)
    files[0].read_bytes()
    assert resident_share(files) == 0.5


@on_linux
def test_files_that_another_process_uses_are_not_cold(files: list[Path]) -> None:
    with (
        files[0].open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert len({mapped[page * mmap.PAGESIZE] for page in range(PAGES)}) > 1
        dropped = drop_from_page_cache(files)
    assert not dropped.cold
    assert dropped.resident_share is not None
    assert dropped.resident_share >= 0.5
    assert "stayed in memory" in dropped.reason


@on_linux
def test_empty_and_missing_files_do_not_matter(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert resident_share([empty]) is None
    dropped = drop_from_page_cache([empty, tmp_path / "missing", tmp_path])
    assert not dropped.cold
    assert "does not tell" in dropped.reason


@pytest.mark.parametrize("system", ["darwin", "win32", "linux"])
def test_a_system_without_the_call(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    if system == "linux":  # built with a C library that lacks it
        monkeypatch.delattr(os, "posix_fadvise", raising=False)
    dropped = drop_from_page_cache(files)
    assert not dropped.cold
    assert dropped.resident_share is None
    assert "without root" in dropped.reason


@on_linux
def test_a_system_that_does_not_tell_what_is_left(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fadvise", lambda *_args: None, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    monkeypatch.setattr(page_cache.ctypes, "CDLL", lambda *_args, **_options: object())
    dropped = drop_from_page_cache(files)
    assert not dropped.cold
    assert "does not tell" in dropped.reason


def test_a_system_without_such_a_library(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: object, **_options: object) -> None:
        raise TypeError("LoadLibrary() argument 1 must be str, not None")  # as on Windows

    monkeypatch.setattr(page_cache.ctypes, "CDLL", refuse)
    assert resident_share(files) is None


@on_linux
def test_a_file_that_may_not_be_read(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    dropped = drop_from_page_cache(files)
    assert not dropped.cold
    assert "Permission denied" in dropped.reason
