"""An exported package on disk, identified by its manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgeagent.errors import ConfigError
from edgeagent.record.manifest import MANIFEST_NAME, Manifest

_MAX_MANIFEST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Package:
    """A package folder and what its manifest says.

    Attributes:
        folder: The package.
        manifest: Its manifest.
        sha256: Of the manifest's bytes; stands for the package in records.
    """

    folder: Path
    manifest: Manifest
    sha256: str

    @property
    def precision(self) -> str:
        """Short description of how the weights are stored, the largest group first."""
        groups = sorted(self.manifest.tensor_groups, key=lambda g: g.size_bytes, reverse=True)
        return "; ".join(dict.fromkeys(group.stored_as for group in groups if group.size_bytes))


def is_package(folder: Path) -> bool:
    """Whether the folder looks like a package."""
    return (folder / MANIFEST_NAME).is_file()


def read_package(folder: Path) -> Package:
    """Read the manifest of a package.

    Raises:
        ConfigError: There is none, or it is damaged or of another version.
    """
    path = folder / MANIFEST_NAME
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise ConfigError(f"{path} is larger than {_MAX_MANIFEST_BYTES >> 20} MiB.")
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(content)
    except OSError as error:
        raise ConfigError(
            f"{folder} is not a package: {MANIFEST_NAME} cannot be read ({error.strerror})."
        ) from error
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ConfigError(
            f"{path} is damaged or of another version ({where}); export the model again."
        ) from error
    return Package(folder, manifest, hashlib.sha256(content).hexdigest())
