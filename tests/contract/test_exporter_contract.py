"""What every Exporter promises, asked of the native one and of a backend with a scripted tool."""

from __future__ import annotations

import errno
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeagent import __version__
from edgeagent.config.package import read_package
from edgeagent.errors import ConfigError, ExportError, ResourceError, SourceError
from edgeagent.export.backends.export import export_with_backend
from edgeagent.export.backends.settings import BackendSettings
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.record.manifest import MANIFEST_NAME, Manifest

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit" / "export"))
from backend_fakes import (
    BUILDER_VERSIONS,
    BUILDER_WRITES,
    install_builder,
    make_interpreter,
    pretend,
)
from tiny_checkpoints import FAMILY_CHECKPOINTS

_CHECKPOINT = FAMILY_CHECKPOINTS["smollm2"]
_FACTS = ModelFacts(model_id="tiny", origin="a test", license="MIT", tool_call_format="hermes")

OnStage = Callable[[str], None]
Run = Callable[[Path, Path, OnStage], Manifest]


@dataclass(frozen=True)
class Subject:
    """An exporter with a source that it accepts.

    Attributes:
        source: A file or a folder.
        run: Exports a source to a folder; the callback is told the stage of every report.
        writing: The stage in which the package is written.
    """

    source: Path
    run: Run
    writing: str = "weights"

    @property
    def weights(self) -> Path:
        """The file that holds the weights."""
        return self.source if self.source.is_file() else self.source / "model.safetensors"

    def export(self, out: Path, on_stage: OnStage = lambda _stage: None) -> Manifest:
        return self.run(self.source, out, on_stage)


def _native(source: Path, out: Path, on_stage: OnStage) -> Manifest:
    return export_checkpoint(
        source,
        out,
        facts=_FACTS,
        settings=ExportSettings(verify="load"),
        on_progress=lambda stage, done, total, detail: on_stage(stage),
    )


