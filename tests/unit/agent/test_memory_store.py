from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgeagent.agent.memory import store as module
from edgeagent.agent.memory.store import StoreLimits, TraceStore
from edgeagent.agent.memory.trace import SolvedCall, SolvedTrace
from edgeagent.errors import ConfigError, ResourceError


def trace(question: str = "What is 2 + 3?", answer: str = "5", result: str = "5") -> SolvedTrace:
    return SolvedTrace(
        question=question,
        calls=(SolvedCall(tool="calculator", arguments={"expression": "2 + 3"}, result=result),),
        answer=answer,
        tools=("calculator",),
        model_id="m",
        accepted_by="user",
        solved_utc="2026-01-01T00:00:00+00:00",
    )


def questions(store: TraceStore) -> list[str]:
    return [stored.trace.question for stored in store.traces()]


def test_what_is_stored_comes_back_also_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with TraceStore(path) as store:
        number = store.add(trace())
    with TraceStore(path, create=False) as store:
        (stored,) = store.traces()
    assert (stored.id, stored.trace) == (number, trace())
    assert [file.name for file in tmp_path.iterdir()] == ["memory.sqlite"]


def test_the_same_question_is_stored_once_and_the_newest_stays(tmp_path: Path) -> None:
    with TraceStore(tmp_path / "m") as store:
        store.add(trace(answer="4"))
        store.add(trace("what is  2 + 3?", answer="5"))
        (stored,) = store.traces()
    assert stored.trace.answer == "5"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.touch()
    path.chmod(0o644)
    with TraceStore(path) as store:
        store.add(trace())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_oldest_go_first_when_there_are_too_many(tmp_path: Path) -> None:
    with TraceStore(tmp_path / "m", StoreLimits(max_traces=3)) as store:
        for number in range(5):
            store.add(trace(f"question {number}"))
        assert questions(store) == ["question 2", "question 3", "question 4"]


def test_the_oldest_go_first_when_they_are_too_large(tmp_path: Path) -> None:
    size = len(trace("question 0").model_dump_json())
    with TraceStore(tmp_path / "m", StoreLimits(max_bytes=2 * size + size // 2)) as store:
        for number in range(4):
            store.add(trace(f"question {number}"))
        assert questions(store) == ["question 2", "question 3"]


def test_one_that_is_larger_than_all_together_is_not_kept(tmp_path: Path) -> None:
    with TraceStore(tmp_path / "m", StoreLimits(max_bytes=10)) as store:
        store.add(trace())
        assert store.traces() == ()


def test_forgetting_one_some_and_all(tmp_path: Path) -> None:
    with TraceStore(tmp_path / "m") as store:
        first = store.add(trace("Where does Orla live?"))
        store.add(trace("How old is the boat?", answer="ORLA knows"))
        store.add(trace("What is 2 + 3?"))
        store.add(trace("What is 3 + 3?", result="orla"))
        assert store.forget(first) is True
        assert store.forget(first) is False
        assert store.forget_text("Orla") == 2
        assert questions(store) == ["What is 2 + 3?"]
        assert store.clear() == 1
        assert store.traces() == ()


def test_what_is_forgotten_is_not_in_the_file_any_more(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with TraceStore(path) as store:
        number = store.add(trace("Where is the PELICAN?"))
        assert b"PELICAN" in path.read_bytes()
        store.forget(number)
    assert b"PELICAN" not in path.read_bytes()


def test_a_missing_file_is_made_only_where_that_is_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no memory"):
        TraceStore(tmp_path / "m", create=False)
    assert not (tmp_path / "m").exists()
    with pytest.raises(ResourceError, match="cannot be opened"):
        TraceStore(tmp_path / "no" / "m")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda path: path.write_bytes(b"no database at all" * 100), "no memory or is damaged"),
        (lambda path: _database(path, "CREATE TABLE notes (text)"), "another program"),
        (lambda path: _database(path, "PRAGMA user_version = 3"), "another program"),
        (
            lambda path: _database(
                path,
                f"PRAGMA application_id = {module.APPLICATION_ID}",
                "PRAGMA user_version = 2",
                module._TABLE,
            ),
            "version 2",
        ),
        (
            lambda path: _database(
                path,
                f"PRAGMA application_id = {module.APPLICATION_ID}",
                f"PRAGMA user_version = {module.SCHEMA_VERSION}",
                module._TABLE,
                "CREATE TRIGGER t AFTER INSERT ON traces BEGIN DELETE FROM traces; END",
            ),
            "damaged",
        ),
    ],
)
def test_a_file_that_is_no_memory_is_left_as_it_is(tmp_path: Path, prepare, words: str) -> None:
    path = tmp_path / "m"
    prepare(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=words):
        TraceStore(path)
    assert path.read_bytes() == before


def _database(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_a_file_of_absurd_size_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ConfigError, match="far larger"):
        TraceStore(path)


def test_rows_that_are_no_traces_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with TraceStore(path) as store:
        store.add(trace())
    db = sqlite3.connect(path)
    hostile = [
        b"\x00\xff",
        7,
        "[]",
        '{"question": "x"}',
        trace().model_copy(update={"question": "x" * 5000}).model_dump_json(),
        trace().model_copy(update={"answer": "y" * 9000}).model_dump_json(),
        "[" * 5000,
    ]
    db.executemany(
        "INSERT INTO traces (question_sha256, trace) VALUES (?, ?)", list(enumerate(hostile))
    )
    db.commit()
    db.close()
    with TraceStore(path) as store:
        assert questions(store) == ["What is 2 + 3?"]
        assert store.clear() == 1 + len(hostile)


def test_an_interrupted_change_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TraceStore(tmp_path / "m") as store:
        store.add(trace(answer="4"))

        def interrupt(_db: sqlite3.Connection) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(store, "_evict", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.add(trace(answer="5"))
        monkeypatch.undo()
        (stored,) = store.traces()
        assert stored.trace.answer == "4"
        store.add(trace("another"))
        assert len(store.traces()) == 2


def test_another_process_that_holds_the_file_too_long_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "m"
    with TraceStore(path) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(ResourceError, match="another program"):
            store.add(trace())
        holder.execute("ROLLBACK")
        holder.close()
        store.add(trace())


WRITER = """
import sys
from pathlib import Path
from edgeagent.agent.memory.store import TraceStore
from edgeagent.agent.memory.trace import SolvedTrace

path, name = sys.argv[1:]
with TraceStore(Path(path)) as store:
    for number in range(40):
        store.add(SolvedTrace(
            question=f"{name} {number}", calls=(), answer="a", tools=("t",), model_id="m",
            accepted_by="user", solved_utc="",
        ))
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], env=os.environ)
        for name in ("left", "right")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with TraceStore(path) as store:
        assert sorted(questions(store)) == sorted(
            f"{name} {number}" for name in ("left", "right") for number in range(40)
        )


def test_threads_share_a_store(tmp_path: Path) -> None:
    with TraceStore(tmp_path / "m") as store:
        threads = [
            threading.Thread(target=lambda n=n: store.add(trace(f"question {n}")))  # type: ignore[misc]
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.traces()) == 8


def test_the_version_changes_with_changes_of_others(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with TraceStore(path) as store, TraceStore(path) as other:
        before = store.version()
        assert store.version() == before
        other.add(trace())
        changed = store.version()
        assert changed != before
        store.add(trace("another"))
        assert store.version() != changed
