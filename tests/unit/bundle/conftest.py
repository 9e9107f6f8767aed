"""A package of a few kilobytes and its bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_forge import make_package

from edgeagent.bundle.write import write_bundle
from edgeagent.config.package import Package


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return make_package(tmp_path / "tiny-package")


@pytest.fixture(scope="session")
def sound_bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a bundle without wheels."""
    folder = tmp_path_factory.mktemp("bundle")
    out = folder / "sound.tar"
    write_bundle(make_package(folder / "package"), out)
    return out.read_bytes()
