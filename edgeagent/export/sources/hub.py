"""Weights in a repository of the Hugging Face Hub, downloaded so that a broken transfer resumes.

huggingface_hub finds, authorizes and names the file; the transfer itself is done here, because its
own download discards what it has when it is interrupted. What has arrived waits in a hidden
`.part` file named after the ETag, so two versions of a file are never mixed.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent.config.model import HubSource
from edgeagent.errors import SourceError
from edgeagent.export.sources.hub_library import (
    brief,
    explain,
    hub_endpoint,
    require_hub_library,
)
from edgeagent.export.sources.stamp import write_stamp
from edgeagent.export.sources.transfer import (
    CHUNK_BYTES,
    OnProgress,
    PullProgress,
    require_disk,
    require_sha256,
    sha256_of,
)

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_ATTEMPTS = 5
_RETRY_S = 1.0
_TIMEOUT_S = 30.0
_SHA256_ETAG = re.compile(r"[0-9a-f]{64}")
"""The hub's ETag of a large file is its SHA-256; that of a small one is a git blob id."""


class _BrokenTransferError(Exception):
    """The connection failed while the file was on its way; what arrived can be kept."""


def fetch_hub(source: HubSource, target: Path, on_progress: OnProgress) -> None:
    """Download the file to `target`, verified by the recipe's hash or else by the hub's own.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        SourceError: The hub cannot be reached, refuses, or has another file than expected.
        ResourceError: The disk has not enough room; nothing was downloaded.
    """
    require_hub_library()
    import huggingface_hub

    endpoint = hub_endpoint()
    url = huggingface_hub.hf_hub_url(
        source.repo, source.file, revision=source.revision, endpoint=endpoint
    )
    on_progress(PullProgress("download", source.origin, 0, source.size_bytes))
    metadata = _metadata(source, url, endpoint)
    expected = _expected_sha256(source, metadata)
    part = _part_of(target, metadata.etag or "unknown")
    try:
        _download(url, part, metadata.size, source.origin, on_progress)
        actual = sha256_of(part, source.origin, on_progress)
        try:
            require_sha256(actual, expected)
        except SourceError:
            part.unlink(missing_ok=True)
            raise
        os.replace(part, target)  # noqa: PTH105 - the one call whose atomicity is documented
        commit = metadata.commit_hash or source.revision
        write_stamp(target, actual, f"hub {source.repo}/{source.file}@{commit}")
    except OSError as error:
        raise SourceError(f"writing to {target.parent} failed: {error.strerror}") from error


def _metadata(source: HubSource, url: str, endpoint: str | None) -> HfFileMetadata:
    """Ask the hub for size, hash and commit of the file."""
    import huggingface_hub

    try:
        return huggingface_hub.get_hf_file_metadata(url, endpoint=endpoint)
    except Exception as error:  # whatever the library's HTTP client raises
        absent = f"it has no {source.file} at revision {source.revision}"
        raise explain(error, source.repo, absent) from error


def _expected_sha256(source: HubSource, metadata: HfFileMetadata) -> str | None:
    """Return the hash to verify, after comparing what the hub says with what the recipe says.

    Raises:
        SourceError: They differ: the file changed since the recipe was written.
    """
    if source.size_bytes is not None and metadata.size not in {None, source.size_bytes}:
        raise SourceError(
            f"the hub's file has {metadata.size} bytes but {source.size_bytes} are expected"
        )
    if metadata.etag and _SHA256_ETAG.fullmatch(metadata.etag):
        require_sha256(metadata.etag, source.sha256)
        return metadata.etag
    return source.sha256


def _part_of(target: Path, etag: str) -> Path:
    """Return the place of the partial file, and remove those of other versions."""
    tag = re.sub(r"[^0-9A-Za-z]", "", etag)[:16]
    part = target.with_name(f".{target.name}.{tag}.part")
    for old in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        if old != part:
            old.unlink(missing_ok=True)
    return part


def _download(
    url: str, part: Path, size_bytes: int | None, origin: str, on_progress: OnProgress
) -> None:
    """Bring `part` to its full size, from where it is, over as many connections as it takes."""
    if size_bytes is not None and _size(part) > size_bytes:
        part.unlink()
    require_disk(part.parent, (size_bytes or 0) - _size(part))
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_RETRY_S)
        if size_bytes is not None and _size(part) == size_bytes:
            return
        try:
            _append(url, part, size_bytes, origin, on_progress)
        except _BrokenTransferError as error:
            reason = str(error)
            continue
        if size_bytes is None or _size(part) == size_bytes:
            return
        reason = "the connection was closed early"
    raise SourceError(
        f"the transfer broke off at {_size(part)} of {size_bytes} bytes ({reason});"
        " run the same command again to resume"
    )


def _append(
    url: str, part: Path, size_bytes: int | None, origin: str, on_progress: OnProgress
) -> None:
    """Append what one connection delivers."""
    with contextlib.closing(_receive(url, _size(part))) as pieces:
        done, _ = next(pieces)
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(done)
            file.seek(done)
            for _, chunk in pieces:
                done += len(chunk)
                if size_bytes is not None and done > size_bytes:
                    break
                file.write(chunk)
                on_progress(PullProgress("download", origin, done, size_bytes))
    if size_bytes is not None and done > size_bytes:
        part.unlink()
        raise SourceError(f"the hub sent more than the {size_bytes} bytes it announced")


def _receive(url: str, offset: int) -> Generator[tuple[int, bytes], None, None]:
    """Yield the offset that the server really starts at, then the data."""
    import huggingface_hub
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        hf_raise_for_status,
    )

    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        with huggingface_hub.get_session().stream(
            "GET", url, headers=headers, timeout=_TIMEOUT_S
        ) as response:
            hf_raise_for_status(response)
            # A server that ignores the range answers 200 and starts from the first byte.
            yield (offset if response.status_code == 206 else 0), b""
            for chunk in response.iter_bytes(CHUNK_BYTES):
                yield 0, chunk
    except Exception as error:  # whatever the library's HTTP client raises
        raise _BrokenTransferError(brief(error)) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
