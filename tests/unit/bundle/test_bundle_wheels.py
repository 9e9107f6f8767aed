"""Wheels for other devices, from a folder of small ones: pip runs, the network is not used."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from bundle_forge import entries_of
from packaging.tags import Tag

from edgeagent.bundle.distributions import installed, license_texts, read_wheel, wheel_name
from edgeagent.bundle.index import WheelTarget
from edgeagent.bundle.install import install_bundle
from edgeagent.bundle.own_wheel import make_own_wheel, repack
from edgeagent.bundle.pip import run_pip
from edgeagent.bundle.platforms import (
    PLATFORMS,
    marker_environment,
    platform_of,
    tags_of,
    this_platform,
    this_python,
)
from edgeagent.bundle.requirements import closure, installed_runtime
from edgeagent.bundle.wheelhouse import gather_wheels
from edgeagent.bundle.write import BundleSettings, write_bundle
from edgeagent.config.package import Package
from edgeagent.errors import ConfigError, DamagedFileError, EdgeAgentError, SourceError

NATIVE = {"llguidance", "markupsafe", "numpy", "onnxruntime", "onnxruntime-genai", "protobuf"}
NATIVE |= {"psutil", "pydantic-core", "tomli"}
JETSON = WheelTarget(platform="linux-aarch64", python="3.11")
WINDOWS = WheelTarget(platform="windows-x86_64", python="3.12")


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
    *,
    inner_name: str | None = None,
) -> Path:
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-{tag}.whl"
    lines = ["Metadata-Version: 2.1", f"Name: {inner_name or name}", f"Version: {version}"]
    lines += ["License-Expression: MIT", *(f"Requires-Dist: {line}" for line in requires)]
    with zipfile.ZipFile(path, "w") as archive:
        info = f"{stem}.dist-info"
        archive.writestr(f"{info}/METADATA", "\n".join(lines) + "\n\nAbout.\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr(f"{info}/licenses/LICENSE", f"Licence of {name}.")
        archive.writestr(f"{info}/RECORD", "")
    return path


def make_index(folder: Path, native_tag: str) -> Path:
    """Make small wheels with names, versions and requirements of the real ones."""
    folder.mkdir()
    for name, distribution in installed_runtime().items():
        if name != "edgeagent":
            tag = native_tag if name in NATIVE else "py3-none-any"
            requires = tuple(str(line) for line in distribution.requires)
            make_wheel(folder, name, distribution.version, tag, requires)
    return folder


@pytest.fixture
def offline_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks: wheels for aarch64."""
    folder = make_index(tmp_path / "index", "cp311-cp311-manylinux_2_28_aarch64")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture(scope="session")
def own_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout; the build backend is installed, so no network is needed."""
    pytest.importorskip("hatchling")
    folder, work = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("work")
    return make_own_wheel(folder, work, lambda: None)


@pytest.fixture
def quick_own_wheel(own_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not build the same wheel in every test."""

    def copy(folder: Path, _work: Path, _on_poll: object) -> Path:
        target = folder / own_wheel.name
        target.write_bytes(own_wheel.read_bytes())
        return target

    monkeypatch.setattr("edgeagent.bundle.wheelhouse.make_own_wheel", copy)


def gather(target: WheelTarget, tmp_path: Path) -> dict[str, Path]:
    folder, work = tmp_path / "wheels", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    house = gather_wheels(target, folder, work, lambda _done: None)
    assert set(house.paths.values()) == set(folder.iterdir())
    return house.paths


# Platforms and metadata


