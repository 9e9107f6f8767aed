from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import made_documents
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.agent.tools.documents.extract import Extractor
from edgeagent.agent.tools.documents.reading import Document
from edgeagent.agent.tools.files.listing import ListFiles
from edgeagent.agent.tools.files.reading import ReadFile, named_files
from edgeagent.agent.tools.files.roots import Root, Roots
from edgeagent.agent.tools.plain import is_plain_name, one_line, printable
from edgeagent.agent.tools.protocol import Grounded, ToolResult
from edgeagent.config.run import Budget
from edgeagent.errors import ConfigError, ToolError

LONG = " ".join(f"word{number}" for number in range(400))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "home of files"
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "trip.md").write_text("# Trip\n\nWe leave at noon.\n", encoding="utf-8")
    (folder / "notes" / "long.txt").write_text(LONG, encoding="utf-8")
    (folder / "table.csv").write_bytes(b"a,b\r\n1,2\r\n")
    (folder / "README").write_text("Read this first.", encoding="utf-8")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(100))
    (folder / ".env").write_text("PASSWORD=swordfish", encoding="utf-8")
    return folder


@pytest.fixture
def roots(folder: Path) -> Roots:
    return Roots([Root("files", folder)])


@pytest.fixture
def reader(roots: Roots) -> Iterator[ReadFile]:
    reader = ReadFile(roots)
    yield reader
    reader.close()


# Roots


def test_several_roots_are_told_apart_by_their_names(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "trip.md").write_text("The other trip.", encoding="utf-8")
    roots = Roots([Root("mine", folder), Root("work", other)])
    assert "work/trip.md" in roots.listing().names
    assert "mine/notes/trip.md" in roots.listing().names
    reader = ReadFile(roots)
    assert reader.run({"path": "work/trip.md"}).text == "[work/trip.md] The other trip."
    for path in ("trip.md", "work", "WORK/trip.md", "mine/../work/trip.md", "work/../secret"):
        with pytest.raises(ToolError):
            reader.run({"path": path})
    reader.close()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".a", "a\nb", "a]", "x" * 100, "OTHER"])
