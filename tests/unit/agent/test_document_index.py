"""The index that lasts: only what changed is read, nothing is lost, and nothing stays too long."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import made_documents
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.agent.tools.documents import extract, store
from edgeagent.agent.tools.documents import index as index_module
from edgeagent.agent.tools.documents.blocks import Block, PartlyReadError
from edgeagent.agent.tools.documents.extract import Extractor
from edgeagent.agent.tools.documents.index import (
    DocumentIndex,
    index_file,
    index_folder,
    index_suite,
)
from edgeagent.agent.tools.documents.passages import split_document
from edgeagent.agent.tools.documents.readers import Reader
from edgeagent.agent.tools.documents.readers.text import read_text
from edgeagent.agent.tools.documents.reading import Document
from edgeagent.agent.tools.documents.search import DocumentSearch
from edgeagent.agent.tools.documents.words import content_words
from edgeagent.config.suites import document_files, load_suite
from edgeagent.errors import ConfigError, ResourceError, ToolError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("EDGEAGENT_HOME", str(home))
    return home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    write(
        folder / "harbour.md", "# Harbour\n\nA berth costs 14 crowns.\n\n## Depth\n\nFive metres."
    )
    write(folder / "mill.txt", "The mill belongs to Ada Quern.")
    write(folder / "inn.md", "# Otter inn\n\nDinner begins at seven.")
    return folder


def write(path: Path, text: str, *, age_s: float = 60) -> None:
    """Write a file that was last changed some time ago, as most files were."""
    path.write_text(text, encoding="utf-8")
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns - int(age_s * 1e9)))


@pytest.fixture
def read_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the documents that are parsed."""
    names: list[str] = []
    read = Extractor.read

    def spied(self: Extractor, folder: Path, name: str) -> Document:
        names.append(name)
        return read(self, folder, name)

    monkeypatch.setattr(Extractor, "read", spied)
    return names


def found(index: DocumentIndex, query: str) -> list[str]:
    return [passage.source for passage in index.search(query, 10)]


# What is read again


def test_only_what_changed_is_read_again(folder: Path, read_names: list[str]) -> None:
    index_folder(folder).close()
    assert read_names == ["harbour.md", "inn.md", "mill.txt"]
    read_names.clear()

    write(folder / "inn.md", "# Otter inn\n\nBreakfast begins at six.")
    (folder / "mill.txt").unlink()
    write(folder / "new.md", "The ferry leaves at noon.")
    index = index_folder(folder)
    assert read_names == ["inn.md", "new.md"]
    assert found(index, "breakfast") == ["inn.md"]
    assert found(index, "dinner") == []
    assert found(index, "ferry") == ["new.md"]
    assert found(index, "quern") == []
    assert index.passages == 4
    index.close()
    read_names.clear()
    index_folder(folder).close()
    assert read_names == []


def test_a_file_with_new_times_only_is_not_parsed_again(
    folder: Path, read_names: list[str]
) -> None:
    index_folder(folder).close()
    read_names.clear()
    (folder / "mill.txt").touch()
    index = index_folder(folder)
    assert read_names == []
    assert found(index, "quern") == ["mill.txt"]
    index.close()