@pytest.mark.parametrize(
    ("target", "tag", "fits"),
    [
        (("linux-aarch64", "3.11"), "cp311-cp311-manylinux_2_28_aarch64", True),
        (("linux-aarch64", "3.11"), "cp39-abi3-manylinux_2_31_aarch64", True),
        (("linux-aarch64", "3.11"), "cp311-cp311-manylinux2014_aarch64", True),
        (("linux-aarch64", "3.11"), "py3-none-any", True),
        (("linux-aarch64", "3.11"), "cp312-cp312-manylinux_2_28_aarch64", False),
        (("linux-aarch64", "3.11"), "cp312-abi3-manylinux_2_28_aarch64", False),
        (("linux-aarch64", "3.11"), "cp311-cp311-manylinux_2_39_aarch64", False),
        (("linux-aarch64", "3.11"), "cp311-cp311-manylinux_2_28_x86_64", False),
        (("linux-aarch64", "3.11"), "cp311-cp311-musllinux_1_2_aarch64", False),
        (("linux-x86_64", "3.12"), "cp312-cp312-manylinux1_x86_64", True),
        (("windows-x86_64", "3.12"), "cp312-cp312-win_amd64", True),
        (("windows-x86_64", "3.12"), "cp312-cp312-win32", False),
        (("windows-arm64", "3.12"), "cp312-cp312-win_arm64", True),
        (("macos-arm64", "3.13"), "cp313-cp313-macosx_14_0_arm64", True),
        (("macos-arm64", "3.13"), "cp310-abi3-macosx_10_9_universal2", True),
        (("macos-arm64", "3.13"), "cp313-cp313-macosx_15_0_arm64", False),
        (("macos-arm64", "3.13"), "cp313-cp313-macosx_11_0_x86_64", False),
    ],
)
def test_which_wheels_fit_a_target(target: tuple[str, str], tag: str, fits: bool) -> None:
    interpreter, abi, platform = tag.split("-")
    tags = tags_of(WheelTarget(platform=target[0], python=target[1]))
    assert (Tag(interpreter, abi, platform) in tags) is fits


def test_every_platform_has_tags_and_markers() -> None:
    for name in PLATFORMS:
        target = WheelTarget(platform=name, python="3.12")
        assert len(tags_of(target)) > 10
        assert marker_environment(target)["python_version"] == "3.12"


def test_unknown_targets_are_refused_with_the_known_ones() -> None:
    for target in (("linux-riscv64", "3.11"), ("linux-aarch64", "3.9")):
        with pytest.raises(ConfigError, match="linux-aarch64"):
            platform_of(WheelTarget(platform=target[0], python=target[1]))


def test_the_runtime_that_is_installed_is_closed() -> None:
    found, missing = closure(installed, None)
    assert missing == {}
    assert {"edgeagent", "numpy", "onnxruntime-genai", "onnxruntime", "pydantic-core"} <= set(found)
    assert found["numpy"].version == metadata.version("numpy")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"noise" * 100])
def test_damaged_wheels_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    path.write_bytes(content)
    for read in (read_wheel, license_texts):
        with pytest.raises(DamagedFileError, match="damaged"):
            read(path)
    with pytest.raises(DamagedFileError, match="named like a wheel"):
        wheel_name(tmp_path / "tiny.zip")


# Gathering


def test_the_wheelhouse_is_for_the_other_device_and_needs_nothing_else(
    package: Package, tmp_path: Path, offline_index: Path
) -> None:
    pytest.importorskip("hatchling")
    out = tmp_path / "jetson.tar"
    settings = BundleSettings(wheelhouse=JETSON)
    written = write_bundle(package, out, settings)
    assert {path.name for path in tmp_path.iterdir()} == {"index", "jetson.tar", "tiny-package"}

    names = {wheel_name(Path(wheel))[0]: wheel for wheel in written.index.wheels}
    assert set(names) == set(installed_runtime())
    for name in NATIVE:
        assert names[name].endswith("aarch64.whl")
    entries = entries_of(out.read_bytes())
    text = entries["bundle/requirements.txt"].decode()
    assert text.count(" --hash=sha256:") == len(names)
    assert "numpy.txt" in entries["bundle/notices/NOTICES.md"].decode()
    assert b"Licence of numpy." in entries["bundle/notices/numpy.txt"]
    assert b"Apache License" in entries["bundle/notices/edgeagent.txt"]

    second = write_bundle(package, tmp_path / "again.tar", settings)
    assert second.sha256 == written.sha256

    if (this_platform(), this_python()) != (JETSON.platform, JETSON.python):
        with pytest.raises(ConfigError, match="--any-platform"):
            install_bundle(out, tmp_path / "to")
    installed_bundle = install_bundle(out, tmp_path / "to", any_platform=True)
    assert installed_bundle.wheelhouse is not None
    # pip itself resolves the requirements with hashes and from nothing but the wheelhouse.
    command = [sys.executable, "-m", "pip", "download", "--only-binary", ":all:", "--no-index"]
    command += ["--find-links", str(installed_bundle.wheelhouse), "--python-version", "3.11"]
    for tag in platform_of(JETSON).wheel_platforms:
        command += ["--platform", tag]
    command += ["--require-hashes", "-r", str(installed_bundle.requirements)]
    command += ["--dest", str(tmp_path / "resolved")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "resolved").iterdir())) == len(names)


