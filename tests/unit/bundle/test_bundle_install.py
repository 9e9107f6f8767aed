from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bundle_forge import DEVICE_PROFILE, FILES, forged
from click.testing import CliRunner, Result

from edgeagent.bundle.install import differing_versions, install_bundle
from edgeagent.bundle.progress import BundleStage
from edgeagent.bundle.write import BundleSettings, write_bundle
from edgeagent.cli import main
from edgeagent.config.package import Package, read_package
from edgeagent.config.suites import load_suite
from edgeagent.errors import ConfigError, DamagedFileError, ResourceError, UnsupportedError


@pytest.fixture
def bundle(sound_bundle: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "sound.tar"
    path.write_bytes(sound_bundle)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("zstd", [False, True], ids=["plain", "zstd"])
def test_round_trip(package: Package, tmp_path: Path, zstd: bool) -> None:
    device = tmp_path / "device.toml"
    device.write_text(DEVICE_PROFILE, encoding="utf-8")
    out = tmp_path / "a.tar"
    settings = BundleSettings("core", device, zstd=zstd)
    written = write_bundle(package, out, settings)
    installed = install_bundle(out, tmp_path / "deep" / "model", sha256=written.sha256.upper())

    assert installed.package.manifest == package.manifest
    assert installed.package.sha256 == package.sha256
    for name, content in FILES.items():
        assert (installed.folder / name).read_bytes() == content
    assert load_suite(installed.suite).sha256 == load_suite("core").sha256
    assert installed.device is not None
    assert installed.device.read_bytes() == device.read_bytes()
    assert installed.wheelhouse is None
    assert differing_versions(installed.requirements) == {}
    assert installed.index == written.index

    again = write_bundle(installed.package, tmp_path / "b.tar", settings)
    assert again.sha256 == written.sha256


def test_a_suite_arrives_with_its_file_of_tasks(package: Package, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    suite = 'name = "own"\nversion = 1\ndescription = "Own."\ntasks = "more/tasks.jsonl"\n'
    (own / "suite.toml").write_text(suite, encoding="utf-8")
    (own / "more").mkdir()
    lone = own / "more" / "tasks.jsonl"
    lone.write_text('{"question": "What is 2 + 3?", "answer": 5}\n', encoding="utf-8")
    out = tmp_path / "out.tar"
    write_bundle(package, out, BundleSettings(own))
    installed = install_bundle(out, tmp_path / "model")
    assert load_suite(installed.suite).sha256 == load_suite(own).sha256
    with pytest.raises(ConfigError, match=r"has no suite\.toml and cannot be bundled"):
        write_bundle(package, out, BundleSettings(lone))


def test_the_default_place_is_where_the_models_id_leads(bundle: Path, home: Path) -> None:
    installed = install_bundle(bundle)
    assert installed.folder == home / "packages" / "tiny-test"
    assert read_package(installed.folder).manifest.model_id == "tiny-test"
    assert tree(home / "packages") >= {"tiny-test/manifest.json", "tiny-test/bundle/suite"}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_the_list_of_hashes_is_for_sha256sum(bundle: Path, tmp_path: Path) -> None:
    folder = install_bundle(bundle, tmp_path / "out").folder
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(check, cwd=folder, check=True, timeout=60)


def test_a_package_is_replaced_only_by_a_sound_bundle(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    install_bundle(bundle, out)
    (out / "mark").write_text("old", encoding="utf-8")
    content = bytearray(bundle.read_bytes())
    content[-2000] ^= 1
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(content)
    with pytest.raises(DamagedFileError):
        install_bundle(damaged, out)
    assert (out / "mark").exists()
    install_bundle(bundle, out)
    assert not (out / "mark").exists()


def test_ctrl_c_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    def interrupt(_stage: BundleStage, done: int, total: int | None) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install_bundle(bundle, tmp_path / "a" / "b", on_progress=interrupt)
    assert tree(tmp_path) == {"sound.tar"}


def test_a_folder_of_something_else_is_not_touched(bundle: Path, tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "dear.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(ConfigError, match="not replaced"):
        install_bundle(bundle, letters)
    assert tree(letters) == {"dear.txt"}


def test_the_announced_hash_is_asked_for(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="exchanged"):
        install_bundle(bundle, tmp_path / "out", sha256="0" * 64)
    assert not (tmp_path / "out").exists()


def test_newer_versions_are_named_as_such(sound_bundle: bytes, tmp_path: Path) -> None:
    path = tmp_path / "new.tar"
    path.write_bytes(forged(sound_bundle, format_version=2, something_new=True))
    with pytest.raises(UnsupportedError, match="install a newer edgeagent"):
        install_bundle(path, tmp_path / "out")


def test_wheels_for_another_device_only_on_demand(sound_bundle: bytes, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.tar"
    wheel = "bundle/wheelhouse/tiny-1.0-cp311-cp311-win_arm64.whl"
    pin = f"tiny==1.0 --hash=sha256:{hashlib.sha256(b'wheel').hexdigest()}".encode()
    target = {"platform": "windows-arm64", "python": "3.11"}
    foreign.write_bytes(
        forged(
            sound_bundle,
            add={wheel: b"wheel", "bundle/requirements.txt": pin},
            wheelhouse=target,
        )
    )
    with pytest.raises(ConfigError, match=r"windows-arm64 with Python 3\.11.*--any-platform"):
        install_bundle(foreign, tmp_path / "out")
    assert tree(tmp_path) == {"foreign.tar"}
    installed = install_bundle(foreign, tmp_path / "out", any_platform=True)
    assert installed.wheelhouse == tmp_path / "out" / "bundle" / "wheelhouse"


def test_no_room_is_said_before_anything_is_written(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(ResourceError, match="1 MB left"):
        install_bundle(bundle, tmp_path / "out")
    assert tree(tmp_path) == {"sound.tar"}


@pytest.mark.parametrize("model_id", ["a/b", "..", "../x", "nul", ".hidden", "C:x", ""])
def test_model_ids_that_are_no_folder_need_one(
    sound_bundle: bytes, tmp_path: Path, home: Path, model_id: str
) -> None:
    path = tmp_path / "odd.tar"
    path.write_bytes(forged(sound_bundle, model_id=model_id))
    with pytest.raises(ConfigError, match="--out"):
        install_bundle(path)
    assert not home.exists()


def test_other_versions_are_told(bundle: Path, tmp_path: Path) -> None:
    requirements = install_bundle(bundle, tmp_path / "out").requirements
    lines = ["# comment", "numpy==0.1", "no-such-thing==2.0 --hash=sha256:00"]
    requirements.write_text("\n".join(lines), encoding="utf-8")
    differing = differing_versions(requirements)
    assert differing["numpy"][0] == "0.1"
    assert differing["no-such-thing"] == ("2.0", None)


# The command line


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_commands_end_to_end(package: Package, tmp_path: Path, home: Path) -> None:
    out = tmp_path / "tiny.tar"
    made = invoke("bundle", package.folder, "--out", out)
    assert made.exit_code == 0, made.output
    assert "tiny-test with suite core@1" in made.output
    done = invoke("install", out)
    assert done.exit_code == 0, done.output
    assert str(home / "packages" / "tiny-test") in done.output
    assert "edgeagent profile" in done.output


def test_commands_speak_json(package: Package, tmp_path: Path) -> None:
    out = tmp_path / "tiny.tar"
    made = CliRunner().invoke(main, ["bundle", str(package.folder), "--out", str(out), "--json"])
    data = json.loads(made.stdout)
    assert data["path"] == str(out)
    arguments = ["install", str(out), "--out", str(tmp_path / "to"), "--sha256", data["sha256"]]
    done = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert done["folder"] == str(tmp_path / "to")
    assert done["next"][-1][:3] == ["edgeagent", "profile", str(tmp_path / "to")]
    assert done["index"] == data["index"]


def test_exit_codes(bundle: Path, sound_bundle: bytes, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(sound_bundle[:-700])
    cases = [
        (["install", tmp_path / "none.tar"], 2, "There is no bundle"),
        (["install", cut, "--out", tmp_path / "x"], 4, "cut off"),
        (["install", bundle, "--sha256", "12"], 2, "64 hexadecimal"),
        (["bundle", tmp_path / "none.gguf"], 2, "no file"),
        (["bundle", tmp_path, "--python", "3.11"], 2, "give both"),
        (["bundle", tmp_path, "--wheelhouse", "amiga"], 2, "amiga"),
    ]
    for arguments, code, words in cases:
        command = [sys.executable, "-m", "edgeagent", *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=os.environ | {"EDGEAGENT_HOME": str(tmp_path / "home")},
        )
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr


def test_help_names_the_exit_codes() -> None:
    for name in ("bundle", "install"):
        assert "Exit codes" in invoke(name, "--help").output
