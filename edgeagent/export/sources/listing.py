"""What a hub says is in a repository: one commit, its files, their sizes and hashes.

A commit never changes, so the answer is kept beside the files and asked for once. It comes from
another machine: names that lead out of a folder are refused, here and when it is read again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent.errors import SourceError
from edgeagent.export.sources.address import HubAddress, is_commit
from edgeagent.export.sources.hub_library import explain, hub_endpoint, require_hub_library
from edgeagent.export.sources.json_record import read_json, write_json

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20
_UNUSABLE = (AttributeError, KeyError, TypeError, ValueError)
"""What the library raises where an answer is not what it should be."""
_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        name: Path in the repository, relative, with forward slashes.
        size_bytes: `None` if the hub does not say.
        sha256: The hub has it of large files only.
        blob_id: The hub has it of small files only: git's SHA-1 of a header and the content.
    """

    name: str
    size_bytes: int | None = None
    sha256: str | None = None
    blob_id: str | None = None

    def holds(self, path: Path, sha256: str) -> bool:
        """Whether a file on this machine is this one, as far as the hub lets one know.

        Args:
            path: The file.
            sha256: Its hash.
        """
        if self.size_bytes is not None and path.stat().st_size != self.size_bytes:
            return False
        if self.sha256 is not None:
            return self.sha256 == sha256
        return self.blob_id is None or self.blob_id == _git_blob_id(path)


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit.

    Attributes:
        repo: `OWNER/REPO`.
        commit: Full hash.
        license: As the model card names it, empty if it names none.
        files: By name; files without content are left out.
    """

    repo: str
    commit: str
    license: str
    files: Mapping[str, RemoteFile]

    @property
    def origin(self) -> str:
        """The repository in words, for manifests."""
        return f"hub {self.repo}@{self.commit}"


def ask_hub(address: HubAddress) -> Listing:
    """Ask the hub what is in a repository.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        SourceError: The hub cannot be reached or refuses, or its answer cannot be used.
    """
    require_hub_library()
    import huggingface_hub

    try:
        info = huggingface_hub.HfApi(endpoint=hub_endpoint()).model_info(
            address.repo, revision=address.revision, timeout=_TIMEOUT_S, files_metadata=True
        )
        listing = _listing(address.repo, info)
    except SourceError:
        raise
    except Exception as error:  # whatever the library's HTTP client raises
        if isinstance(error, _UNUSABLE) and not isinstance(error, OSError):
            raise SourceError("the hub's answer does not describe a repository") from error
        absent = f"{address.repo} has no revision {address.revision}"
        raise explain(error, address.repo, absent) from error
    if address.is_pinned and listing.commit != address.revision:
        raise SourceError(f"the hub answers with another commit, {listing.commit}")
    return listing


def listing_path(files: Path) -> Path:
    """Return where the listing of a folder of downloads is kept, which is named after a commit."""
    return files.with_name(f"{files.name}.json")


def write_listing(listing: Listing, place: Path) -> None:
    """Keep an answer; the folder must exist."""
    files = [asdict(file) for file in listing.files.values()]
    named = {"repo": listing.repo, "commit": listing.commit, "license": listing.license}
    write_json({**named, "files": files}, place)


def listing_of(path: Path) -> Listing | None:
    """Return what is known of the repository that a downloaded folder or file is of.

    Args:
        path: Folder named after the commit, or anything in it.
    """
    path = path.absolute()
    for folder in (path, *path.parents):
        if is_commit(folder.name):
            listing = _read_listing(listing_path(folder))
            return listing if listing is not None and listing.commit == folder.name else None
    return None


def _read_listing(place: Path) -> Listing | None:
    """Read an answer that was kept; `None` if there is none or it is damaged."""
    document = read_json(place)
    try:
        files = [
            RemoteFile(entry["name"], entry["size_bytes"], entry["sha256"], entry["blob_id"])
            for entry in document["files"]
        ]
        return Listing(
            str(document["repo"]),
            str(document["commit"]),
            str(document["license"]),
            {file.name: _checked(file) for file in files},
        )
    except (*_UNUSABLE, SourceError):
        return None


def _listing(repo: str, info: ModelInfo) -> Listing:
    """Turn the library's record into ours.

    Raises:
        ValueError: It lacks what is needed.
        SourceError: It names a file outside the repository.
    """
    if info.siblings is None or not is_commit(info.sha or ""):
        raise ValueError("no files or no commit")
    files = {}
    for sibling in info.siblings:
        size = sibling.lfs.size if sibling.lfs else sibling.size
        sha256 = sibling.lfs.sha256 if sibling.lfs else None
        blob_id = None if sibling.lfs else sibling.blob_id
        file = _checked(RemoteFile(sibling.rfilename, size, sha256, blob_id))
        if size != 0:
            files[file.name] = file
    card = info.card_data
    named = getattr(card, "license", None)
    license_id = named if isinstance(named, str) and named.isprintable() else ""
    return Listing(repo, str(info.sha), license_id, files)


def _checked(file: RemoteFile) -> RemoteFile:
    """Return a file whose record can be relied on.

    Raises:
        TypeError: A value has another type than it must.
        ValueError: A value is out of its range.
        SourceError: The name leads out of the repository.
    """
    parts = file.name.split("/")
    if "\\" in file.name or ".." in parts or "" in parts or ":" in parts[0]:
        raise SourceError(
            f"the hub lists a file {file.name[:80]!r}, which is outside the repository, so nothing"
            " of it is downloaded"
        )
    if file.size_bytes is not None and not (type(file.size_bytes) is int and file.size_bytes >= 0):
        raise ValueError("size")
    if file.sha256 is not None and _SHA256.fullmatch(file.sha256) is None:
        raise ValueError("sha256")
    if file.blob_id is not None and _SHA1.fullmatch(file.blob_id) is None:
        raise ValueError("blob id")
    return file


def _git_blob_id(path: Path) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
