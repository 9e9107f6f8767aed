from __future__ import annotations

import io
import zipfile
import zlib

import made_documents
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.agent.tools.documents.blocks import Block, PartlyReadError
from edgeagent.agent.tools.documents.readers import READERS
from edgeagent.agent.tools.documents.readers import docx as docx_reader
from edgeagent.agent.tools.documents.readers import pdf as pdf_reader
from edgeagent.agent.tools.documents.readers.html import read_html
from edgeagent.agent.tools.documents.readers.text import decode, read_text
from edgeagent.config.suites import DOCUMENT_SUFFIXES
from edgeagent.errors import ToolError


def html(page: str) -> list[Block]:
    return list(read_html(page.encode()))


def texts(blocks: list[Block]) -> list[str]:
    return [f"# {block.text}" if block.is_heading else block.text for block in blocks]


def test_every_kind_of_document_has_a_reader() -> None:
    assert tuple(READERS) == DOCUMENT_SUFFIXES


# Texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_are_decoded_as_their_mark_says(encoding: str) -> None:
    blocks = list(read_text("# Café\r\n\r\nÖl\rund Salz\n".encode(encoding)))
    assert blocks == [Block("Café", is_heading=True), Block("Öl und Salz")]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert decode(b"a\xff\xfeb") == "a\ufffd\ufffdb"


# HTML


def test_a_page_gives_its_title_headings_and_paragraphs() -> None:
    page = """<!doctype html><html><head><title>Tern &amp; Bay</title><style>p {}</style></head>
    <body><h1>The <em>harbour</em><br>guide</h1><p>Two piers.<p>A <b>light</b>house.
    <ul><li>one<li>two</ul><script>document.write("<p>no</p>")</script>
    <table><tr><td>berth<td>14 crowns<tr><th>boat</th><th>9</th></tr></table>end</body></html>"""
    assert texts(html(page)) == [
        "# Tern & Bay",
        "# The harbour guide",
        "Two piers.",
        "A lighthouse.",
        "one",
        "two",
        "berth | 14 crowns",
        "boat | 9",
        "end",
    ]


@pytest.mark.parametrize(
    "hidden",
    [
        "<div hidden>secret</div>",
        "<div style='color:red; DISPLAY : none'><div>secret</div>secret</div>",
        "<span style='visibility:hidden'>secret</span>",
        "<div aria-hidden=true><br><img>secret<p>secret</div>",
        "<template><p>secret</p></template>",
        "<svg><text>secret</text></svg>",
        "<p hidden>secret",
        "<p hidden>secret<b>secret</b></p>",
        "<div><span hidden>secret</div>",
        "<div hidden>secret</b></em>secret</div>",
        "<textarea>secret</textarea>",
        "<!-- secret -->",
        "<script>var a = '</p>secret'</script>",
        "<p>\U000e0073\U000e0065</p>",
    ],
)
def test_what_a_reader_cannot_see_is_left_out(hidden: str) -> None:
    assert texts(html(f"<p>before</p>{hidden}<p>after</p>")) == ["before", "after"]


def test_the_next_of_its_kind_ends_a_hidden_element_without_end() -> None:
    page = "<table><tr><td hidden>no<td>yes</table><ul><li hidden>no<li>yes</ul>"
    assert texts(html(page)) == ["yes", "yes"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('<meta charset="iso-8859-1"><p>Caf\xe9'.encode("latin-1"), "Café"),
        (b"<meta http-equiv=x content='text/html; charset=windows-1252'><p>\x80 5", "€ 5"),
        ('<meta charset="latin-1"><p>Café'.encode("utf-8-sig"), "Café"),
        ("<p>Café".encode(), "Café"),
        (b"<meta charset=rot13><p>plain", "plain"),
        (b"<meta charset=no-such-thing><p>plain", "plain"),
    ],
)
def test_pages_are_decoded_as_they_declare(data: bytes, text: str) -> None:
    assert texts(list(read_html(data))) == [text]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *("<p>", "</p>", "<div hidden>", "</div>", "<td>", "</td>", "<h1>", "</h1>"),
                *("<script>", "</script>", "word ", "<br/>", "<!--", "-->", "&amp;", "&#x1b;"),
                *("<", "</", "<![x"),
            ]
        ),
        max_size=30,
    )
)
def test_any_page_is_read(parts: list[str]) -> None:
    for block in html("".join(parts)):
        assert block.text
        assert "\x1b" not in block.text
        assert block.text == " ".join(block.text.split())


# PDF