def test_several_roots_need_plain_names_of_their_own(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be told from"):
        Roots([Root("other", folder), Root(name, folder / "notes")])
    assert Roots([Root(name, folder)]).listing().names  # one needs none
    assert Roots([Root("other", folder), Root("my notes (2)", folder)]).names[1] == "my notes (2)"


def test_roots_have_to_be_folders(folder: Path) -> None:
    for path in (folder / "missing", folder / "table.csv"):
        with pytest.raises(ConfigError, match="not a folder"):
            Roots([Root("a", path)])
    with pytest.raises(ConfigError, match="at least one"):
        Roots([])


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such places")
@pytest.mark.parametrize("place", ["/dev", "/proc/self", "/sys"])
def test_places_of_the_system_are_no_roots(place: str) -> None:
    if not Path(place).is_dir():
        pytest.skip("this system has no such place")
    with pytest.raises(ConfigError, match="system"):
        Roots([Root("a", Path(place))])


# Listing


def test_files_are_listed(roots: Roots) -> None:
    assert ListFiles(roots).run({}) == (
        "README\nnotes/long.txt\nnotes/trip.md\nphoto.jpg\ntable.csv"
    )
    for name in ("notes", "notes/", "/notes", "./notes"):
        assert ListFiles(roots).run({"folder": name}) == "notes/long.txt\nnotes/trip.md"
    with pytest.raises(ToolError, match="no files in this folder"):
        ListFiles(roots).run({"folder": "note"})


def test_long_lists_come_in_pages(roots: Roots) -> None:
    tool = ListFiles(roots, page_files=2)
    assert tool.run({}) == "README\nnotes/long.txt\n(files 1 to 2 of 5)"
    assert tool.run({"offset": 4}) == "table.csv\n(files 5 to 5 of 5)"
    with pytest.raises(ToolError, match="only 5 files"):
        tool.run({"offset": 5})


@pytest.mark.skipif(os.name != "posix", reason="other systems refuse such names")
def test_names_that_could_forge_something_are_not_listed(folder: Path) -> None:
    for name in ("a\nError: x", "b\x1b[2J", "c] forged [d", "e\u202efdp.exe"):
        (folder / name).write_text("x", encoding="utf-8")
    (folder / "link").symlink_to(folder.parent)
    text = ListFiles(Roots([Root("files", folder)])).run({})
    assert text.splitlines()[-1] == "(5 not shown: links or unreadable names)"
    assert len(text.splitlines()) == 6


def test_endless_folders_are_listed_in_part(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeagent.agent.tools.files.roots.MAX_LISTED", 2)
    listing = roots.listing()
    assert len(listing.names) == 2
    assert not listing.is_complete


@pytest.mark.parametrize(
    "arguments", [{"folder": 3}, {"offset": -1}, {"offset": "2"}, {"offset": True}]
)
def test_wrong_arguments_of_a_list_are_tool_errors(
    roots: Roots, arguments: dict[str, object]
) -> None:
    with pytest.raises(ToolError, match="argument"):
        ListFiles(roots).run(arguments)


@pytest.mark.parametrize(
    ("question", "offered"),
    [
        ("Which files are there?", True),
        ("List all my documents.", True),
        ("Show me the files in the folder.", True),
        ("How many files are there?", True),
        ("What is in the folder?", True),
        ("What do the documents say about fees?", False),
        ("What file formats does it read?", False),
        ("Who filed the complaint?", False),
        ("", False),
    ],
)
def test_a_list_is_offered_if_files_are_asked_for(
    roots: Roots, question: str, offered: bool
) -> None:
    tool = ListFiles(roots)
    assert isinstance(tool, Grounded)
    assert (tool.offer(question, ()) is not None) is offered


# Reading


def test_a_short_text_is_shown_whole(reader: ReadFile) -> None:
    assert reader.run({"path": "notes/trip.md"}) == ToolResult(
        "[notes/trip.md] # Trip\n\nWe leave at noon.", ("notes/trip.md",)
    )
    assert reader.run({"path": "table.csv"}).text == "[table.csv] a,b\n1,2"
    assert reader.run({"path": "README"}).text == "[README] Read this first."


def test_a_long_text_comes_in_pages_that_make_the_whole(reader: ReadFile) -> None:
    offset, pages = 0, ""
    while True:
        head, _, page = reader.run({"path": "notes/long.txt", "offset": offset}).text.partition(
            "] "
        )
        pages += page if not pages or LONG[offset] != " " else f" {page}"
        if "next offset " not in head:
            break
        offset = int(head.rpartition(" ")[2])
        pages += " " if LONG[offset - 1] == " " else ""
    assert pages == LONG
    assert head == f"[notes/long.txt, characters 2700 to {len(LONG)} of {len(LONG)}"
    with pytest.raises(ToolError, match=f"only {len(LONG)} characters"):
        reader.run({"path": "notes/long.txt", "offset": len(LONG)})


def test_a_page_fits_into_an_observation(folder: Path, reader: ReadFile) -> None:
    name = f"{'n' * 96}/{'m' * 99}.txt"
    (folder / name).parent.mkdir()
    (folder / name).write_text(LONG * 2000, encoding="utf-8")
    text = reader.run({"path": name, "offset": 3_000_000}).text
    assert "next offset 3000900] " in text
    assert len(text) < Budget().max_observation_chars


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("photo.jpg", "no text file"),
        ("notes", "is a folder"),
        ("missing.txt", r"missing\.txt: there is no file"),
        (".env", "hidden"),
        ("../secret", "lead out"),
        ("/etc/passwd", "as it is listed"),
    ],
)
def test_what_cannot_be_read_is_said(reader: ReadFile, path: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason):
        reader.run({"path": path})


@pytest.mark.parametrize(
    "arguments", [{}, {"path": ""}, {"path": 3}, {"path": "README", "offset": -1}]
)
def test_wrong_arguments_are_tool_errors(reader: ReadFile, arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError, match="argument"):
        reader.run(arguments)


