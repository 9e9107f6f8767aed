"""Installing a bundle: everything is verified before anything takes its place, and offline."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import IO

from edgeagent.bundle.distributions import wheel_name
from edgeagent.bundle.index import (
    DEVICE_NAME,
    INDEX_NAME,
    REQUIREMENTS_NAME,
    SUITE_FOLDER,
    SUMS_NAME,
    WHEELHOUSE_FOLDER,
    BundledFile,
    BundleIndex,
)
from edgeagent.bundle.names import problem_with
from edgeagent.bundle.platforms import tags_here, this_platform, this_python
from edgeagent.bundle.progress import OnBundleProgress, ignore_progress
from edgeagent.bundle.read import BundleReader, open_bundle, require_sha256
from edgeagent.bundle.requirements import check_requirements
from edgeagent.config.package import Package, read_package
from edgeagent.config.paths import packages_dir
from edgeagent.config.suites import load_suite
from edgeagent.errors import ConfigError, DamagedFileError, ResourceError
from edgeagent.record.manifest import MANIFEST_NAME
from edgeagent.record.staging import staged_folder

_DISK_MARGIN_BYTES = 64 << 20
_BLOCK_BYTES = 4096
"""What a small file takes on most file systems."""


@dataclass(frozen=True)
class InstalledBundle:
    """A bundle that lies unpacked and verified.

    Attributes:
        folder: The package, with everything else in its folder `bundle`.
        package: What `edgeagent run` and `profile` use.
        index: What the bundle said.
        wheelhouse: Folder of the wheels, `None` if there are none.
        requirements: The pinned versions.
        suite: Folder of the evaluation suite.
        device: The device profile, `None` if there is none.
    """

    folder: Path
    package: Package
    index: BundleIndex
    wheelhouse: Path | None
    requirements: Path
    suite: Path
    device: Path | None


def install_bundle(
    bundle: Path,
    out: Path | None = None,
    *,
    any_platform: bool = False,
    sha256: str | None = None,
    on_progress: OnBundleProgress = ignore_progress,
) -> InstalledBundle:
    """Verify a bundle and unpack it; on any error nothing is left of it.

    Args:
        bundle: The archive, which may come from anywhere.
        out: Folder of the package; `None` for the model's own below the cache folder, where its
            id leads to. A package that is there is replaced.
        any_platform: Whether to take wheels for another device.
        sha256: Expected hash of the archive, told by whoever made it; `None` not to ask.
        on_progress: Told how far it is.

    Raises:
        ConfigError: There is no such file, it is for another device, or `out` cannot be used.
        DamagedFileError: The bundle is damaged or hostile.
        UnsupportedError: A later version of edgeagent wrote it.
        ResourceError: The disk has not enough room.
        MissingExtraError: It is compressed and this Python has no zstd.
    """
    if sha256 is not None:
        require_sha256(bundle, sha256)
    with open_bundle(bundle) as reader:
        index = reader.index
        if not any_platform:
            _require_this_device(index, bundle)
        folder = out or _default_folder(index)
        _require_disk(folder, index)
        with staged_folder(folder) as staging:
            _unpack(reader, staging, on_progress)
            _check_contents(index, staging, bundle)
    return InstalledBundle(
        folder=folder,
        package=read_package(folder),
        index=index,
        wheelhouse=folder / WHEELHOUSE_FOLDER if index.wheels else None,
        requirements=folder / REQUIREMENTS_NAME,
        suite=folder / SUITE_FOLDER,
        device=folder / DEVICE_NAME if (folder / DEVICE_NAME).is_file() else None,
    )


def differing_versions(requirements: Path) -> dict[str, tuple[str, str | None]]:
    """Return the pinned version and the installed one (`None`: not installed) where they differ."""
    differing: dict[str, tuple[str, str | None]] = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        name, is_pin, rest = line.partition("==")
        if line.startswith("#") or not is_pin:
            continue
        pinned = rest.split(" ")[0]
        try:
            here: str | None = metadata.version(name)
        except metadata.PackageNotFoundError:
            here = None
        if here != pinned:
            differing[name] = (pinned, here)
    return differing


def _require_this_device(index: BundleIndex, bundle: Path) -> None:
    """Check that the wheels of a bundle can be installed here."""
    target = index.wheelhouse
    if target is None:
        return
    here = tags_here()
    strange = [name for name in index.wheels if not wheel_name(Path(name))[2] & here]
    place = (this_platform(), this_python())
    if place == (target.platform, target.python) and not strange:
        return
    reason = f"; {strange[0]} does not run here" if strange else ""
    raise ConfigError(
        f"{bundle} holds wheels for {target.platform} with Python {target.python}, and this is"
        f" {place[0]} with Python {place[1]}{reason}; make a bundle for this device, or unpack it"
        " nevertheless with --any-platform."
    )


def _default_folder(index: BundleIndex) -> Path:
    name = index.model_id
    if "/" in name or problem_with(name) is not None or name.startswith("."):
        raise ConfigError(
            f"The bundle's model is called {name[:80]!r}, which is no name of a folder; say with"
            " --out where to install it."
        )
    return packages_dir() / name


def _require_disk(folder: Path, index: BundleIndex) -> None:
    existing = next((parent for parent in folder.absolute().parents if parent.is_dir()), None)
    if existing is None:
        return
    needed = index.content_bytes + len(index.files) * _BLOCK_BYTES + _DISK_MARGIN_BYTES
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ResourceError(
            f"The bundle needs {needed / 1e6:,.0f} MB and {existing} has {free / 1e6:,.0f} MB left;"
            " free some, or give a folder on another disk with --out."
        )


def _unpack(reader: BundleReader, staging: Path, on_progress: OnBundleProgress) -> None:
    total = reader.index.content_bytes

    def open_file(file: BundledFile) -> IO[bytes]:
        path = staging.joinpath(*PurePosixPath(file.path).parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")

    sums = reader.copy_files(open_file, lambda done: on_progress("verify", done, total))
    (staging / INDEX_NAME).write_bytes(reader.index_content)
    (staging / SUMS_NAME).write_bytes(sums)


def _check_contents(index: BundleIndex, staging: Path, bundle: Path) -> None:
    """Check that what lies unpacked is what the bundle said it is."""
    hashes = {file.path: file.sha256 for file in index.files}
    prefix = f"{WHEELHOUSE_FOLDER}/"
    wheels = frozenset(digest for path, digest in hashes.items() if path.startswith(prefix))
    check_requirements(staging / REQUIREMENTS_NAME, wheels)
    try:
        package = read_package(staging)
        suite = load_suite(staging / SUITE_FOLDER)
    except ConfigError as error:
        reason = str(error).replace(f"{staging}{os.sep}", "")
        raise DamagedFileError(f"{bundle} is not a sound bundle: {reason}") from error
    manifest = package.manifest
    claims = {
        "model_id": (index.model_id, manifest.model_id),
        "source_sha256": (index.source_sha256, manifest.source.sha256),
        "created_utc": (index.created_utc, manifest.created_utc),
        "package_sha256": (index.package_sha256, package.sha256),
        "suite": (
            (index.suite.name, index.suite.version, index.suite.sha256),
            (suite.spec.name, suite.spec.version, suite.sha256),
        ),
    }
    for claim, (said, found) in claims.items():
        if said != found:
            raise DamagedFileError(
                f"{bundle} is not a sound bundle: {claim} in {INDEX_NAME} is not that of its"
                " contents; make it again."
            )
    if missing := [name for name in manifest.files if name not in hashes]:
        raise DamagedFileError(
            f"{bundle} is not a sound bundle: it lacks {missing[0]}, which {MANIFEST_NAME} lists;"
            " make it again."
        )
