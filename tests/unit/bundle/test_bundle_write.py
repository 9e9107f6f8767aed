from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from importlib import metadata
from pathlib import Path

import pytest
from bundle_forge import DEVICE_PROFILE, entries_of, zstd_module

from edgeagent.bundle import contents
from edgeagent.bundle.progress import BundleStage
from edgeagent.bundle.write import BundleSettings, write_bundle
from edgeagent.config.package import Package, read_package
from edgeagent.config.paths import data_dir
from edgeagent.config.suites import load_suite
from edgeagent.errors import ConfigError, EdgeAgentError

SUITE = """
name = "own"
version = 3
description = "One task."
documents = "texts/deep"

[[task]]
id = "capital"
category = "language"
question = "What is the capital of France?"
check = { kind = "match", any_of = ["Paris"] }
"""


def own_suite(folder: Path) -> Path:
    (folder / "texts" / "deep").mkdir(parents=True)
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")
    (folder / "texts" / "deep" / "a.md").write_text("# A\n\nText.", encoding="utf-8")
    (folder / "texts" / "deep" / "private.key").write_text("not a document", encoding="utf-8")
    (folder / "notes.md").write_text("not of the suite", encoding="utf-8")
    return folder


def test_a_bundle_holds_package_suite_device_notices_and_pins(
    package: Package, tmp_path: Path
) -> None:
    (package.folder / "diary.txt").write_text("not of the package", encoding="utf-8")
    device = tmp_path / "jetson.toml"
    device.write_text(DEVICE_PROFILE, encoding="utf-8")
    settings = BundleSettings(own_suite(tmp_path / "own"), device)
    written = write_bundle(package, tmp_path / "out.tar", settings)

    entries = entries_of(written.path.read_bytes())
    names = list(entries)
    assert names[0] == "bundle.json"
    assert names[-1] == "SHA256SUMS"
    assert names[1:-1] == sorted(names[1:-1])
    assert set(names) == {
        "bundle.json",
        "bundle/device.toml",
        "bundle/notices/NOTICES.md",
        "bundle/notices/edgeagent.txt",
        "bundle/requirements.txt",
        "bundle/suite/suite.toml",
        "bundle/suite/texts/deep/a.md",
        "manifest.json",
        *package.manifest.files,
        "SHA256SUMS",
    }
    for name in package.manifest.files:
        assert entries[name] == (package.folder / name).read_bytes()
    assert entries["bundle/device.toml"] == device.read_bytes()
    assert b"Apache License" in entries["bundle/notices/edgeagent.txt"]
    assert b"Licence of the model: MIT" in entries["bundle/notices/NOTICES.md"]

    index = json.loads(entries["bundle.json"])
    assert index["created_utc"] == package.manifest.created_utc
    assert index["source_sha256"] == package.manifest.source.sha256
    assert index["suite"] == {
        "name": "own",
        "version": 3,
        "sha256": load_suite(tmp_path / "own").sha256,
    }
    assert index["wheelhouse"] is None
    for file in index["files"]:
        content = entries[file["path"]]
        assert file["size_bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    sums = dict(reversed(line.split("  ")) for line in entries["SHA256SUMS"].decode().splitlines())
    assert sums == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in entries.items()
        if name != "SHA256SUMS"
    }
    assert written.sha256 == hashlib.sha256(written.path.read_bytes()).hexdigest()
    assert written.size_bytes == written.path.stat().st_size


def test_requirements_pin_the_runtime_and_nothing_of_the_exporter(
    package: Package, tmp_path: Path
) -> None:
    written = write_bundle(package, tmp_path / "out.tar")
    text = entries_of(written.path.read_bytes())["bundle/requirements.txt"].decode()
    pins = dict(line.split("==") for line in text.splitlines() if not line.startswith("#"))
    for name in ("edgeagent", "onnxruntime-genai", "onnxruntime", "numpy", "markupsafe"):
        assert pins[name] == metadata.version(name)
    assert not {"gguf", "onnx", "huggingface-hub", "pytest", "ruff", "tokenizers"} & set(pins)


def test_equal_contents_give_equal_bytes(package: Package, tmp_path: Path) -> None:
    first = write_bundle(package, tmp_path / "first.tar")
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(package.folder, copy)
    for path in copy.iterdir():
        path.chmod(0o600)
        os.utime(path, (1, 1))
    mask = os.umask(0o077)
    try:
        second = write_bundle(read_package(copy), tmp_path / "second.tar")
    finally:
        os.umask(mask)
    assert first.sha256 == second.sha256
    assert first.path.read_bytes() == second.path.read_bytes()


def test_compression_is_reproducible_and_holds_the_same_archive(
    package: Package, tmp_path: Path
) -> None:
    zstd = zstd_module()
    plain = write_bundle(package, tmp_path / "plain.tar")
    packed = [
        write_bundle(package, tmp_path / f"{name}.tar.zst", BundleSettings(zstd=True))
        for name in "ab"
    ]
    assert packed[0].sha256 == packed[1].sha256
    assert packed[0].size_bytes < plain.size_bytes
    assert zstd.decompress(packed[0].path.read_bytes()) == plain.path.read_bytes()


