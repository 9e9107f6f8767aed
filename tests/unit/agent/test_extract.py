"""Parsing in a process of its own: what it is spared, and what it does to a hostile document."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import made_documents
import psutil
import pytest

from edgeagent.agent.tools.documents import extract
from edgeagent.agent.tools.documents.blocks import Block
from edgeagent.agent.tools.documents.extract import Extractor
from edgeagent.agent.tools.documents.readers import Reader
from edgeagent.errors import ToolError


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    extractor = Extractor(time_limit_s=60)
    yield extractor
    extractor.close()


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_documents_of_all_formats_are_read(extractor: Extractor, tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    pytest.importorskip("docx")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.PDF").write_bytes(made_documents.pdf(["Tern.", "Bay."]))
    (tmp_path / "b.docx").write_bytes(made_documents.docx())
    (tmp_path / "c.htm").write_bytes(b"<p>Tern \xff")
    (tmp_path / "d.md").write_bytes(b"Tern")
    assert extractor.read(tmp_path, "inner/a.PDF").blocks == (
        Block("Tern.", page=1),
        Block("Bay.", page=2),
    )
    assert extractor.read(tmp_path, "b.docx").blocks[0].is_heading
    assert extractor.read(tmp_path, "c.htm").blocks == (Block("Tern \ufffd"),)
    read = extractor.read(tmp_path, "d.md")
    assert read.blocks == (Block("Tern"),)
    assert read.sha256 == "".join(f"{byte:02x}" for byte in bytes.fromhex(read.sha256))
    assert len(read.sha256) == 64


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pdf", b"%PDF-1.7\nno", r"damaged or no \.pdf"),
        ("a.pdf", b"", r"damaged or no \.pdf"),
        ("a.docx", b"no archive", "damaged"),
        ("a.xyz", b"", "no document"),
        ("missing.pdf", None, "no file"),
        ("../a.pdf", None, "lead out"),
        ("large.html", bytes((8 << 20) + 1), "larger than 8 MiB"),
        ("large.md", bytes((8 << 20) + 1), "larger than 8 MiB"),
    ],
)
def test_what_cannot_be_read_has_a_reason(
    extractor: Extractor, tmp_path: Path, name: str, data: bytes | None, reason: str
) -> None:
    pytest.importorskip("pypdf")
    pytest.importorskip("docx")
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ToolError, match=reason):
        extractor.read(tmp_path, name)
    # The process is there for the next document.
    (tmp_path / "good.html").write_bytes(b"<p>Tern")
    assert extractor.read(tmp_path, "good.html").blocks == (Block("Tern"),)


def test_a_pdf_that_unpacks_without_measure_is_no_danger(
    extractor: Extractor, tmp_path: Path
) -> None:
    pytest.importorskip("pypdf")
    bomb = zlib.compress(bytes(100 << 20), 9)
    (tmp_path / "bomb.pdf").write_bytes(made_documents.pdf(["a"], page_stream=bomb))
    with pytest.raises(ToolError):
        extractor.read(tmp_path, "bomb.pdf")


def test_a_document_that_is_parsed_for_ever_is_given_up(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    before = children()
    content = zlib.compress(b"BT /F1 12 Tf (a) Tj ET\n" * 1_000_000)  # minutes of work
    (tmp_path / "slow.pdf").write_bytes(made_documents.pdf(["a"], page_stream=content))
    extractor = Extractor(time_limit_s=1)
    t0_s = time.monotonic()
    try:
        with pytest.raises(ToolError, match="longer than 1 s"):
            extractor.read(tmp_path, "slow.pdf")
        assert time.monotonic() - t0_s < 20
        assert children() == before
    finally:
        extractor.close()


def test_a_parser_that_takes_all_memory_is_ended(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    (tmp_path / "a.pdf").write_bytes(made_documents.pdf(["a"]))
    extractor = Extractor(memory_bytes=1 << 20)
    try:
        with pytest.raises(ToolError, match=r"memory|crashed"):
            extractor.read(tmp_path, "a.pdf")
    finally:
        extractor.close()


def test_an_interrupted_reading_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    (tmp_path / "a.html").write_bytes(b"<p>Tern")
    extractor = Extractor()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(extract.JsonChild, "receive", interrupt)
    with pytest.raises(KeyboardInterrupt):
        extractor.read(tmp_path, "a.html")
    assert children() == before
    extractor.close()


def test_a_missing_package_is_named(
    extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reader, "is_installed", lambda self: self.package is None)
    (tmp_path / "a.pdf").write_bytes(made_documents.pdf(["a"]))
    with pytest.raises(ToolError, match=r"pypdf.*pip install 'edgeagent\[documents\]'"):
        extractor.read(tmp_path, "a.pdf")


def test_threads_share_the_process(extractor: Extractor, tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.html").write_text(f"<p>page {number}", encoding="utf-8")
    found: dict[int, str] = {}

    def read(number: int) -> None:
        found[number] = extractor.read(tmp_path, f"{number}.html").blocks[0].text

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"page {number}" for number in range(6)}
