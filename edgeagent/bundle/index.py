"""`bundle.json`: what a bundle holds, for which device, and the hash of every file."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.bundle.names import conflict_between, problem_with
from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.record.base import Record
from edgeagent.record.manifest import MANIFEST_NAME

FORMAT_VERSION = 1
"""Raised when a reader of the old format would misread a bundle."""

INDEX_NAME = "bundle.json"
SUMS_NAME = "SHA256SUMS"
EXTRAS = "bundle"
"""Folder beside the package's own files for everything else."""
REQUIREMENTS_NAME = f"{EXTRAS}/requirements.txt"
DEVICE_NAME = f"{EXTRAS}/device.toml"
SUITE_FOLDER = f"{EXTRAS}/suite"
NOTICES_FOLDER = f"{EXTRAS}/notices"
WHEELHOUSE_FOLDER = f"{EXTRAS}/wheelhouse"

MAX_INDEX_BYTES = 4 << 20
MAX_FILES = 10_000
MAX_FILE_BYTES = 1 << 40

Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Text: TypeAlias = Annotated[str, Field(max_length=400)]


class BundledFile(Record):
    """One file of a bundle.

    Attributes:
        path: Below the installed folder, with forward slashes.
        size_bytes: Of its content.
        sha256: Of its content.
    """

    path: str
    size_bytes: int = Field(ge=0, le=MAX_FILE_BYTES)
    sha256: Sha256


class BundledSuite(Record):
    """The evaluation suite that came along.

    Attributes:
        name: As its file says.
        version: As its file says.
        sha256: Over the suite and its documents, as run folders record it.
    """

    name: _Text
    version: int
    sha256: Sha256


class WheelTarget(Record):
    """The device for which wheels came along.

    Attributes:
        platform: Such as `linux-aarch64`.
        python: Minor version of CPython, such as `3.11`.
    """

    platform: str = Field(pattern=r"^[a-z0-9]+-[a-z0-9_]+$", max_length=40)
    python: str = Field(pattern=r"^3\.[0-9]{1,2}$")


class BundleIndex(Record):
    """What `bundle.json` says.

    Attributes:
        format_version: Version of the archive format.
        model_id: As in the package's manifest.
        edgeagent_version: Version that made the bundle.
        created_utc: When the package was exported, not when it was bundled: a bundle depends on
            its contents only.
        source_sha256: Of the weights that the package was exported from.
        package_sha256: Of the package's manifest, which stands for the package in records.
        suite: The evaluation suite.
        wheelhouse: For which device wheels came along, `None` if none did.
        files: Every other file of the bundle except the list of hashes, sorted by path.
    """

    format_version: int
    model_id: _Text
    edgeagent_version: _Text
    created_utc: _Text
    source_sha256: _Text
    package_sha256: Sha256
    suite: BundledSuite
    wheelhouse: WheelTarget | None = None
    files: tuple[BundledFile, ...] = Field(min_length=1, max_length=MAX_FILES)

    @property
    def content_bytes(self) -> int:
        """Size of all listed files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def wheels(self) -> tuple[str, ...]:
        """File names of the wheels that came along."""
        prefix = f"{WHEELHOUSE_FOLDER}/"
        return tuple(
            file.path.removeprefix(prefix) for file in self.files if file.path.startswith(prefix)
        )


def index_content(index: BundleIndex) -> bytes:
    """Return the bytes of `bundle.json`."""
    return (index.model_dump_json(indent=1) + "\n").encode("utf-8")


def problem_in(paths: list[str]) -> str | None:
    """Return in words why these paths cannot be the files of one bundle, `None` if they can."""
    for path in paths:
        if (problem := problem_with(path)) is not None:
            return f"the file name {path[:80]!r} {problem}"
    if (conflict := conflict_between([*paths, INDEX_NAME, SUMS_NAME])) is not None:
        first, second = conflict
        return f"the file names {first[:80]!r} and {second[:80]!r} exclude each other"
    return None


class _Version(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    format_version: int


def parse_index(content: bytes, where: str) -> BundleIndex:
    """Read the bytes of `bundle.json`, which may come from anywhere.

    Raises:
        UnsupportedError: A later version of edgeagent wrote it.
        DamagedFileError: It is not an index, or lists files that no bundle may hold.
    """
    try:
        version = _Version.model_validate_json(content).format_version
        if version > FORMAT_VERSION:
            raise UnsupportedError(
                f"{where} has format version {version}, and this edgeagent reads up to"
                f" {FORMAT_VERSION}; install a newer edgeagent."
            )
        index = BundleIndex.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "its content"
        raise _refused(where, f"{INDEX_NAME}: {key}: {first['msg']}") from error
    if version != FORMAT_VERSION:
        raise _refused(where, f"there is no format version {version}")
    paths = [file.path for file in index.files]
    if (problem := problem_in(paths)) is not None:
        raise _refused(where, problem)
    if paths != sorted(paths):
        raise _refused(where, f"{INDEX_NAME} does not list its files in order")
    if missing := {MANIFEST_NAME, REQUIREMENTS_NAME} - set(paths):
        raise _refused(where, f"it holds no {' and no '.join(sorted(missing))}")
    if index.wheels and index.wheelhouse is None:
        raise _refused(where, "it holds wheels and does not say for which platform")
    return index


def _refused(where: str, problem: str) -> DamagedFileError:
    return DamagedFileError(f"{where} is not a sound bundle: {problem}; get or make it again.")
