"""Licence notices: what a bundle hands on has licences of its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath

from edgeagent.bundle.distributions import OWN_NAME, Distribution, license_texts
from edgeagent.bundle.index import NOTICES_FOLDER
from edgeagent.config.model import load_recipe
from edgeagent.errors import ConfigError
from edgeagent.record.manifest import Manifest


def notices(
    manifest: Manifest, runtime: Mapping[str, Distribution], wheels: Mapping[str, Path]
) -> dict[str, bytes]:
    """Return the notices for a model, for edgeagent and for the wheels that come along.

    Args:
        manifest: Of the package.
        runtime: Distributions by name.
        wheels: Files of the wheels by name; without wheels only edgeagent is named.

    Returns:
        Contents by path inside the bundle: a table, and a file of licence texts for each
        distribution that brings some.
    """
    texts = {name: license_texts(path) for name, path in wheels.items()} or {
        OWN_NAME: _installed_texts(OWN_NAME)
    }
    lines = ["# Licences", "", *_model_lines(manifest), ""]
    lines += ["| software | version | licence | texts |", "| --- | --- | --- | --- |"]
    contents = {}
    for name in sorted(texts):
        own = f"{name}.txt" if texts[name] else "none in its wheel"
        lines.append(f"| {name} | {runtime[name].version} | {runtime[name].license} | {own} |")
        if texts[name]:
            contents[f"{NOTICES_FOLDER}/{name}.txt"] = _joined(texts[name])
    contents[f"{NOTICES_FOLDER}/NOTICES.md"] = ("\n".join(lines) + "\n").encode("utf-8")
    return contents


def _model_lines(manifest: Manifest) -> list[str]:
    source = manifest.source
    stated, url, note = source.license, None, ""
    try:
        recipe = load_recipe(manifest.model_id)
    except ConfigError:
        pass  # a file of the user's own, which has no recipe
    else:
        stated, url, note = recipe.license, recipe.license_url, recipe.license_note
    lines = [
        f"Model: {source.name or manifest.model_id} ({manifest.model_id}), from {source.file}"
        f" ({source.origin}), SHA-256 {source.sha256}.",
        f"Licence of the model: {stated or 'not stated; ask its makers before you pass it on'}"
        f"{f', {url}' if url else ''}.",
    ]
    return [*lines, note] if note else lines


def _installed_texts(name: str) -> dict[str, bytes]:
    texts = {}
    for file in metadata.files(name) or ():
        path = PurePosixPath(file.as_posix())
        if path.parts[0].endswith(".dist-info") and "licenses" in path.parts:
            texts["/".join(path.parts[2:])] = Path(str(file.locate())).read_bytes()
    return texts


def _joined(texts: Mapping[str, bytes]) -> bytes:
    """Return texts in one file, each under its name."""
    parts = []
    for name in sorted(texts):
        parts.append(f"===== {name} =====\n\n".encode())
        parts.append(texts[name].replace(b"\r\n", b"\n").rstrip() + b"\n\n")
    return b"".join(parts)
