"""Making a bundle: equal contents give equal bytes, and the file appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import edgeagent
from edgeagent.bundle.compression import ZSTD_MAGIC, compressed
from edgeagent.bundle.contents import (
    Contents,
    Source,
    device_contents,
    hash_contents,
    open_source,
    package_contents,
    require_sound_names,
    suite_contents,
    total_bytes,
    wheel_contents,
)
from edgeagent.bundle.index import (
    FORMAT_VERSION,
    INDEX_NAME,
    REQUIREMENTS_NAME,
    SUMS_NAME,
    BundledFile,
    BundledSuite,
    BundleIndex,
    WheelTarget,
    index_content,
)
from edgeagent.bundle.layout import (
    BLOCK_BYTES,
    END,
    archive_bytes,
    header_of,
    padding_of,
    sums_content,
)
from edgeagent.bundle.notices import notices
from edgeagent.bundle.platforms import platform_of, this_platform, this_python
from edgeagent.bundle.progress import OnBundleProgress, ignore_progress
from edgeagent.bundle.requirements import installed_runtime, requirements_content
from edgeagent.bundle.wheelhouse import Wheelhouse, gather_wheels, work_folder
from edgeagent.config.package import Package
from edgeagent.config.suites import load_suite
from edgeagent.errors import ConfigError, ResourceError

_CHUNK_BYTES = 1 << 20
_DISK_MARGIN_BYTES = 64 << 20


@dataclass(frozen=True)
class BundleSettings:
    """What goes into a bundle beside the package.

    Attributes:
        suite: Name of a shipped suite, or the path of one.
        device: Device profile: the id of a shipped one, or the path of a TOML file.
        wheelhouse: Device to gather wheels for, which asks pip's index; `None` for no wheels.
        zstd: Whether to compress.
    """

    suite: str | Path = "core"
    device: str | Path | None = None
    wheelhouse: WheelTarget | None = None
    zstd: bool = False


@dataclass(frozen=True)
class WrittenBundle:
    """A bundle that was made.

    Attributes:
        path: The file.
        size_bytes: Of the file.
        sha256: Of the file; tell it to whoever installs the bundle.
        index: What it holds.
    """

    path: Path
    size_bytes: int
    sha256: str
    index: BundleIndex


def write_bundle(
    package: Package,
    out: Path,
    settings: BundleSettings | None = None,
    *,
    on_progress: OnBundleProgress = ignore_progress,
) -> WrittenBundle:
    """Put a package and all that a device needs for it into one archive.

    Args:
        package: The exported model.
        out: The archive; another bundle there is replaced.
        settings: What comes along, `None` for the defaults.
        on_progress: Told how far it is.

    Raises:
        ConfigError: The package is incomplete, the suite, device profile or target is not valid,
            or `out` cannot be written.
        SourceError: A wheel cannot be had.
        ResourceError: The disk has not enough room.
        MissingExtraError: Compression is asked for and this Python has no zstd.
    """
    settings = settings or BundleSettings()
    _check_out(out)
    suite = load_suite(settings.suite)
    contents: dict[str, Source] = package_contents(package)
    contents |= suite_contents(suite)
    if settings.device is not None:
        contents |= device_contents(settings.device)
    with _as_our_errors(out), _wheelhouse(settings.wheelhouse, out, on_progress) as wheelhouse:
        contents |= _runtime_contents(package, wheelhouse)
        require_sound_names(contents)
        index = BundleIndex(
            format_version=FORMAT_VERSION,
            model_id=package.manifest.model_id,
            edgeagent_version=edgeagent.__version__,
            created_utc=package.manifest.created_utc,
            source_sha256=package.manifest.source.sha256,
            package_sha256=package.sha256,
            suite=BundledSuite(
                name=suite.spec.name, version=suite.spec.version, sha256=suite.sha256
            ),
            wheelhouse=settings.wheelhouse,
            files=_hashed(contents, on_progress),
        )
        head = index_content(index)
        _require_disk(out, archive_bytes(index, len(head)))
        with _staged_file(out) as partial:
            with partial.open("xb") as file:
                with compressed(file) if settings.zstd else nullcontext(file) as stream:
                    _write(stream, index, head, contents, on_progress)
                file.flush()
                os.fsync(file.fileno())
            with partial.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    return WrittenBundle(out, out.stat().st_size, digest, index)


def is_bundle(path: Path) -> bool:
    """Whether a file begins like a bundle; nothing is verified."""
    with path.open("rb") as file:
        start = file.read(BLOCK_BYTES)
    return start.startswith((ZSTD_MAGIC, INDEX_NAME.encode("ascii") + b"\0"))


@contextmanager
def _wheelhouse(
    target: WheelTarget | None, out: Path, on_progress: OnBundleProgress
) -> Iterator[Wheelhouse | None]:
    """Yield wheels that are there as long as the block runs, `None` if there is no target."""
    if target is None:
        yield None
        return
    platform_of(target)
    with work_folder(out.absolute().parent, f".{out.name}.{secrets.token_hex(4)}.wheels") as work:
        folder = work / "wheels"
        folder.mkdir()
        yield gather_wheels(target, folder, work, lambda done: on_progress("wheels", done, None))


def _runtime_contents(package: Package, wheelhouse: Wheelhouse | None) -> dict[str, Source]:
    """Return the pinned requirements, the notices and the wheels."""
    if wheelhouse is None:
        runtime = installed_runtime()
        contents: dict[str, Source] = {**notices(package.manifest, runtime, {})}
        made_for = f"{this_platform()}, Python {this_python()}"
        contents[REQUIREMENTS_NAME] = requirements_content(runtime, {}, made_for)
        return contents
    contents = {**notices(package.manifest, wheelhouse.runtime, wheelhouse.paths)}
    contents |= wheel_contents(wheelhouse.folder)
    target = wheelhouse.target
    contents[REQUIREMENTS_NAME] = requirements_content(
        wheelhouse.runtime,
        {name: _sha256_of(path) for name, path in wheelhouse.paths.items()},
        f"{target.platform}, Python {target.python}",
    )
    return contents


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hashed(contents: Contents, on_progress: OnBundleProgress) -> tuple[BundledFile, ...]:
    total = total_bytes(contents)
    return hash_contents(contents, lambda done: on_progress("hash", done, total))


def _write(
    stream: IO[bytes],
    index: BundleIndex,
    head: bytes,
    contents: Contents,
    on_progress: OnBundleProgress,
) -> None:
    done = 0

    def copy(file: BundledFile, source: Source) -> None:
        nonlocal done
        stream.write(header_of(file.path, file.size_bytes))
        digest = hashlib.sha256()
        with open_source(source) as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
                stream.write(chunk)
                done += len(chunk)
                on_progress("write", done, index.content_bytes)
        if digest.hexdigest() != file.sha256:
            raise ConfigError(f"{source!s:.300} changed while it was bundled; try again.")
        stream.write(bytes(padding_of(file.size_bytes)))

    def put(path: str, content: bytes) -> str:
        stream.write(header_of(path, len(content)) + content + bytes(padding_of(len(content))))
        return hashlib.sha256(content).hexdigest()

    index_sha256 = put(INDEX_NAME, head)
    for file in index.files:
        copy(file, contents[file.path])
    put(SUMS_NAME, sums_content(index.files, index_sha256))
    stream.write(END)


def _check_out(out: Path) -> None:
    try:
        if out.is_dir():
            raise ConfigError(f"{out} is a folder; give the name of a file.")
        if out.exists() and not (out.is_file() and is_bundle(out)):
            raise ConfigError(f"{out} is no bundle, so it is not replaced; give another name.")
        if not out.parent.is_dir():
            raise ConfigError(f"There is no folder {out.parent}; make it first.")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{out} cannot be written: {error}.") from error


def _require_disk(out: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(out.parent).free
    if free < needed_bytes + _DISK_MARGIN_BYTES:
        raise ResourceError(
            f"The bundle takes {needed_bytes / 1e6:,.0f} MB and {out.parent} has"
            f" {free / 1e6:,.0f} MB left; free some, or give a place on another disk with --out."
        )


@contextmanager
def _staged_file(out: Path) -> Iterator[Path]:
    """Yield a path beside `out` whose file takes its place when the block ends well."""
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _as_our_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}:
            raise ResourceError(
                f"The disk ran full while {out} was written; nothing was kept."
            ) from error
        where = error.filename or out
        raise ConfigError(
            f"{where} cannot be read or written: {error.strerror or error}."
        ) from error