@pytest.fixture(scope="session")
def scripted_tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose model builder only writes what it was given."""
    python = make_interpreter(tmp_path_factory.mktemp("tool") / "interpreter")
    pretend(python, BUILDER_VERSIONS)
    install_builder(python, BUILDER_WRITES)
    return python


@pytest.fixture(params=["native from a GGUF", "native from a folder", "builder from a folder"])
def subject(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Subject:
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path / "home"))
    if request.param == "native from a GGUF":
        return Subject(_CHECKPOINT.write_gguf(tmp_path / "model.gguf", kind="Q8_0"), _native)
    folder = _CHECKPOINT.write_folder(tmp_path / "model", dtype="bfloat16")
    if request.param == "native from a folder":
        return Subject(folder, _native)
    python: Path = request.getfixturevalue("scripted_tool")

    def build(source: Path, out: Path, on_stage: OnStage) -> Manifest:
        return export_with_backend(
            "builder",
            source,
            out,
            facts=_FACTS,
            settings=ExportSettings(context_len=512),
            backend_settings=BackendSettings(ep="cuda", precision="fp16", python=python),
            on_progress=lambda stage, done, total, detail: on_stage(stage),
        )

    return Subject(folder, build, "build")


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _raise_at(stage_to_end: str, error: BaseException) -> OnStage:
    def on_stage(stage: str) -> None:
        if stage == stage_to_end:
            raise error

    return on_stage


def _stages(subject: Subject, out: Path) -> list[str]:
    """Stages that the exporter reports, in order."""
    seen: list[str] = []
    subject.export(out, seen.append)
    shutil.rmtree(out)
    return list(dict.fromkeys(seen))


def test_a_package_comes_with_a_complete_manifest(subject: Subject, tmp_path: Path) -> None:
    out = tmp_path / "new" / "parents" / "package"
    manifest = subject.export(out)
    assert list(out.parent.iterdir()) == [out]
    assert read_package(out).manifest == manifest
    assert manifest == Manifest.model_validate_json((out / MANIFEST_NAME).read_bytes())
    sizes = {path.name: path.stat().st_size for path in out.iterdir()}
    assert manifest.files == {k: v for k, v in sizes.items() if k != MANIFEST_NAME}
    assert {"genai_config.json", "tokenizer.json", "tokenizer_config.json"} <= set(manifest.files)
    assert (manifest.model_id, manifest.edgeagent_version) == ("tiny", __version__)
    assert manifest.tool_call_format == "hermes"
    assert (manifest.source.origin, manifest.source.license) == ("a test", "MIT")
    assert manifest.source.file == subject.source.name
    assert re.fullmatch("[0-9a-f]{64}", manifest.source.sha256)
    assert manifest.source.size_bytes >= subject.weights.stat().st_size
    assert {"exporter", "context_len", "logits", "verify"} <= set(manifest.recipe)
    assert manifest.parameters > 0
    assert manifest.kv_bytes_per_token > 0
    assert 64 <= manifest.context_len <= 512
    assert sum(group.size_bytes for group in manifest.tensor_groups) > 0
    assert manifest.tool_versions


def test_the_source_is_left_alone(subject: Subject, tmp_path: Path) -> None:
    folder = subject.source if subject.source.is_dir() else subject.source.parent
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    subject.export(tmp_path / "out" / "package")
    after = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert after == before


def test_ctrl_c_leaves_nothing_at_any_stage(subject: Subject, tmp_path: Path) -> None:
    stages = _stages(subject, tmp_path / "probe")
    assert len(stages) >= 2
    for stage in stages:
        with pytest.raises(KeyboardInterrupt):
            subject.export(tmp_path / "new" / "package", _raise_at(stage, KeyboardInterrupt()))
        assert not (tmp_path / "new").exists(), stage


def test_an_older_package_stays_usable_until_the_new_one_is_complete(
    subject: Subject, tmp_path: Path
) -> None:
    out = tmp_path / "packages" / "tiny"
    before = subject.export(out)
    contents = _contents(out)
    during: list[dict[str, bytes]] = []
    last = ""

    def watch(stage: str) -> None:
        nonlocal last
        if stage != last:
            during.append(_contents(out))
        last = stage

    ends: dict[BaseException, type[BaseException]] = {
        KeyboardInterrupt(): KeyboardInterrupt,
        OSError(errno.ENOSPC, "No space left on device"): ResourceError,
        OSError(errno.EACCES, "Permission denied", "x"): ConfigError,
    }
    for raised, expected in ends.items():
        with pytest.raises(expected):
            subject.export(out, _raise_at(subject.writing, raised))
        assert _contents(out) == contents
        assert list(out.parent.iterdir()) == [out]
    assert read_package(out).manifest == before
    (out / "stale.bin").write_bytes(b"of an older version")
    contents["stale.bin"] = b"of an older version"
    subject.export(out, watch)
    assert len(during) >= 2
    assert all(seen == contents for seen in during)
    assert not (out / "stale.bin").exists()
    assert list(out.parent.iterdir()) == [out]


def test_a_damaged_source_is_one_sentence_and_leaves_nothing(
    subject: Subject, tmp_path: Path
) -> None:
    content = subject.weights.read_bytes()
    subject.weights.write_bytes(content[: len(content) // 2])
    with pytest.raises((ExportError, SourceError)) as caught:
        subject.export(tmp_path / "new" / "package")
    message = str(caught.value)
    assert str(subject.weights) in message
    assert message.endswith(".")
    assert "\n" not in message
    assert not (tmp_path / "new").exists()


def test_a_source_that_is_not_there(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        subject.run(tmp_path / "nowhere", tmp_path / "new" / "package", lambda _stage: None)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "kind",
    [
        "folder",
        "file",
        pytest.param(
            "link",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="links need a right there"),
        ),
    ],
)
def test_what_is_no_package_is_never_replaced(subject: Subject, kind: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    out = {"folder": mine, "file": mine / "thesis.txt", "link": tmp_path / "link"}[kind]
    if kind == "link":
        out.symlink_to(mine)
    with pytest.raises(ConfigError, match=re.escape(str(out))):
        subject.export(out)
    assert _contents(mine) == {"thesis.txt": b"years of work"}


def test_an_empty_folder_is_filled(subject: Subject, tmp_path: Path) -> None:
    out = tmp_path / "package"
    out.mkdir()
    assert subject.export(out) == read_package(out).manifest