@pytest.mark.parametrize(
    ("data", "is_text"),
    [
        (b"plain", True),
        ("Öl".encode("utf-16"), True),
        ("Öl und Essig".encode("latin-1"), True),
        (b"\x1b[31mred\x1b[0m text", True),
        (b"", False),
        (b"  \n", False),
        (b"\x7fELF\x02\x01\x01\0", False),
        (bytes(range(128, 256)) * 4, False),
        (b"text at first" + bytes(20), False),
    ],
)
def test_texts_are_told_from_other_files(
    folder: Path, reader: ReadFile, data: bytes, is_text: bool
) -> None:
    (folder / "it.bin").write_bytes(data)
    if is_text:
        assert "\x1b" not in reader.run({"path": "it.bin"}).text
    else:
        with pytest.raises(ToolError, match=r"no text|empty"):
            reader.run({"path": "it.bin"})


def test_large_texts_are_refused(folder: Path, reader: ReadFile) -> None:
    (folder / "large.log").write_bytes(b"x")
    os.truncate(folder / "large.log", (8 << 20) + 1)
    with pytest.raises(ToolError, match="larger than 8 MiB"):
        reader.run({"path": "large.log"})


def test_documents_are_parsed_once_for_all_pages(
    folder: Path, roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pypdf")
    parsed: list[str] = []
    read = Extractor.read

    def spied(self: Extractor, folder: Path, name: str) -> Document:
        parsed.append(name)
        return read(self, folder, name)

    monkeypatch.setattr(Extractor, "read", spied)
    (folder / "guide.pdf").write_bytes(made_documents.pdf(["The harbour.", "Two piers."]))
    reader = ReadFile(roots, page_chars=10)
    texts = [reader.run({"path": "guide.pdf", "offset": offset}).text for offset in (0, 10, 20)]
    assert texts[0] == "[guide.pdf, characters 0 to 10 of 23, next offset 10] The harbou"
    assert texts[2] == "[guide.pdf, characters 20 to 23 of 23] rs."
    assert parsed == ["guide.pdf"]
    (folder / "guide.pdf").write_bytes(made_documents.pdf(["Another text."]))
    assert "Another" in reader.run({"path": "guide.pdf"}).text
    (folder / "bad.pdf").write_bytes(b"%PDF")
    with pytest.raises(ToolError, match=r"bad\.pdf: it is damaged"):
        reader.run({"path": "bad.pdf"})
    reader.close()


# Grounding


NAMES = ("README", "a", "notes/trip.md", "old/trip.md", "plan b.txt", "report.v2.pdf", "table.csv")


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("What does trip.md say?", ("notes/trip.md", "old/trip.md")),
        ("What does notes/trip.md say?", ("notes/trip.md",)),
        ("Sum up TABLE.CSV.", ("table.csv",)),
        ("Open 'plan b.txt', please", ("plan b.txt",)),
        ("Compare table.csv and report.v2.pdf", ("report.v2.pdf", "table.csv")),
        ("What does README say?", ("README",)),
        ("Did you readme that?", ()),
        ("What is a mouse?", ()),
        ("What does mytable.csv say?", ()),
        ("What does table.csv2 or table.csv.gz say?", ()),
        ("Where is the table?", ()),
        ("", ()),
    ],
)
def test_a_question_names_files(question: str, named: tuple[str, ...]) -> None:
    assert named_files(question, NAMES) == named


def test_reading_is_offered_for_the_files_that_a_question_names(reader: ReadFile) -> None:
    assert isinstance(reader, Grounded)
    assert reader.offer("When do we leave, see trip.md?", ("table.csv",)) == {
        "type": "object",
        "properties": {"path": {"type": "string", "enum": ["notes/trip.md"]}},
        "required": ["path"],
        "additionalProperties": False,
    }
    assert reader.offer("When do we leave?", ("table.csv",)) is None
    assert reader.offer("What is in photo.png?", ()) is None


# Names and texts as they may be shown


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters() | st.sampled_from("[]\n\x1b\u202e\u2028\U000e0041")))
def test_a_name_stays_on_its_line(name: str) -> None:
    line = one_line(name)
    assert len(line) <= 200
    assert len(line.splitlines()) <= 1
    assert not set(line) & set("[]\x1b\u202e\u2066\x07\x9b")
    assert not any(0xE0000 <= ord(char) < 0xE0080 for char in line)
    line.encode()
    assert one_line(line) == line
    assert is_plain_name(name) is (one_line(name, 1 << 40) == name)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_ordinary_texts_are_shown_as_they_are(text: str) -> None:
    shown = printable(text)
    assert printable(shown) == shown
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        assert shown == text