def test_a_change_within_the_clocks_step_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "mill.txt", "The mill belongs to Ada Quern.", age_s=0)
    before = (folder / "mill.txt").stat()
    index_folder(folder).close()
    (folder / "mill.txt").write_text("The mill belongs to Bea Quern.", encoding="utf-8")
    os.utime(folder / "mill.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    stat_of = Path.stat

    def coarse(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        facts = stat_of(self, follow_symlinks=follow_symlinks)
        return before if self.name == "mill.txt" else facts  # as if all times were the same

    monkeypatch.setattr(Path, "stat", coarse)
    index = index_folder(folder)
    assert "Bea" in index.search("quern", 1)[0].text
    index.close()


def test_progress_is_told(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    index_folder(folder, lambda done, total: told.append((done, total))).close()
    assert told == [(1, 3), (2, 3), (3, 3)]


WORDS = ("harbour", "berth", "crowns", "mill", "otter", "inn", "seven", "ferry")
TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), max_size=4
).map("\n\n# Part\n\n".join)
STEPS = st.lists(
    st.dictionaries(st.sampled_from(["a.md", "b.md", "c.txt", "d.txt"]), st.none() | TEXTS),
    min_size=1,
    max_size=4,
)


@settings(max_examples=10, deadline=None)
@given(steps=STEPS)
def test_an_index_with_a_past_is_as_good_as_a_new_one(steps: list[dict[str, str | None]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "documents")
        folder.mkdir()
        write(folder / "z.md", "harbour otter")
        for step in steps:
            for name, text in step.items():
                if text is None:
                    (folder / name).unlink(missing_ok=True)
                else:
                    write(folder / name, text)
            index = DocumentIndex(folder, file=Path(place, "index.sqlite"))
            new = DocumentIndex(folder)
            for query in (*WORDS, "otter inn", "harbour berth crowns", "ferry walrus"):
                assert index.search(query, 20) == new.search(query, 20)
                assert index.coverage(query) == new.coverage(query)
            index.close()
            new.close()


def test_the_core_suite_is_ranked_by_plain_bm25() -> None:
    """Figures of suites rest on it: passages in the order of the documents, SQLite's ranking."""
    suite = load_suite("core")
    assert suite.documents_dir is not None
    passages = [
        (passage.title, passage.text, passage.source)
        for file in document_files(suite.documents_dir)
        for passage in split_document(file.name, read_text(file.read_bytes()))
    ]
    plain = sqlite3.connect(":memory:")
    plain.execute(
        "CREATE VIRTUAL TABLE plain USING fts5(title, text, source UNINDEXED, "
        "tokenize = 'porter unicode61 remove_diacritics 2')"
    )
    plain.executemany("INSERT INTO plain VALUES (?, ?, ?)", passages)
    index = index_suite(suite.documents_dir)
    assert index.passages == len(passages) > 50
    for task in suite.spec.task:
        match = " OR ".join(f'"{word}"' for word in content_words(task.question))
        ranked = plain.execute(
            "SELECT title, text, source FROM plain WHERE plain MATCH ? "
            "ORDER BY bm25(plain, 2.0, 1.0), rowid LIMIT 5",
            (match,),
        ).fetchall()
        assert [(p.title, p.text, p.source) for p in index.search(task.question, 5)] == ranked
    index.close()
    plain.close()


# Interruptions, other processes, damage


def test_an_interrupted_indexing_goes_on_where_it_was(folder: Path, read_names: list[str]) -> None:
    def interrupt(done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_folder(folder, interrupt)
    assert read_names == ["harbour.md", "inn.md"]
    index = index_folder(folder)
    assert read_names == ["harbour.md", "inn.md", "mill.txt"]
    assert index.passages == 4
    index.close()


def test_an_interruption_within_a_document_leaves_its_former_passages(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_folder(folder).close()
    write(folder / "inn.md", "# Otter inn\n\nBreakfast begins at six.")
    remove = store.PassageStore._remove

    def interrupted(self: store.PassageStore, name: bytes) -> None:
        remove(self, name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store.PassageStore, "_remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index_folder(folder)
    kept = store.PassageStore(index_file(folder), folder)
    assert [passage.source for passage in kept.best(("dinner",), 5)] == ["inn.md"]
    kept.close()


CHILD = """
import sys
from pathlib import Path
from edgeagent.agent.tools.documents.index import index_folder
for _ in range(3):
    index = index_folder(Path(sys.argv[1]))
    assert not index.notes, index.notes
    assert index.passages == 60, index.passages
    assert len(index.search("otter", 100)) == 60
    index.close()
"""


def test_two_processes_may_index_the_same_folder(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        write(folder / f"{number}.md", f"Otter {number}.", age_s=number % 2)
    command = [sys.executable, "-c", CHILD, str(folder)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outcomes = [(process.communicate()[1], process.returncode) for process in running]
    assert outcomes == [("", 0)] * 2
    assert [file.suffix for file in (home / "indexes").iterdir()] == [".sqlite"]


def test_an_index_of_another_version_is_made_anew(folder: Path, read_names: list[str]) -> None:
    index_folder(folder).close()
    database = sqlite3.connect(index_file(folder))
    database.execute("PRAGMA user_version = 999")
    database.execute("DROP TABLE documents")
    database.close()
    read_names.clear()
    index = index_folder(folder)
    assert len(read_names) == 3
    assert index.passages == 4
    index.close()


@pytest.mark.parametrize("damage", ["text", "zeros within", "empty"])
def test_a_damaged_index_is_made_anew(folder: Path, damage: str) -> None:
    index_folder(folder).close()
    file = index_file(folder)
    content = file.read_bytes()
    file.write_bytes(
        {
            "text": b"no database, but long enough to look like one" * 100,
            "zeros within": content[:1024] + bytes(len(content) - 1024),
            "empty": b"",
        }[damage]
    )
    index = index_folder(folder)
    assert index.notes == ()
    assert found(index, "berth") == ["harbour.md"]
    index.close()


def test_damage_that_shows_late_is_an_error_of_the_tool_and_mended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = index_folder(folder)
    search = DocumentSearch(index)

    def damaged(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with monkeypatch.context() as patched:
        patched.setattr(store.PassageStore, "_rows", damaged)
        assert search.offer("What does a berth cost?", ()) is not None
        with pytest.raises(ToolError, match="malformed"):
            search.run({"query": "berth"})
    index.close()
    assert not index_file(folder).exists()


def test_an_index_that_cannot_be_kept_is_in_memory(folder: Path, home: Path) -> None:
    home.mkdir()
    (home / "indexes").write_text("a file where the folder should be", encoding="utf-8")
    index = index_folder(folder)
    (note,) = index.notes
    assert re.search(r"cannot be kept in .*indexes .*in memory", note)
    assert found(index, "berth") == ["harbour.md"]
    index.close()


# Privacy


@pytest.mark.skipif(os.name != "posix", reason="rights of other systems are inherited")
def test_nobody_else_may_read_the_index(folder: Path, home: Path) -> None:
    index = index_folder(folder)
    assert stat.S_IMODE((home / "indexes").stat().st_mode) == 0o700
    files = list((home / "indexes").iterdir())
    assert index_file(folder) in files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    index.close()


def test_nothing_of_removed_documents_stays(folder: Path) -> None:
    write(folder / "secret.txt", "The password is zwetschgenknoedel.")
    index_folder(folder).close()
    assert b"zwetschgenknoed" in index_file(folder).read_bytes()
    write(folder / "secret.txt", "There is no password.")
    index_folder(folder).close()
    assert b"zwetschgenkno" not in index_file(folder).read_bytes()
    assert b"quern" in index_file(folder).read_bytes().lower()
    (folder / "mill.txt").unlink()
    index_folder(folder).close()
    assert b"quern" not in index_file(folder).read_bytes().lower()


def test_indexes_of_folders_that_are_gone_are_deleted(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    index_folder(other).close()
    shutil.rmtree(other)
    index_folder(folder).close()
    assert list(index_file(folder).parent.iterdir()) == [index_file(folder)]


# What is left out


def test_a_broken_document_is_left_out_with_a_note(folder: Path, read_names: list[str]) -> None:
    pytest.importorskip("pypdf")
    (folder / "bad\x1b[2J\n.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    (folder / "good.pdf").write_bytes(made_documents.pdf(["Tern.", "The heron eats fish."]))
    for name in ("bad\x1b[2J\n.pdf", "good.pdf"):
        os.utime(folder / name, (0, 0))
    index = index_folder(folder)
    (note,) = index.notes
    assert re.fullmatch(r"bad\(2J \.pdf was not read: it is damaged or no \.pdf file .*\.", note)
    result = DocumentSearch(index).run({"query": "heron"})
    assert result.text == "[Good, page 2] The heron eats fish."
    assert result.sources == ("good.pdf, page 2",)
    index.close()


def test_a_document_that_is_read_in_part_is_searched_with_a_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(data: bytes) -> Iterator[Block]:
        yield Block("The heron eats fish.", page=1)
        raise PartlyReadError("1 of its 2 pages cannot be read")

    monkeypatch.setitem(index_module.READERS, ".pdf", Reader(read, max_bytes=99, isolated=False))
    write(folder / "birds.pdf", "anything")
    note = "birds.pdf was read in part: 1 of its 2 pages cannot be read."
    for _ in range(2):
        index = index_folder(folder)
        assert index.notes == (note,)
        assert found(index, "heron") == ["birds.pdf"]
        index.close()


def test_a_parser_that_cannot_be_started_is_no_fault_of_the_document(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "page.html").write_bytes(b"<p>The heron eats fish.")
    with monkeypatch.context() as patched:
        patched.setattr(extract, "JsonChild", _without_disk)
        with pytest.raises(ResourceError, match="No space left"):
            index_folder(folder)
    index = index_folder(folder)
    assert index.notes == ()
    assert found(index, "heron") == ["page.html"]
    index.close()


def _without_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_broken_document_is_tried_again_by_another_parser(
    folder: Path, read_names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pypdf")
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    past_ns = (folder / "bad.pdf").stat().st_ctime_ns + int(60e9)
    monkeypatch.setattr("edgeagent.agent.tools.documents.refresh.time.time_ns", lambda: past_ns)
    first = index_folder(folder)
    first.close()
    read_names.clear()
    again = index_folder(folder)
    assert (read_names, again.notes) == ([], first.notes)
    again.close()
    monkeypatch.setattr(index_module.READERS[".pdf"].__class__, "version", lambda self: "999")
    index_folder(folder).close()
    assert read_names == ["bad.pdf"]


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        reader = index_module.READERS[".pdf"].__class__
        patched.setattr(reader, "is_installed", lambda self: self.package is None)
        yield


@pytest.mark.usefixtures("without_packages")
def test_a_missing_package_is_said_and_the_rest_is_searched(folder: Path) -> None:
    for name in ("a.pdf", "b.pdf", "c.docx"):
        (folder / name).write_bytes(b"anything")
    index = index_folder(folder)
    assert index.notes == (
        "2 .pdf documents were not read: that needs the package pypdf; run: "
        "pip install 'edgeagent[documents]'.",
        "1 .docx document was not read: that needs the package python-docx; run: "
        "pip install 'edgeagent[documents]'.",
    )
    assert found(index, "berth") == ["harbour.md"]
    index.close()
    with pytest.raises(ConfigError, match=r"edgeagent\[documents\]"):
        index_suite(folder)


@pytest.mark.usefixtures("without_packages")
def test_a_folder_that_needs_a_missing_package_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(b"anything")
    with pytest.raises(ConfigError, match=r"no documents.*edgeagent\[documents\]"):
        index_folder(folder)


def test_many_notes_are_cut_short(folder: Path) -> None:
    for number in range(30):
        (folder / f"{number:02}.md").write_bytes(b"x")
        os.truncate(folder / f"{number:02}.md", (8 << 20) + 1)
    index = DocumentIndex(folder)
    assert len(index.notes) == 20
    assert index.notes[0] == "00.md was not read: it is larger than 8 MiB."
    assert index.notes[-1] == "11 more were not read."
    index.close()


def test_too_many_documents_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeagent.agent.tools.documents.refresh.MAX_FILES", 2)
    with pytest.raises(ConfigError, match="more than 2 documents"):
        index_folder(folder)
