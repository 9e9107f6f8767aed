"""The files of a repository at one commit, on the hub and in a folder on this machine."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edgeagent.config.model import HubSource
from edgeagent.errors import SourceError
from edgeagent.export.checkpoint.safetensors.config import HFConfig
from edgeagent.export.checkpoint.safetensors.index import INDEX_NAME, list_shards
from edgeagent.export.checkpoint.safetensors.refusals import CONFIG_NAME, refuse_quantized
from edgeagent.export.sources.address import HubAddress
from edgeagent.export.sources.listing import Listing, RemoteFile
from edgeagent.export.sources.selection import (
    Selection,
    select_folder,
    select_gguf,
    select_shards,
)
from edgeagent.export.sources.stamp import read_stamp, stamp_path, write_stamp
from edgeagent.export.sources.transfer import (
    OnProgress,
    PullProgress,
    ignore_progress,
    require_disk,
    sha256_of,
)


class Snapshot:
    """What an address needs of a repository, and how much of it is here.

    Args:
        address: What was asked for.
        listing: What the repository holds.
        folder: Where its files are kept; need not exist.
        on_progress: Told how far hashing and downloading are.

    Raises:
        SourceError: The repository does not hold what was asked for.
    """

    def __init__(
        self, address: HubAddress, listing: Listing, folder: Path, on_progress: OnProgress
    ) -> None:
        self._address = address
        self._listing = listing
        self._folder = folder
        self._report = on_progress
        self._chosen = (
            select_folder(listing)
            if address.file is None
            else Selection((), select_gguf(listing, address.file))
        )

    @property
    def path(self) -> Path:
        """What an export is given: the folder, or the GGUF (its first part)."""
        is_folder = self._address.file is None
        return self._folder if is_folder else self._folder / self._chosen.weights[0].name

    def is_complete(self) -> bool:
        """Whether all files are here and right; never uses the network."""
        return all(map(self._is_right, self._chosen.describing)) and all(
            map(self._is_right, self._weights())
        )

    def download(self) -> None:
        """Download what is not here yet.

        Raises:
            SourceError: The hub cannot be reached, refuses, or sends something else than it lists.
            UnsupportedError: The weights turn out to be quantized; they were not downloaded.
            ResourceError: The disk has not enough room; no weights were downloaded.
        """
        if self._chosen.has_index:
            index = self._listing.files[INDEX_NAME]
            if not self._is_right(index):
                self._fetch(index, ignore_progress)  # only it knows how much there is to come
        describing, weights = self._chosen.describing, self._weights()
        files = (*describing, *weights)
        missing = [file for file in files if not self._is_right(file)]
        self._folder.mkdir(parents=True, exist_ok=True)
        require_disk(self._folder, sum(map(self._to_come, missing)))
        overall = _Overall(self._report, self._address.origin, files, missing)
        for file in missing:
            if file in describing:
                self._fetch(file, overall.of(file))
                overall.add(file)
        if describing:
            refuse_quantized(HFConfig.read(self._folder / CONFIG_NAME))
        for file in missing:
            if file in weights:
                self._fetch(file, overall.of(file))
                overall.add(file)

    def _weights(self) -> tuple[RemoteFile, ...]:
        """The weight files; an index that lists them must be here."""
        if not self._chosen.has_index:
            return self._chosen.weights
        return select_shards(self._listing, list_shards(self._folder / INDEX_NAME))

    def _is_right(self, file: RemoteFile) -> bool:
        """Check a file by its stamp, or by its content if that is not true of it any more."""
        path = self._folder / file.name
        stamp = read_stamp(path)
        if stamp is not None:
            same_size = file.size_bytes in {None, stamp.size_bytes}
            return same_size and file.sha256 in {None, stamp.sha256}
        if not path.is_file():
            return False
        actual = sha256_of(path, self._address.origin, self._report)
        if not file.holds(path, actual):
            return False
        with suppress(OSError):  # a folder that is shared read-only is hashed every time
            write_stamp(path, actual, self._origin_of(file))
        return True

    def _fetch(self, file: RemoteFile, on_progress: OnProgress) -> None:
        from edgeagent.export.sources.hub import fetch_hub

        source = HubSource(
            kind="hub",
            repo=self._listing.repo,
            file=file.name,
            revision=self._listing.commit,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
        )
        target = self._folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            fetch_hub(source, target, on_progress)
        except SourceError as error:
            raise SourceError(f"{file.name}: {error}") from error
        stamp = read_stamp(target)
        if stamp is None or not file.holds(target, stamp.sha256):
            target.unlink()
            stamp_path(target).unlink(missing_ok=True)
            raise SourceError(f"{file.name}: the hub sent something else than it lists")

    def _to_come(self, file: RemoteFile) -> int:
        """Bytes of a file that an earlier download did not get."""
        target = self._folder / file.name
        parts = target.parent.glob(f".{glob.escape(target.name)}.*.part")
        return max(0, (file.size_bytes or 0) - sum(part.stat().st_size for part in parts))

    def _origin_of(self, file: RemoteFile) -> str:
        return f"hub {self._listing.repo}/{file.name}@{self._listing.commit}"


class _Overall:
    """Turns the progress of one file after the other into that of all."""

    def __init__(
        self,
        report: OnProgress,
        origin: str,
        files: Sequence[RemoteFile],
        missing: Sequence[RemoteFile],
    ) -> None:
        sizes = [file.size_bytes for file in files]
        self._report = report
        self._origin = origin
        self._total = None if None in sizes else _total(files)
        self._done = _total(files) - _total(missing)

    def add(self, file: RemoteFile) -> None:
        """Count a file as done."""
        self._done += file.size_bytes or 0

    def of(self, file: RemoteFile) -> OnProgress:
        """Return what the download of a file reports to; checking a small one is not told."""

        def report(progress: PullProgress) -> None:
            if progress.stage == "verify" and file.sha256 is None:
                return
            done = self._done + progress.done_bytes
            overall = replace(
                progress, origin=self._origin, done_bytes=done, total_bytes=self._total
            )
            self._report(overall)

        return report


def _total(files: Sequence[RemoteFile]) -> int:
    return sum(file.size_bytes or 0 for file in files)
