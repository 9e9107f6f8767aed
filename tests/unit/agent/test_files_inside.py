"""Nothing that a name tries leads out of its folder."""

from __future__ import annotations

import os
import socket
import string
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.agent.tools.files import inside
from edgeagent.agent.tools.files.inside import name_parts, open_inside
from edgeagent.agent.tools.files.walk import walk
from edgeagent.errors import ToolError

SECRET = b"The password is swordfish."
POSIX = pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have such files")


@pytest.fixture(params=["by parts", "checked"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a secret beside it, opened in the way of each kind of system."""
    if request.param == "checked":
        monkeypatch.setattr(inside, "_CAN_OPEN_BY_PARTS", False)
    elif not inside._CAN_OPEN_BY_PARTS:
        pytest.skip("this system cannot open by parts")
    return make_folder(tmp_path)


def make_folder(place: Path) -> Path:
    folder = place / "allowed"
    (folder / "notes" / "deep").mkdir(parents=True)
    (folder / "notes" / "trip.md").write_bytes(b"We leave at noon.")
    (folder / "notes" / "deep" / "a b.txt").write_bytes(b"Deep.")
    (folder / ".hidden").write_bytes(SECRET)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(SECRET)
    (place / "secret.txt").write_bytes(SECRET)
    (place / "allowed-too").mkdir()
    (place / "allowed-too" / "secret.txt").write_bytes(SECRET)
    return folder


def read(folder: Path, name: str) -> bytes:
    with open_inside(folder, name) as file:
        return file.read()


def link(path: Path, target: Path) -> None:
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("this system lets nobody make links")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes/trip.md", b"We leave at noon."),
        ("./notes//./trip.md", b"We leave at noon."),
        ("notes/deep/a b.txt", b"Deep."),
    ],
)
def test_files_are_opened_by_their_name(folder: Path, name: str, content: bytes) -> None:
    assert read(folder, name) == content


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "notes/../../secret.txt",
        "notes/../notes/trip.md",
        "..",
        "../allowed-too/secret.txt",
        "/etc/passwd",
        "//etc/passwd",
        "~/secret.txt",
        "~root/.bashrc",
        "C:\\Windows\\win.ini",
        "c:secret.txt",
        "C:/secret.txt",
        "\\\\server\\share\\secret.txt",
        "\\\\?\\C:\\secret.txt",
        "\\secret.txt",
        "file:///etc/passwd",
        "notes/trip.md\0.txt",
        "",
        ".",
        "notes",
        "notes/trip.md/",
        "notes/trip.md/x",
        "notes/missing.md",
        ".hidden",
        ".git/config",
        "./.hidden",
        "a" * 5000,
        "a/" * 600,
        "notes/\udcff.md",
    ],
)
def test_nothing_else_is_opened(folder: Path, name: str) -> None:
    if name == "notes/trip.md/":
        assert read(folder, name) == b"We leave at noon."  # a superfluous slash is no harm
        return
    with pytest.raises(ToolError):
        read(folder, name)


@pytest.mark.parametrize(
    "name",
    [
        *("trip.md:stream", "trip.md::$DATA", "notes:x/trip.md", "CON", "nul.txt", "notes/aux"),
        *(
            "com1",
            "LPT9.md",
            "COM¹",
            "conin$",
            "CON .txt",
            "trip.md.",
            "trip.md ",
            "notes./trip.md",
        ),
        *("..\\secret.txt", "notes\\..\\..\\secret.txt", "\\\\.\\PhysicalDrive0", "D:trip.md"),
        *("a?b", "a*", "a|b", "a<b", 'a"b', "a\nb", "..\\", ".\\.hidden", "notes\\.hidden"),
    ],
)
def test_names_that_mean_something_else_on_windows_are_refused(name: str) -> None:
    with pytest.raises(ToolError):
        name_parts(name, windows=True)


def test_windows_names_may_have_either_slash() -> None:
    assert name_parts("notes\\deep/a b.txt", windows=True) == ("notes", "deep", "a b.txt")
    assert name_parts("console.txt", windows=True) == ("console.txt",)


def test_links_are_followed_inside_only(folder: Path) -> None:
    link(folder / "inner.md", folder / "notes" / "trip.md")
    link(folder / "inner", folder / "notes")
    assert read(folder, "inner.md") == b"We leave at noon."
    assert read(folder, "inner/trip.md") == b"We leave at noon."
    secret = folder.parent / "secret.txt"
    link(folder / "out.md", secret)
    link(folder / "out", folder.parent)
    link(folder / "prefix", folder.parent / "allowed-too")
    link(folder / "hidden.md", folder / ".hidden")
    link(folder / "circle", folder / "circle")
    link(folder / "nowhere", folder / "missing")
    for name in (
        *("out.md", "out/secret.txt", "prefix/secret.txt", "hidden.md", "circle", "nowhere"),
        "out/allowed/notes/../../secret.txt",
    ):
        with pytest.raises(ToolError):
            read(folder, name)


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    link(folder.parent / "other", folder)
    assert read(folder.parent / "other", "notes/trip.md") == b"We leave at noon."


@POSIX
def test_only_regular_files_are_opened(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(ToolError, match="no regular file"):
        read(folder, "pipe")  # and it does not block
    short = Path(os.path.relpath(folder / "socket"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short) if len(str(short)) < 100 else str(tmp_path / "s"))
        if (folder / "socket").exists():
            with pytest.raises(ToolError, match="no regular file"):
                read(folder, "socket")
    with pytest.raises(ToolError, match="no regular file"):
        read(Path("/dev"), "null")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_links_of_proc_do_not_lead_out(tmp_path: Path) -> None:
    for name in ("self/cwd/pyproject.toml", "self/root/etc/passwd", "self/fd/0", "self/exe"):
        with pytest.raises(ToolError):
            read(Path("/proc"), name)
    folder = make_folder(tmp_path)
    with (folder.parent / "secret.txt").open("rb") as secret:
        link(folder / "descriptor", Path(f"/proc/self/fd/{secret.fileno()}"))
        with pytest.raises(ToolError):
            read(folder, "descriptor")


@POSIX
def test_a_file_that_may_not_be_read_is_said_so(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (folder / "notes" / "trip.md").chmod(0)
    with pytest.raises(ToolError, match="may not be read"):
        read(folder, "notes/trip.md")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_exchanged_between_check_and_opening_is_not_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It becomes a link to a place outside, right after everything was checked."""
    link(folder / "probe", folder)  # skips where links cannot be made
    (folder.parent / "trip.md").write_bytes(SECRET)
    resolve = Path.resolve
    done: list[bool] = []

    def resolve_then_exchange(self: Path, strict: bool = False) -> Path:
        found = resolve(self, strict)
        if found.name == "trip.md" and not done:
            done.append(True)
            (folder / "notes").rename(folder / "old")
            if what == "folder":
                (folder / "notes").symlink_to(folder.parent)
            else:
                (folder / "notes").mkdir()
                (folder / "notes" / "trip.md").symlink_to(folder.parent / "trip.md")
        return found

    monkeypatch.setattr(Path, "resolve", resolve_then_exchange)
    with pytest.raises(ToolError):
        read(folder, "notes/trip.md")
    assert done


PARTS = st.sampled_from(
    [
        *("..", ".", "", "notes", "deep", "trip.md", "secret.txt", "allowed", "allowed-too"),
        *(".hidden", "out", "in", "~", "C:", "\\", "..\\", "\0", " ", "..;", "%2e%2e"),
        *("\u2024\u2024", "\uff0e\uff0e"),
    ]
)
NAMES = st.one_of(
    st.builds("".join, st.lists(st.sampled_from([*"./\\~: ", "..", "notes", "out"]), max_size=9)),
    st.builds(lambda parts, mark: mark.join(parts), st.lists(PARTS, max_size=7), st.just("/")),
    st.text(st.characters() | st.sampled_from(string.punctuation), max_size=40),
)


@pytest.fixture(scope="module")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_folder(tmp_path_factory.mktemp("trapped"))
    link(folder / "out", folder.parent)
    link(folder / "in", folder / "notes")
    return folder


@settings(max_examples=400, deadline=None)
@given(name=NAMES)
def test_no_name_leads_out(trapped: Path, name: str) -> None:
    for by_parts in {inside._CAN_OPEN_BY_PARTS, False}:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(inside, "_CAN_OPEN_BY_PARTS", by_parts)
            try:
                content = read(trapped, name)
            except ToolError:
                continue
        assert content in (b"We leave at noon.", b"Deep.")


@settings(max_examples=300, deadline=None)
@given(name=NAMES | st.text(max_size=60), windows=st.booleans())
def test_parts_are_plain(name: str, windows: bool) -> None:
    try:
        parts = name_parts(name, windows=windows)
    except ToolError:
        return
    for part in parts:
        assert not part.startswith(".")
        assert part
        assert not set(part) & set("/\0\\:" if windows else "/\0")


def test_walking_stays_inside(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    link(folder / "out", folder.parent)
    link(folder / "loop", folder)
    link(folder / "out.md", folder.parent / "secret.txt")
    link(folder / "inner.md", folder / "notes" / "trip.md")
    skipped: dict[str, str] = {}
    assert sorted(walk(folder, skipped.__setitem__)) == [
        "inner.md",
        "notes/deep/a b.txt",
        "notes/trip.md",
    ]
    assert skipped == {
        "out": "it links to a place outside of its folder",
        "loop": "it links to a folder",
        "out.md": "it links to a place outside of its folder",
    }
