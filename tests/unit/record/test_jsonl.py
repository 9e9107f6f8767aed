from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edgeagent.errors import ResourceError, RunDataError
from edgeagent.record import jsonl
from edgeagent.record.base import Record


class Point(Record):
    schema_version: int = 1
    x: int
    text: str = ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "points.jsonl"


def read(path: Path) -> list[Point]:
    return list(jsonl.read(path, Point))


def test_appended_records_are_read_back_in_order(path: Path) -> None:
    points = [Point(x=1, text="a\nb\u2028c"), Point(x=2), Point(x=-3, text="ü")]
    for point in points:
        jsonl.append(path, point, durable=True)
    assert read(path) == points
    assert path.read_bytes().count(b"\n") == 3


def test_torn_last_line_is_reported_and_left_out(path: Path) -> None:
    jsonl.append(path, Point(x=1))
    with path.open("ab") as file:
        file.write(b'{"schema_version":1,"x":')
    told: list[str] = []
    assert list(jsonl.read(path, Point, on_torn=told.append)) == [Point(x=1)]
    assert told == [f"{path}, line 2 was not written to its end and is left out."]


def test_line_that_lacks_only_its_newline_is_torn_for_reader_and_truncation_alike(
    path: Path,
) -> None:
    jsonl.append(path, Point(x=1))
    whole = path.read_bytes()
    path.write_bytes(whole + whole.rstrip(b"\n"))
    assert read(path) == [Point(x=1)]
    assert jsonl.truncate_torn_tail(path) == len(whole) - 1
    assert path.read_bytes() == whole


def test_every_cut_of_a_file_leaves_whole_records_and_can_be_resumed(path: Path) -> None:
    for x in range(3):
        jsonl.append(path, Point(x=x))
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        expected = whole[:length].count(b"\n")
        assert len(read(path)) == expected
        jsonl.truncate_torn_tail(path)
        jsonl.append(path, Point(x=99))
        assert [point.x for point in read(path)] == [*range(expected), 99]


def test_tail_longer_than_a_block_is_cut(path: Path) -> None:
    jsonl.append(path, Point(x=1))
    keep = path.read_bytes()
    path.write_bytes(keep + b"\0" * 200_000)
    assert jsonl.truncate_torn_tail(path) == 200_000
    assert path.read_bytes() == keep


def test_truncating_a_missing_or_empty_file_does_nothing(path: Path) -> None:
    assert jsonl.truncate_torn_tail(path) == 0
    assert not path.exists()
    path.touch()
    assert jsonl.truncate_torn_tail(path) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"not json", "line 2 is damaged: Invalid JSON"),
        (b"", "line 2 is damaged: Invalid JSON"),
        (b"\xff\xfe", "line 2 is damaged"),
        (b"[1]", "line 2 is damaged"),
        (b"[" * 5000, "line 2 is damaged"),
        (b'{"schema_version":1,"x":"many"}', "line 2 is damaged: x: "),
        (b'{"schema_version":1,"x":1,"y":2}', "line 2 is damaged: y: "),
        (b'{"x":1}', "line 2 has no schema_version"),
        (b'{"schema_version":0,"x":1}', "line 2 has schema version 0, this edgeagent reads .* 1"),
        (b'{"schema_version":2,"z":1}', "line 2 has schema version 2, this edgeagent reads .* 1"),
    ],
)
def test_damage_is_an_error_with_its_line(path: Path, line: bytes, message: str) -> None:
    jsonl.append(path, Point(x=1))
    with path.open("ab") as file:
        file.write(line + b"\n")
    jsonl.append(path, Point(x=3))
    with pytest.raises(RunDataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_overlong_line_is_refused_without_reading_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 1 << 20)
    path.write_bytes(b"x" * (3 << 20))
    with pytest.raises(RunDataError, match="line 1 is longer than 1 MiB"):
        read(path)


def test_missing_file_and_missing_folder_are_told_apart_from_tracebacks(tmp_path: Path) -> None:
    with pytest.raises(RunDataError, match="cannot be read"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(ResourceError, match="cannot be written"):
        jsonl.append(tmp_path / "none" / "points.jsonl", Point(x=1))


def test_failed_write_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jsonl.append(path, Point(x=1))
    before = path.read_bytes()
    real_open = Path.open

    class FullDisk:
        """Takes half of what is written and then fails, as a full disk does."""

        def __init__(self, file) -> None:
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            self.file.close()

        def __getattr__(self, name: str):
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda self, *a, **k: FullDisk(real_open(self, *a, **k)))
    with pytest.raises(ResourceError, match="No space left on device"):
        jsonl.append(path, Point(x=2))
    monkeypatch.undo()
    assert path.read_bytes() == before
