"""Download a model repository of a hub, pinned to one commit, and find it again without a network.

Below `<folder>/hub/OWNER--REPO/` lie::

    <commit>/...             the files that were needed, under their names, each with a stamp
    <commit>.json            what the hub says is in the repository at that commit
    pulled-<key>.json        which commit the revision of an address stood for when it was pulled

So an address means the same for ever once it was pulled; naming another revision gets another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import SourceError
from edgeagent.export.sources.address import HubAddress, is_commit, parse_address
from edgeagent.export.sources.json_record import read_json, write_json
from edgeagent.export.sources.listing import (
    Listing,
    ask_hub,
    listing_of,
    listing_path,
    write_listing,
)
from edgeagent.export.sources.snapshot import Snapshot
from edgeagent.export.sources.transfer import OnProgress, ignore_progress

__all__ = ["HubAddress", "listing_of", "parse_address", "pull_repository"]


def pull_repository(
    address: HubAddress, folder: Path, *, on_progress: OnProgress | None = None
) -> Path:
    """Return the safetensors folder or the GGUF of an address, downloading what is not there yet.

    Only what an export reads is downloaded: configuration, tokenizer, chat template, licence, and
    weights in safetensors or GGUF; never programs or pickles. The revision is pinned to its commit
    before the first file; a transfer that broke off is resumed. What is complete is used without
    any connection, whatever became of the revision meanwhile.

    Args:
        address: What to get.
        folder: Folder of downloaded weights, made if missing.
        on_progress: Told how far the files are together; called from the calling thread.

    Returns:
        The folder of the commit, or the GGUF file (of a split one, the first part). `origin_of`
        and `listing_of` say where it is from.

    Raises:
        SourceError: The hub cannot be reached or refuses, or lacks what was asked for.
        MissingExtraError: huggingface_hub is not installed.
        UnsupportedError: The weights are quantized by another tool, or come in too many files.
        DamagedFileError: The index of the weights, or the configuration, is damaged.
        ResourceError: The disk has not enough room; no weights were downloaded.
    """
    report = on_progress or ignore_progress
    store = _Store.of(address, folder)
    try:
        known = store.listing_of(address)
        if known is not None:
            snapshot = Snapshot(address, known, store.files(known.commit), report)
            if snapshot.is_complete():
                return snapshot.path
        # A branch may have moved on since; what was not pulled whole is asked for again.
        listing = known if known is not None and address.is_pinned else ask_hub(address)
        files = store.files(listing.commit)
        snapshot = Snapshot(address, listing, files, report)
        files.mkdir(parents=True, exist_ok=True)
        write_listing(listing, listing_path(files))
        snapshot.download()
        if not address.is_pinned:
            pulled = {"address": str(address), "commit": listing.commit}
            write_json(pulled, store.pulled(address))
    except SourceError as error:
        raise SourceError(f"{address} cannot be had: {str(error).rstrip('.')}.") from error
    except OSError as error:
        raise SourceError(
            f"{address} cannot be had: writing to {store.root} failed: {error.strerror or error}."
        ) from error
    return snapshot.path


@dataclass(frozen=True, slots=True)
class _Store:
    """Where everything of one repository lies."""

    root: Path

    @classmethod
    def of(cls, address: HubAddress, folder: Path) -> _Store:
        return cls(folder / "hub" / address.repo.replace("/", "--"))

    def files(self, commit: str) -> Path:
        return self.root / commit

    def pulled(self, address: HubAddress) -> Path:
        return self.root / f"pulled-{address.key}.json"

    def listing_of(self, address: HubAddress) -> Listing | None:
        """What is in the repository at the address's commit, if both are known."""
        commit: object = address.revision
        if not address.is_pinned:
            pulled = read_json(self.pulled(address))
            commit = pulled.get("commit") if pulled.get("address") == str(address) else None
        if not isinstance(commit, str) or not is_commit(commit):
            return None
        listing = listing_of(self.files(commit))
        return listing if listing is not None and listing.repo == address.repo else None