@pytest.mark.usefixtures("quick_own_wheel")
def test_what_only_the_other_device_needs_comes_along(tmp_path: Path, offline_index: Path) -> None:
    for path in offline_index.iterdir():
        if "aarch64" in path.name:
            path.rename(
                path.with_name(
                    path.name.replace("cp311", "cp312").replace(
                        "manylinux_2_28_aarch64", "win_amd64"
                    )
                )
            )
    click = installed("click")
    assert click is not None
    (offline_index / f"click-{click.version}-py3-none-any.whl").unlink()
    only_there = 'winshell>=1.5; sys_platform == "win32"'
    only_here = 'absent; sys_platform == "linux"'
    make_wheel(offline_index, "click", click.version, requires=(only_there, only_here))
    make_wheel(offline_index, "winshell", "1.4")
    make_wheel(offline_index, "winshell", "1.6", requires=("deeper",))
    make_wheel(offline_index, "deeper", "0.1", "cp312-abi3-win_amd64")
    paths = gather(WINDOWS, tmp_path)
    assert paths["winshell"].name == "winshell-1.6-py3-none-any.whl"
    assert paths["deeper"].name == "deeper-0.1-cp312-abi3-win_amd64.whl"
    assert "absent" not in paths


@pytest.mark.usefixtures("quick_own_wheel")
def test_what_only_this_device_needs_stays_here(tmp_path: Path, offline_index: Path) -> None:
    rich = installed("rich")
    assert rich is not None
    (offline_index / f"rich-{rich.version}-py3-none-any.whl").unlink()
    make_wheel(offline_index, "rich", rich.version)  # no requirements on the other device
    paths = gather(JETSON, tmp_path)
    assert not {"mdurl", "markdown-it-py", "pygments"} & set(paths)


@pytest.mark.usefixtures("quick_own_wheel")
@pytest.mark.parametrize(
    "tag",
    [
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp312-cp312-manylinux_2_28_aarch64",
        "cp311-cp311-manylinux_2_39_aarch64",
    ],
)
def test_wheels_of_other_devices_do_not_count(
    tmp_path: Path, offline_index: Path, tag: str
) -> None:
    (path,) = offline_index.glob("numpy-*.whl")
    version = metadata.version("numpy")
    path.rename(path.with_name(f"numpy-{version}-{tag}.whl"))
    with pytest.raises(SourceError, match=r"linux-aarch64 with Python 3\.11.*numpy"):
        gather(JETSON, tmp_path)


@pytest.mark.usefixtures("quick_own_wheel")
def test_a_wheel_of_another_name_is_refused(tmp_path: Path, offline_index: Path) -> None:
    version = metadata.version("mdurl")
    make_wheel(offline_index, "mdurl", version, inner_name="evil")
    with pytest.raises(EdgeAgentError):  # pip or we
        gather(JETSON, tmp_path)


def test_failures_and_ctrl_c_leave_no_wheels(
    package: Package, tmp_path: Path, offline_index: Path
) -> None:
    pytest.importorskip("hatchling")
    (path,) = offline_index.glob("numpy-*.whl")
    path.unlink()
    settings = BundleSettings(wheelhouse=JETSON)
    with pytest.raises(SourceError, match="numpy"):
        write_bundle(package, tmp_path / "out.tar", settings)

    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(package, tmp_path / "out.tar", settings, on_progress=interrupt)
    assert {path.name for path in tmp_path.iterdir()} == {"index", "tiny-package"}


BACKEND = """
import os, time
from pathlib import Path

def build_wheel(*args, **options):
    Path(os.environ["PID_FILE"]).write_text(str(os.getpid()))
    time.sleep(120)

prepare_metadata_for_build_wheel = build_wheel
"""


