from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.errors import ResourceError
from edgeagent.record.atomic import write_text


def test_text_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    write_text(path, "old")
    write_text(path, "neu € ü\n")
    assert path.read_bytes() == "neu € ü\n".encode()
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.md"]


def test_failure_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.md"
    write_text(path, "old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ResourceError, match=r"report\.md cannot be written"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.md"]


def test_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "report.md", "new")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="make the folder writable"):
        write_text(tmp_path / "none" / "report.md", "text")
