from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import tomli

from edgeagent.config.paths import data_dir
from edgeagent.config.spec import parse_spec
from edgeagent.config.suite import SuiteSpec
from edgeagent.config.suites import document_files, load_suite, suite_names
from edgeagent.errors import ConfigError

SUITE = """
name = "tiny"
version = 3
description = "Two tasks."
documents = "documents"

[[task]]
id = "sum"
category = "arithmetic"
question = "What is 2 plus 3?"
check = { kind = "number", value = 5 }

[[task]]
id = "colour"
category = "no_tool"
question = "The sky is blue. What colour is the sky?"
forbid_tools = true
check = { kind = "match", any_of = ["blue"] }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    suite = tmp_path / "tiny-suite"
    (suite / "documents" / "inner").mkdir(parents=True)
    (suite / "suite.toml").write_text(SUITE, encoding="utf-8", newline="\n")
    write(suite / "documents" / "b.md", "# B\n\nTwo.\n")
    write(suite / "documents" / "a.txt", "One.\n")
    write(suite / "documents" / "inner" / "c.md", "Three.\n")
    return suite


def write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def rewrite(folder: Path, old: str, new: str) -> None:
    file = folder / "suite.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    write(file, text.replace(old, new))


def symlink(link: Path, target: Path) -> None:
    try:
        link.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("this system does not allow symbolic links")


def test_a_suite_is_found_by_folder_by_file_and_by_name(folder: Path) -> None:
    by_folder = load_suite(folder)
    assert by_folder == load_suite(str(folder / "suite.toml"))
    assert by_folder.spec.name == "tiny"
    assert by_folder.spec.version == 3
    assert by_folder.spec.task[1].forbid_tools
    assert by_folder.documents_dir == folder / "documents"
    assert "core" in suite_names()
    assert load_suite("core").folder == data_dir("profiles") / "suites" / "core"


def test_a_file_may_have_another_name(folder: Path) -> None:
    other = folder / "other.toml"
    (folder / "suite.toml").rename(other)
    assert load_suite(other).spec.name == "tiny"


def test_a_suite_without_documents(folder: Path) -> None:
    rewrite(folder, 'documents = "documents"\n', "")
    assert load_suite(folder).documents_dir is None


def test_documents_come_in_order_and_only_texts_count(folder: Path) -> None:
    documents = folder / "documents"
    write(documents / ".hidden.md", "no")
    write(documents / "picture.png", "no")
    (documents / ".git").mkdir()
    write(documents / ".git" / "notes.md", "no")
    (documents / "folder.md").mkdir()
    names = [file.relative_to(documents).as_posix() for file in document_files(documents)]
    assert names == ["a.txt", "b.md", "inner/c.md"]


def test_the_digest_depends_on_content_only(folder: Path, tmp_path: Path) -> None:
    digest = load_suite(folder).sha256
    assert re.fullmatch("[0-9a-f]{64}", digest)
    elsewhere = tmp_path / "deep" / "er" / "copy"
    shutil.copytree(folder, elsewhere)
    assert load_suite(elsewhere).sha256 == digest
    for file in [elsewhere / "suite.toml", *document_files(elsewhere / "documents")]:
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert load_suite(elsewhere).sha256 == digest
    write(elsewhere / "documents" / ".DS_Store", "left by a file manager")
    assert load_suite(elsewhere).sha256 == digest


@pytest.mark.parametrize("change", ["suite", "text", "name", "removed", "added", "moved text"])
def test_the_digest_changes_with_every_change(folder: Path, change: str) -> None:
    before = load_suite(folder).sha256
    documents = folder / "documents"
    if change == "suite":
        rewrite(folder, "Two tasks", "2 tasks")
    elif change == "text":
        write(documents / "a.txt", "one.\n")
    elif change == "name":
        (documents / "a.txt").rename(documents / "aa.txt")
    elif change == "removed":
        (documents / "a.txt").unlink()
    elif change == "added":
        write(documents / "z.md", "")
    else:
        write(documents / "a.txt", "One.\n# B\n")
        write(documents / "b.md", "\nTwo.\n")
    assert load_suite(folder).sha256 != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cor", "did you mean core"),
        ("nothing-like-it", "shipped: .*core"),
        ("", "no suite ''"),
        ("\0", "no suite"),
        ("x" * 5000, "no suite"),
    ],
)
def test_an_unknown_suite_names_what_there_is(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        load_suite(name)


@pytest.mark.parametrize("documents", ["..", "../other", "documents/../documents", ".", "/", ""])
def test_documents_must_lie_inside_the_suite(folder: Path, documents: str) -> None:
    (folder.parent / "other").mkdir()
    write(folder.parent / "other" / "secret.md", "secret")
    rewrite(folder, '"documents"', f'"{documents}"')
    with pytest.raises(ConfigError, match="not a folder inside the suite's own folder"):
        load_suite(folder)


def test_missing_and_empty_documents(folder: Path) -> None:
    rewrite(folder, '"documents"', '"texts"')
    with pytest.raises(ConfigError, match="no folder 'texts'"):
        load_suite(folder)
    (folder / "texts").mkdir()
    with pytest.raises(ConfigError, match=r"holds no documents \(\.md \.txt .*\.docx\)"):
        load_suite(folder)
    rewrite(folder, '"texts"', r'"te\u0000xts"')
    with pytest.raises(ConfigError, match="not a folder"):
        load_suite(folder)


def test_a_documents_folder_that_links_out_is_refused(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    write(outside / "secret.md", "secret")
    shutil.rmtree(folder / "documents")
    symlink(folder / "documents", outside)
    with pytest.raises(ConfigError, match="not a folder inside"):
        load_suite(folder)


def test_a_documents_folder_that_links_to_itself_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "documents")
    symlink(folder / "documents", folder / "documents")
    with pytest.raises(ConfigError, match="folder"):
        load_suite(folder)


def test_a_document_that_links_out_is_refused(folder: Path) -> None:
    secret = folder.parent / "secret.md"
    write(secret, "secret")
    symlink(folder / "documents" / "innocent.md", secret)
    with pytest.raises(ConfigError, match=r"innocent\.md links to a file outside"):
        load_suite(folder)


def test_a_document_may_link_to_another_document(folder: Path) -> None:
    symlink(folder / "documents" / "alias.md", folder / "documents" / "b.md")
    assert load_suite(folder).documents_dir is not None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "colour"', 'id = "sum"', "task ids appear twice: sum"),
        ('kind = "number"', 'kind = "guess"', r"task\.0\.check"),
        ("value = 5", "value = nan", r"task\.0\.check\.number\.value"),
        ('any_of = ["blue"]', "any_of = []", "any_of"),
        ('"no_tool"', '"No tool"', "category"),
        ("forbid_tools", "forbid_tool", "forbid_tool"),
        ('name = "tiny"', 'name = "../tiny"', "name"),
        ("[[task]]", "[[task]", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_named_with_the_key(folder: Path, old: str, new: str, message: str) -> None:
    rewrite(folder, old, new)
    with pytest.raises(ConfigError, match=rf"suite\.toml.*{message}"):
        load_suite(folder)


def test_the_example_of_the_readme_is_a_valid_suite(tmp_path: Path) -> None:
    readme = (data_dir("profiles") / "suites" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", readme, flags=re.DOTALL)
    write(tmp_path / "suite.toml", example)
    (tmp_path / "documents").mkdir()
    write(tmp_path / "documents" / "harbour.md", "The harbour master is Isaura Pell.")
    assert {task.category for task in load_suite(tmp_path).spec.task} == {
        "lookup",
        "lookup_compute",
        "language",
        "no_tool",
    }


def test_the_readme_names_every_key_of_a_suite_and_a_task() -> None:
    readme = (data_dir("profiles") / "suites" / "README.md").read_text(encoding="utf-8")
    spec = parse_spec(tomli.loads(SUITE), SuiteSpec, where="test")
    keys = set(SuiteSpec.model_fields) - {"task"}
    keys |= {f"task.{key}" for key in type(spec.task[0]).model_fields}
    for task in spec.task:
        keys |= set(type(task.check).model_fields) - {"kind"}
    assert {key for key in keys if f"`{key}`" not in readme} == set()
