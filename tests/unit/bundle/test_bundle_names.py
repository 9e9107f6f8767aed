from __future__ import annotations

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.bundle.index import problem_in
from edgeagent.bundle.layout import header_of
from edgeagent.bundle.names import conflict_between, problem_with

HARMFUL = [
    "",
    "/etc/passwd",
    "../evil",
    "a/../../evil",
    "a/./b",
    "a//b",
    "a/",
    "..\\evil",
    "a\\b",
    "C:/evil",
    "C:evil",
    "file:stream",
    "\\\\server\\share",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "nul",
    "NUL.txt",
    "bundle/aux.c",
    "Com1",
    "lpt9.log",
    "COM¹",
    "conin$",
    "con .txt",
    "name.",
    "name ",
    " name",
    "dir./file",
    "what?",
    "a*b",
    'a"b',
    "a|b",
    "e\u0301",
    "\u202egnp.exe",
    "\ud800",
    "x" * 101,
    "d/" * 150 + "x",
    "a" * 99 + "/" + "b" * 99 + "/" + "c" * 39,
]


@pytest.mark.parametrize("name", HARMFUL, ids=ascii)
def test_harmful_names_are_refused(name: str) -> None:
    assert problem_with(name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "model.onnx",
        "bundle/wheelhouse/numpy-2.4.6-cp311-cp311-manylinux_2_27_aarch64.whl",
        "bundle/suite/documents/Überblick.md",
        "console.txt",
        "common/com10",
        ".hidden",
        "a b/c..d",
        "d" * 99 + "/" + "e" * 99,
    ],
)
def test_useful_names_are_kept(name: str) -> None:
    assert problem_with(name) is None


@pytest.mark.parametrize(
    ("names", "conflict"),
    [
        (["a", "b", "a"], ("a", "a")),
        (["model.onnx", "Model.ONNX"], ("model.onnx", "Model.ONNX")),
        (["straße", "STRASSE"], ("straße", "STRASSE")),
        (["\uff41", "a"], ("\uff41", "a")),
        (["a", "a/b"], ("a", "a/b")),
        (["a/b", "A"], ("a/b", "A")),
        (["a/b", "a/c", "ab", "a/bc"], None),
    ],
)
def test_names_that_exclude_each_other(names: list[str], conflict: tuple[str, str] | None) -> None:
    assert conflict_between(names) == conflict


def test_names_of_the_format_itself_are_taken() -> None:
    assert problem_in(["Bundle.json"]) is not None
    assert problem_in(["sha256sums"]) is not None
    assert problem_in(["bundle.json.txt"]) is None


@given(st.text(max_size=60))
def test_every_accepted_name_fits_a_header_that_others_read(name: str) -> None:
    if problem_with(name) is None:
        info = tarfile.TarInfo.frombuf(header_of(name, 5), "utf-8", "strict")
        assert (info.name, info.size, info.type, info.mode) == (name, 5, b"0", 0o644)
        assert info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict") == header_of(name, 5)


@pytest.mark.parametrize("size_bytes", [0, 1, 8**11 - 1, 8**11, 10**12])
def test_sizes_of_any_weights_fit_a_header(size_bytes: int) -> None:
    info = tarfile.TarInfo.frombuf(header_of("model.onnx.data", size_bytes), "utf-8", "strict")
    assert info.size == size_bytes