def test_other_archive_programs_see_regular_files_of_nobody(sound_bundle: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(sound_bundle)) as archive:
        for member in archive.getmembers():
            assert member.isreg()
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert (member.mode, member.mtime) == (0o644, 315_532_800)


def test_progress_counts_every_byte_twice(package: Package, tmp_path: Path) -> None:
    seen: dict[str, list[tuple[int, int | None]]] = {}

    def note(stage: BundleStage, done: int, total: int | None) -> None:
        seen.setdefault(stage, []).append((done, total))

    written = write_bundle(package, tmp_path / "out.tar", on_progress=note)
    assert list(seen) == ["hash", "write"]
    for steps in seen.values():
        assert steps == sorted(steps)
        assert steps[-1] == (written.index.content_bytes, written.index.content_bytes)


def test_large_files_are_streamed(package: Package, tmp_path: Path) -> None:
    import tracemalloc

    size = 96 << 20
    with (package.folder / "model.onnx.data").open("wb") as file:
        file.truncate(size)
    manifest = json.loads((package.folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["model.onnx.data"] = size
    (package.folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    tracemalloc.start()
    try:
        write_bundle(read_package(package.folder), tmp_path / "out.tar")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"tiny-package"}


@pytest.mark.parametrize("stage", ["hash", "write"])
def test_ctrl_c_leaves_nothing_and_keeps_the_old_bundle(
    package: Package, tmp_path: Path, stage: str
) -> None:
    out = tmp_path / "out.tar"

    def interrupt(now: BundleStage, _done: int, _total: int | None) -> None:
        if now == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(package, out, on_progress=interrupt)
    assert leftovers(tmp_path) == set()
    old = write_bundle(package, out)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(package, out, on_progress=interrupt)
    assert leftovers(tmp_path) == {"out.tar"}
    assert hashlib.sha256(out.read_bytes()).hexdigest() == old.sha256


def test_a_file_that_changes_meanwhile_is_noticed(package: Package, tmp_path: Path) -> None:
    def change(stage: BundleStage, _done: int, _total: int | None) -> None:
        if stage == "write":
            (package.folder / "tokenizer.json").write_bytes(b'{"model": []}')

    with pytest.raises(ConfigError, match=r"tokenizer\.json changed"):
        write_bundle(package, tmp_path / "out.tar", on_progress=change)
    assert leftovers(tmp_path) == set()


def test_a_shipped_device_profile_comes_along_by_its_id(package: Package, tmp_path: Path) -> None:
    settings = BundleSettings(device="jetson-orin-nano")
    written = write_bundle(package, tmp_path / "out.tar", settings)
    bundled = entries_of(written.path.read_bytes())["bundle/device.toml"]
    shipped = data_dir("profiles") / "devices" / "jetson-orin-nano.toml"
    assert bundled == shipped.read_bytes()


def test_what_cannot_be_bundled(package: Package, tmp_path: Path) -> None:
    out = tmp_path / "out.tar"
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    (tmp_path / "broken.toml").write_text("= 1", encoding="utf-8")
    (tmp_path / "odd.toml").write_text(DEVICE_PROFILE + "watts = 7\n", encoding="utf-8")

    def attempt(match: str, path: Path = out, **settings: object) -> None:
        with pytest.raises(EdgeAgentError, match=match):
            write_bundle(package, path, BundleSettings(**settings))  # type: ignore[arg-type]

    attempt("no bundle, so it is not replaced", tmp_path / "letter.txt")
    attempt("is a folder", tmp_path)
    attempt("There is no folder", tmp_path / "none" / "out.tar")
    attempt("not valid TOML", device=tmp_path / "broken.toml")
    attempt(r"odd\.toml: watts: there is no such key", device=tmp_path / "odd.toml")
    attempt("There is no device profile", device=tmp_path / "none.toml")
    attempt("did you mean jetson-orin-nano", device="jetson-orin-nan")
    attempt("no suite", suite="nothing")
    assert (tmp_path / "letter.txt").read_text(encoding="utf-8") == "dear"

    (package.folder / "model.onnx.data").write_bytes(b"short")
    attempt("has 5 of")
    (package.folder / "model.onnx.data").unlink()
    attempt("lacks its file")
    assert not out.exists()


@pytest.mark.parametrize("name", ["../tiny.txt", "aux", "bundle.json"])
def test_a_package_with_files_of_harmful_names_is_refused(
    package: Package, tmp_path: Path, name: str
) -> None:
    (package.folder / name).write_bytes(b"x")
    manifest = json.loads((package.folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][name] = 1
    (package.folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ConfigError):
        write_bundle(read_package(package.folder), tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()


def test_only_documents_are_taken_from_a_suite(tmp_path: Path) -> None:
    suite = load_suite(own_suite(tmp_path / "own"))
    taken = contents.suite_contents(suite)
    assert set(taken) == {"bundle/suite/suite.toml", "bundle/suite/texts/deep/a.md"}
    renamed = tmp_path / "own" / "suite.toml"
    renamed = renamed.rename(renamed.with_name("mine.toml"))
    taken = contents.suite_contents(load_suite(renamed))
    assert taken["bundle/suite/suite.toml"] == renamed
