"""Makes packages of some kilobytes, and bundles that are right but for what a test changes."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgeagent.bundle.layout import BLOCK_BYTES, END, padding_of
from edgeagent.config.package import Package, read_package
from edgeagent.record.manifest import MANIFEST_NAME, Manifest, SourceRecord

Entry = tuple[str, bytes]

DEVICE_PROFILE = """\
id = "own-board"
name = "A board of one's own"
vendor = "nobody"
match = { board = ["own board"] }
"""

FILES = {
    "genai_config.json": b"{}",
    "model.onnx": bytes(range(256)) * 3,
    "model.onnx.data": bytes(range(255, -1, -1)) * 20 + b"end",
    "tokenizer.json": b'{"model": {}}',
}


def make_package(folder: Path, model_id: str = "tiny-test") -> Package:
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    manifest = Manifest(
        model_id=model_id,
        edgeagent_version="0.1.0",
        created_utc="2024-05-06T07:08:09+00:00",
        source=SourceRecord(
            file="tiny.gguf",
            sha256="ab" * 32,
            size_bytes=1234,
            origin="local file",
            architecture="llama",
            license="MIT",
        ),
        recipe={"exporter": "native"},
        tensor_groups=(),
        tool_versions={},
        files={name: len(content) for name, content in FILES.items()},
        parameters=1000,
        context_len=128,
        kv_bytes_per_token=64,
        tool_call_format="compact",
    )
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest.model_dump()), encoding="utf-8")
    return read_package(folder)


def zstd_module() -> Any:
    """Return `compression.zstd` or what stands in for it before Python 3.14."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return pytest.importorskip(name)


def entries_of(bundle: bytes) -> dict[str, bytes]:
    """Return the files of a bundle by name, as another program reads them."""
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        found = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
        return found


def tar_header(name: str, size_bytes: int, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """Return a header as the writer makes them, but of any name and kind."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime, info.type, info.linkname = (
        size_bytes,
        0o644,
        315_532_800,
        kind,
        link,
    )
    header = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    assert len(header) == BLOCK_BYTES
    return header


def listed(name: str, content: bytes) -> dict[str, Any]:
    return {
        "path": name,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def index_of(bundle: bytes) -> dict[str, Any]:
    index = json.loads(entries_of(bundle)["bundle.json"])
    assert isinstance(index, dict)
    return index


def archive(index: Mapping[str, Any] | bytes, files: Sequence[Entry], sums: bytes = b"") -> bytes:
    """Write an archive with this index and these files, and the list of hashes that fits."""
    head = index if isinstance(index, bytes) else json.dumps(index).encode()
    if not sums:
        lines = [(hashlib.sha256(head).hexdigest(), "bundle.json")]
        lines += [(hashlib.sha256(content).hexdigest(), name) for name, content in files]
        sums = "".join(f"{digest}  {name}\n" for digest, name in lines).encode(
            "utf-8", "surrogatepass"
        )
    parts = []
    for name, content in [("bundle.json", head), *files, ("SHA256SUMS", sums)]:
        parts += [tar_header(name, len(content)), content, bytes(padding_of(len(content)))]
    return b"".join([*parts, END])


def forged(
    bundle: bytes,
    *,
    add: Mapping[str, bytes] | None = None,
    drop: Sequence[str] = (),
    twice: Sequence[str] = (),
    **fields: object,
) -> bytes:
    """Return a bundle with other files or other fields, whose hashes and order are right."""
    entries = entries_of(bundle)
    index = json.loads(entries.pop("bundle.json"))
    del entries["SHA256SUMS"]
    entries |= add or {}
    files = sorted((name, content) for name, content in entries.items() if name not in drop)
    files = sorted([*files, *((name, entries[name]) for name in twice)])
    index["files"] = [listed(name, content) for name, content in files]
    return archive(index | fields, files)
