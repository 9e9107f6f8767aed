"""Gathering what goes into a bundle: names and where their bytes come from."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TypeAlias

import tomli

from edgeagent.bundle.index import (
    DEVICE_NAME,
    SUITE_FOLDER,
    WHEELHOUSE_FOLDER,
    BundledFile,
    problem_in,
)
from edgeagent.config.device import DeviceProfile
from edgeagent.config.devices import device_file
from edgeagent.config.package import Package
from edgeagent.config.spec import MAX_CONFIG_BYTES, parse_spec
from edgeagent.config.suites import SUITE_FILE_NAME, Suite, document_files
from edgeagent.errors import ConfigError
from edgeagent.record.manifest import MANIFEST_NAME

Source: TypeAlias = Path | bytes
"""A file that is streamed, or a content that was made."""

Contents: TypeAlias = Mapping[str, Source]
"""Path inside the bundle, and what stands there."""

_CHUNK_BYTES = 1 << 20


def package_contents(package: Package) -> dict[str, Source]:
    """Return the manifest of a package and the files that it lists; others stay behind.

    Raises:
        ConfigError: A listed file is missing, or weights do not have the listed size.
    """
    contents: dict[str, Source] = {MANIFEST_NAME: package.folder / MANIFEST_NAME}
    root = package.folder.resolve()
    for name, size_bytes in package.manifest.files.items():
        path = package.folder / name
        if not path.is_file() or not path.parent.resolve().is_relative_to(root):
            raise ConfigError(
                f"{package.folder} lacks its file {name}, which {MANIFEST_NAME} lists;"
                " export the model again."
            )
        # Like the engine: a chat template may be edited by hand, weights may not.
        if ".onnx" in name and path.stat().st_size != size_bytes:
            raise ConfigError(
                f"{path} has {path.stat().st_size} of {size_bytes} bytes; export the model again."
            )
        contents[name] = path
    return contents


def suite_contents(suite: Suite) -> dict[str, Source]:
    """Return the file of a suite, its tasks and its documents.

    Raises:
        ConfigError: The suite has no `suite.toml`.
    """
    if SUITE_FILE_NAME not in suite.files:
        raise ConfigError(
            f"The suite {suite.spec.name} has no {SUITE_FILE_NAME} and cannot be bundled; write one"
            ' that names the file of tasks (tasks = "...jsonl").'
        )
    contents: dict[str, Source] = {
        f"{SUITE_FOLDER}/{name}": path for name, path in suite.files.items()
    }
    if suite.documents_dir is not None:
        for path in document_files(suite.documents_dir):
            contents[f"{SUITE_FOLDER}/{path.relative_to(suite.folder).as_posix()}"] = path
    return contents


def device_contents(device: str | Path) -> dict[str, Source]:
    """Return the device profile.

    Args:
        device: Id of a shipped profile, or the path of a file.

    Raises:
        ConfigError: There is none, or it is not valid.
    """
    path = device_file(device)
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES >> 20} MiB.")
        content = path.read_bytes()
        data = tomli.loads(content.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # of TOML and of UTF-8
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    # What is bundled is what was checked, even if the file changes meanwhile.
    parse_spec(data, DeviceProfile, where=str(path))
    return {DEVICE_NAME: content}


def wheel_contents(folder: Path) -> dict[str, Source]:
    """Return the wheels of a folder."""
    return {f"{WHEELHOUSE_FOLDER}/{path.name}": path for path in sorted(folder.glob("*.whl"))}


def require_sound_names(contents: Contents) -> None:
    """Check that these files can lie in one folder on every system.

    Raises:
        ConfigError: They cannot.
    """
    if (problem := problem_in(list(contents))) is not None:
        raise ConfigError(f"This cannot be bundled: {problem}; rename it.")


def open_source(source: Source) -> IO[bytes]:
    """Open a source for reading."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def hash_contents(contents: Contents, on_bytes: Callable[[int], None]) -> tuple[BundledFile, ...]:
    """Return size and hash of every file, sorted by path; `on_bytes` is told the bytes read.

    Raises:
        ConfigError: A file cannot be read.
    """
    files = []
    done = 0
    for path in sorted(contents):
        digest = hashlib.sha256()
        size = 0
        with open_source(contents[path]) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                on_bytes(done + size)
        done += size
        files.append(BundledFile(path=path, size_bytes=size, sha256=digest.hexdigest()))
    return tuple(files)


def total_bytes(contents: Contents) -> int:
    """Return the size of all contents together."""
    return sum(
        len(source) if isinstance(source, bytes) else source.stat().st_size
        for source in contents.values()
    )
