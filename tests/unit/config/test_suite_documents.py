"""Documents of suites that are not texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.config.suites import DOCUMENT_SUFFIXES, document_files, load_suite

SUITE = """
name = "mixed"
version = 1
description = "One task over documents of several formats."
documents = "documents"

[[task]]
id = "one"
category = "no_tool"
question = "What colour is the sky?"
check = { kind = "match", any_of = ["blue"] }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "documents").mkdir()
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    for suffix in DOCUMENT_SUFFIXES:
        (tmp_path / "documents" / f"a{suffix.upper()}").write_bytes(b"one\r\ntwo\n")
    return tmp_path


def test_documents_of_all_formats_count(folder: Path) -> None:
    names = [path.name for path in document_files(folder / "documents")]
    assert names == sorted(f"a{suffix.upper()}" for suffix in DOCUMENT_SUFFIXES)


@pytest.mark.parametrize("suffix", DOCUMENT_SUFFIXES)
def test_line_ends_count_where_they_are_none(folder: Path, suffix: str) -> None:
    before = load_suite(folder).sha256
    document = folder / "documents" / f"a{suffix.upper()}"
    document.write_bytes(document.read_bytes().replace(b"\r\n", b"\n"))
    is_text = suffix not in (".pdf", ".docx")
    assert (load_suite(folder).sha256 == before) is is_text