def test_a_pdf_gives_its_pages() -> None:
    pytest.importorskip("pypdf")
    data = made_documents.pdf(
        ["The harbour has two\npiers. It was en-\nlarged in 1887.\nNew line.", "", "Fees (14)."]
    )
    assert list(pdf_reader.read_pdf(data)) == [
        Block("The harbour has two piers. It was enlarged in 1887.", page=1),
        Block("New line.", page=1),
        Block("Fees (14).", page=3),
    ]


def test_a_pdf_may_be_protected_against_changes_but_not_by_a_password() -> None:
    pytest.importorskip("pypdf")
    open_to_all = made_documents.encrypted_pdf(["Tern."], user_password="")
    assert [block.text for block in pdf_reader.read_pdf(open_to_all)] == ["Tern."]
    closed = made_documents.encrypted_pdf(["Tern."], user_password="swordfish")
    with pytest.raises(ToolError, match="password"):
        list(pdf_reader.read_pdf(closed))


def test_a_package_that_an_encryption_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pypdf = pytest.importorskip("pypdf")
    data = made_documents.encrypted_pdf(["Tern."], user_password="")

    def decrypt(*_: object) -> None:
        raise pypdf.errors.DependencyError("cryptography>=3.1 is required for AES algorithm")

    monkeypatch.setattr(pypdf.PdfReader, "decrypt", decrypt)
    with pytest.raises(ToolError, match="pip install cryptography"):
        list(pdf_reader.read_pdf(data))


def test_a_pdf_without_text_is_said_to_have_none() -> None:
    pytest.importorskip("pypdf")
    with pytest.raises(ToolError, match="pictures"):
        list(pdf_reader.read_pdf(made_documents.pdf(["", ""])))


def test_pages_that_cannot_be_read_do_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pypdf = pytest.importorskip("pypdf")
    extract_text = pypdf.PageObject.extract_text
    damaged = {1}

    def failing(page: object) -> str:
        text = extract_text(page)
        if int(text) in damaged:
            raise KeyError("/ToUnicode")
        return str(text)

    monkeypatch.setattr(pypdf.PageObject, "extract_text", failing)
    reading = pdf_reader.read_pdf(made_documents.pdf(["1", "2", "3"]))
    assert [next(reading), next(reading)] == [Block("2", page=2), Block("3", page=3)]
    with pytest.raises(PartlyReadError, match="1 of its 3 pages"):
        next(reading)
    damaged |= {2, 3}
    with pytest.raises(ToolError, match="none of its pages"):
        list(pdf_reader.read_pdf(made_documents.pdf(["1", "2", "3"])))


def test_a_pdf_with_too_many_pages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pypdf")
    monkeypatch.setattr(pdf_reader, "MAX_PAGES", 2)
    with pytest.raises(ToolError, match="3 pages"):
        list(pdf_reader.read_pdf(made_documents.pdf(["a", "b", "c"])))


# Word


def test_a_word_document_gives_headings_paragraphs_and_rows() -> None:
    pytest.importorskip("docx")
    assert texts(list(docx_reader.read_docx(made_documents.docx()))) == [
        "# Tern Bay harbour",
        "The harbour has two piers.",
        "# Fees",
        "berth | 14 crowns",
        "Fishing boats pay nothing.",
        "showers",
    ]


def test_a_word_document_that_unpacks_without_measure_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(1 << 20))
    monkeypatch.setattr(docx_reader, "MAX_UNPACKED_BYTES", (1 << 20) - 1)
    with pytest.raises(ToolError, match="unpacks"):
        list(docx_reader.read_docx(packed.getvalue()))
    with pytest.raises(ToolError, match="damaged"):
        list(docx_reader.read_docx(b"PK\x03\x04 and nothing more"))


def test_an_archive_cannot_unpack_to_more_than_it_says() -> None:
    """What the limit relies on: sizes in the directory of an archive are not believed, but kept."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1 << 20))
    with zipfile.ZipFile(packed) as archive:
        archive.getinfo("a").file_size = 1000
        try:
            assert len(archive.read("a")) <= 1000
        except (zipfile.BadZipFile, zlib.error):
            pass
        else:
            pytest.fail("the checksum of a part of the content cannot be right")


def test_entities_of_a_word_document_are_not_resolved() -> None:
    pytest.importorskip("docx")
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
        '<!ENTITY f SYSTEM "file:///etc/hostname">]>'
    )
    source, changed = io.BytesIO(made_documents.docx()), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            data = old.read(name).decode("utf-8", "surrogateescape")
            if name == "word/document.xml":
                head, _, body = data.partition("?>")
                body = body.replace("The harbour has two piers.", "two &b; &f; piers")
                data = f"{head}?>{bomb}{body}"
            new.writestr(name, data.encode("utf-8", "surrogateescape"))
    found = texts(list(docx_reader.read_docx(changed.getvalue())))
    assert found[:3] == ["# Tern Bay harbour", "two", "# Fees"]