def test_ctrl_c_ends_what_pip_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, work, pid_file = tmp_path / "source", tmp_path / "work", tmp_path / "pid"
    source.mkdir()
    work.mkdir()
    monkeypatch.setenv("PID_FILE", str(pid_file))
    (source / "slow.py").write_text(BACKEND, encoding="utf-8")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "slow"\nbackend-path = ["."]\n'
        '[project]\nname = "slow"\nversion = "1"\n',
        encoding="utf-8",
    )

    def interrupt() -> None:
        if pid_file.is_file() and pid_file.read_text(encoding="utf-8"):
            raise KeyboardInterrupt

    arguments = ["wheel", "--no-build-isolation", "--no-index", "--no-deps", str(source)]
    with pytest.raises(KeyboardInterrupt):
        run_pip(arguments, work, "It failed", interrupt)
    _, alive = psutil.wait_procs(_processes(int(pid_file.read_text(encoding="utf-8"))), timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def _processes(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []


# edgeagent's own wheel


def unpacked(wheel: Path, site: Path) -> metadata.Distribution:
    """Install a wheel into a folder, as pip does for pure Python ones."""
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile"]
    command += ["--disable-pip-version-check", "--quiet", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    (info,) = site.glob("*.dist-info")
    return metadata.Distribution.at(info)


def test_an_installed_edgeagent_becomes_its_wheel_again(own_wheel: Path, tmp_path: Path) -> None:
    distribution = unpacked(own_wheel, tmp_path / "site")
    again = repack(distribution, tmp_path)
    assert again.name == own_wheel.name
    with zipfile.ZipFile(again) as ours, zipfile.ZipFile(own_wheel) as theirs:
        own = {name for name in theirs.namelist() if not name.endswith("/")}
        assert set(ours.namelist()) == own
        for name in own - {name for name in own if name.endswith("RECORD")}:
            assert ours.read(name) == theirs.read(name)
    twice = tmp_path / "twice"
    unpacked(again, twice)  # pip takes it, so its RECORD is right
    first = again.read_bytes()
    assert repack(distribution, tmp_path).read_bytes() == first


def test_a_changed_installation_is_not_handed_on(own_wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    distribution = unpacked(own_wheel, site)
    (site / "edgeagent" / "clock.py").write_text("evil = 1", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"edgeagent/clock\.py .*was changed"):
        repack(distribution, tmp_path)
    (site / "edgeagent" / "clock.py").unlink()
    with pytest.raises(ConfigError, match=r"lacks edgeagent/clock\.py"):
        repack(distribution, tmp_path)


@pytest.mark.parametrize(
    ("origin", "match"),
    [
        (None, "without being installed"),
        ("{", "damaged"),
        ('{"dir_info": {"editable": true}, "url": "file:///nowhere/at/all"}', "no longer"),
    ],
)
def test_without_a_sound_installation_there_is_no_wheel(
    origin: str | None, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distribution(name: str) -> metadata.Distribution:
        if origin is None:
            raise metadata.PackageNotFoundError(name)
        info = tmp_path / "edgeagent-0.1.0.dist-info"
        info.mkdir()
        (info / "direct_url.json").write_text(origin, encoding="utf-8")
        return metadata.Distribution.at(info)

    monkeypatch.setattr(metadata, "distribution", distribution)
    with pytest.raises(ConfigError, match=match):
        make_own_wheel(tmp_path, tmp_path, lambda: None)


# The network


@pytest.mark.heavy
def test_real_wheels_for_aarch64(package: Package, tmp_path: Path) -> None:
    settings = BundleSettings(wheelhouse=JETSON)
    written = write_bundle(package, tmp_path / "jetson.tar", settings)
    tags = tags_of(JETSON)
    for wheel in written.index.wheels:
        assert wheel_name(Path(wheel))[2] & tags
    (runtime,) = (wheel for wheel in written.index.wheels if wheel.startswith("onnxruntime_genai"))
    assert runtime.endswith("aarch64.whl")
    folder = install_bundle(written.path, tmp_path / "to", any_platform=True).wheelhouse
    assert folder is not None
    (path,) = folder.glob("onnxruntime_genai-*.whl")
    with zipfile.ZipFile(path) as archive:
        (library,) = (
            name for name in archive.namelist() if name.endswith("libonnxruntime-genai.so")
        )
        header = archive.read(library)[:20]
    assert header[:4] == b"\x7fELF"
    assert int.from_bytes(header[18:20], "little") == 183  # EM_AARCH64
