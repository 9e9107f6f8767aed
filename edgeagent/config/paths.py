"""Where shipped data lies and where edgeagent may write.

Shipped data: inside an installed wheel `models/` and `profiles/` are at `edgeagent/data/`; in a
checkout or an editable install they are beside the package. Written data: one cache folder
(`EDGEAGENT_HOME`, else the platform's cache folder) and the output folders that users name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edgeagent.errors import ConfigError

_PACKAGE_DIR = Path(__file__).resolve().parent.parent


def data_dir(name: str) -> Path:
    """Return the shipped folder `models` or `profiles`.

    Raises:
        ConfigError: The installation is incomplete.
    """
    for candidate in (_PACKAGE_DIR / "data" / name, _PACKAGE_DIR.parent / name):
        if candidate.is_dir():
            return candidate
    raise ConfigError(f"The installation of edgeagent lacks its {name}/ folder; install it again.")


def home_dir() -> Path:
    """Return the folder below which downloads and exported packages are kept.

    `EDGEAGENT_HOME` wins; else `%LOCALAPPDATA%` on Windows, `~/Library/Caches` on macOS and
    `$XDG_CACHE_HOME` or `~/.cache` elsewhere, each with `edgeagent` appended.
    """
    if override := os.environ.get("EDGEAGENT_HOME"):
        return Path(override).expanduser().resolve()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "edgeagent"


def sources_dir() -> Path:
    """Return the folder of downloaded weights."""
    return home_dir() / "sources"


def packages_dir() -> Path:
    """Return the folder of exported packages that were not given another place."""
    return home_dir() / "packages"
