"""Damaged and hostile bundles: each ends in one of our errors and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import random
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bundle_forge import archive, entries_of, forged, index_of, tar_header, zstd_module

from edgeagent.bundle.install import install_bundle
from edgeagent.bundle.layout import BLOCK_BYTES, padding_of
from edgeagent.errors import ConfigError, DamagedFileError, EdgeAgentError, UnsupportedError

SEED = 20240506
MAX_PYTHON_BYTES = 64 << 20
MAX_SECONDS = 10.0

Damage = Callable[[bytes], bytes]


def flip(offset: Callable[[bytes, random.Random], int], seed: int) -> Damage:
    def damage(bundle: bytes) -> bytes:
        source = random.Random(seed)
        at = offset(bundle, source)
        changed = bytearray(bundle)
        changed[at] ^= 1 << source.randrange(8)
        return bytes(changed)

    return damage


def regions(bundle: bytes) -> dict[str, list[tuple[int, int]]]:
    """Where the parts of an archive are: lists of begin and end."""
    found: dict[str, list[tuple[int, int]]] = {
        name: [] for name in ("index header", "index", "header", "content", "padding", "sums")
    }
    at = 0
    while any(bundle[at : at + BLOCK_BYTES]):
        header = tarfile.TarInfo.frombuf(bundle[at : at + BLOCK_BYTES], "utf-8", "strict")
        begin = at + BLOCK_BYTES
        end = begin + header.size
        is_index, is_sums = header.name == "bundle.json", header.name == "SHA256SUMS"
        found["index header" if is_index else "header"].append((at, begin))
        found["index" if is_index else "sums" if is_sums else "content"].append((begin, end))
        at = end + padding_of(header.size)
        found["padding"].append((end, at))
    found["end"] = [(at, len(bundle))]
    return found


def within(region: str) -> Callable[[bytes, random.Random], int]:
    def choose(bundle: bytes, source: random.Random) -> int:
        begin, end = source.choice([span for span in regions(bundle)[region] if span[1] > span[0]])
        return source.randrange(begin, end)

    return choose


def flips() -> Iterator[tuple[str, Damage]]:
    source = random.Random(SEED)
    counts = {"index header": 10, "index": 20, "header": 12, "content": 12}
    counts |= {"padding": 4, "sums": 6, "end": 3}
    for region, count in counts.items():
        for number in range(count):
            yield f"flip in {region} {number}", flip(within(region), source.randrange(1 << 30))


def cuts() -> Iterator[tuple[str, Damage]]:
    source = random.Random(SEED + 1)
    for at in (0, 1, 100, 511, 512, 513, 1024):
        yield f"cut at {at}", lambda bundle, at=at: bundle[:at]  # type: ignore[misc]
    for missing in (1, 511, 512, 1024, 1025, 4096):
        yield f"cut {missing} from end", lambda bundle, n=missing: bundle[:-n]  # type: ignore[misc]
    for number in range(8):
        share = source.random()
        yield (
            f"cut at random {number}",
            lambda bundle, share=share: bundle[: int(share * len(bundle))],  # type: ignore[misc]
        )
    yield "one byte more", lambda bundle: bundle + b"\0"
    yield "a block more", lambda bundle: bundle + bytes(512)
    yield "twice", lambda bundle: bundle * 2
    yield "one file of zeros", lambda bundle: bytes(len(bundle))
    yield "noise", lambda bundle: random.Random(SEED).randbytes(len(bundle))
    yield "a zip", lambda bundle: b"PK\x03\x04" + bundle[4:]
    yield "hole in the middle", lambda bundle: bundle[:4096] + bundle[8192:]
    yield "zeroed block", lambda bundle: bundle[:9216] + bytes(512) + bundle[9728:]


NAMES = {
    "absolute": "/tmp/evil",
    "parent": "../evil",
    "parent inside": "bundle/../../evil",
    "backslashes": "..\\..\\evil",
    "drive": "C:/evil",
    "drive relative": "C:evil",
    "unc": "\\\\server\\share\\evil",
    "stream": "manifest.json:evil",
    "nul byte": "evil\0.txt",
    "control": "evil\x1b[31m",
    "device": "bundle/NUL.txt",
    "trailing dot": "manifest.json.",
    "trailing space": "evil ",
    "dot": "./evil",
    "empty part": "bundle//evil",
    "index itself": "BUNDLE.JSON",
    "case": "MANIFEST.json",
    "file as folder": "manifest.json/evil",
    "folder as file": "bundle",
    "decomposed": "e\u0301vil",
    "surrogate": "evil\ud800",
    "long": "x" * 200,
}


def names() -> Iterator[tuple[str, Damage]]:
    for label, name in NAMES.items():
        yield f"name {label}", lambda bundle, name=name: with_name(bundle, name)  # type: ignore[misc]


def with_name(bundle: bytes, name: str) -> bytes:
    """Add a file of this name; where a header cannot hold it, at least the index does."""
    try:
        return forged(bundle, add={name: b"evil"})
    except (ValueError, UnicodeEncodeError):
        index = index_of(bundle)
        entry = {"path": name, "size_bytes": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
        index["files"] = sorted([*index["files"], entry], key=lambda file: file["path"])
        return archive(index, [("evil", b"evil")])


def with_entry(bundle: bytes, kind: bytes, link: str = "") -> bytes:
    """Put another kind of entry where a listed file must stand."""
    begin, end = regions(bundle)["header"][3]
    header = tarfile.TarInfo.frombuf(bundle[begin:end], "utf-8", "strict")
    return bundle[:begin] + tar_header(header.name, header.size, kind, link) + bundle[end:]


def with_pax(bundle: bytes) -> bytes:
    """Let an extension header rename a file, which other programs would obey."""
    begin, _ = regions(bundle)["header"][2]
    records = b"20 path=../evil.txt\n"
    extra = tar_header("x", len(records), tarfile.XHDTYPE) + records
    return bundle[:begin] + extra + bytes(padding_of(len(records))) + bundle[begin:]


def entries_in(bundle: bytes) -> list[tuple[str, bytes]]:
    entries = entries_of(bundle)
    return [(name, entries[name]) for name in entries if name not in {"bundle.json", "SHA256SUMS"}]


def with_fields(bundle: bytes, **fields: object) -> bytes:
    return archive(index_of(bundle) | fields, entries_in(bundle))


def with_file_fields(bundle: bytes, **fields: object) -> bytes:
    index = index_of(bundle)
    index["files"][-1] |= fields
    return archive(index, entries_in(bundle))


def with_text(bundle: bytes, old: str, new: str) -> bytes:
    text = entries_of(bundle)["bundle.json"].decode()
    assert old in text
    return archive(text.replace(old, new, 1).encode(), entries_in(bundle))


def exchanged(bundle: bytes, name: str, content: bytes) -> bytes:
    """Change a content but not the index."""
    files = [(each, content if each == name else own) for each, own in entries_in(bundle)]
    return archive(index_of(bundle), files)


def many_files(bundle: bytes) -> bytes:
    files = [{"path": f"f{n:05}", "size_bytes": 0, "sha256": "0" * 64} for n in range(10_001)]
    return archive(index_of(bundle) | {"files": files}, [])


def header_only(size: int) -> bytes:
    return tar_header("bundle.json", size) + bytes(4096)


def structures() -> Iterator[tuple[str, Damage]]:
    yield "symlink", lambda b: with_entry(b, tarfile.SYMTYPE, "/etc/passwd")
    yield "hard link", lambda b: with_entry(b, tarfile.LNKTYPE, "../evil")
    yield "folder", lambda b: with_entry(b, tarfile.DIRTYPE)
    yield "character device", lambda b: with_entry(b, tarfile.CHRTYPE)
    yield "block device", lambda b: with_entry(b, tarfile.BLKTYPE)
    yield "named pipe", lambda b: with_entry(b, tarfile.FIFOTYPE)
    yield "sparse file", lambda b: with_entry(b, tarfile.GNUTYPE_SPARSE)
    yield "pax header", with_pax
    yield "same file twice", lambda b: forged(b, twice=["model.onnx"])
    yield "unlisted file", lambda b: archive(index_of(b), [*entries_in(b), ("zz", b"evil")])
    yield "missing file", lambda b: archive(index_of(b), entries_in(b)[:-1])
    yield "other order", lambda b: archive(index_of(b), entries_in(b)[::-1])
    yield (
        "unsorted index",
        lambda b: archive(index_of(b) | {"files": index_of(b)["files"][::-1]}, entries_in(b)[::-1]),
    )
    yield "other content", lambda b: exchanged(b, "tokenizer.json", b'{"model": []}')
    yield "longer content", lambda b: exchanged(b, "tokenizer.json", b"x" * 14)
    yield "shorter content", lambda b: exchanged(b, "tokenizer.json", b"x" * 12)
    yield "wrong hash", lambda b: with_file_fields(b, sha256="0" * 64)
    yield "hash is no hash", lambda b: with_file_fields(b, sha256="0" * 63 + "x")
    yield "larger size", lambda b: with_file_fields(b, size_bytes=1 << 39)
    yield "too large size", lambda b: with_file_fields(b, size_bytes=1 << 62)
    yield "huge size", lambda b: with_file_fields(b, size_bytes=10**40)
    yield "negative size", lambda b: with_file_fields(b, size_bytes=-1)
    yield "size is text", lambda b: with_file_fields(b, size_bytes="many")
    yield "unknown field of a file", lambda b: with_file_fields(b, mode=0o4755)
    yield "too many files", many_files
    yield "no files", lambda b: archive(index_of(b) | {"files": []}, [])
    yield "no manifest", lambda b: forged(b, drop=["manifest.json"])
    yield "no requirements", lambda b: forged(b, drop=["bundle/requirements.txt"])
    yield "no suite", lambda b: forged(b, drop=["bundle/suite/suite.toml"])
    yield "no weights", lambda b: forged(b, drop=["model.onnx.data"])
    yield "damaged manifest", lambda b: forged(b, add={"manifest.json": b"{}"})
    yield "version 0", lambda b: with_fields(b, format_version=0)
    yield "version 2", lambda b: with_fields(b, format_version=2)
    yield "version is text", lambda b: with_fields(b, format_version="new")
    yield "unknown field", lambda b: with_fields(b, post_install="rm -rf /")
    yield "another model", lambda b: with_fields(b, model_id="another")
    yield "another source", lambda b: with_fields(b, source_sha256="cd" * 32)
    yield "another package", lambda b: with_fields(b, package_sha256="cd" * 32)
    yield "another date", lambda b: with_fields(b, created_utc="2030-01-01T00:00:00+00:00")
    yield (
        "another suite",
        lambda b: with_fields(
            b, suite={"name": "core", "version": 9, "sha256": index_of(b)["suite"]["sha256"]}
        ),
    )
    yield "long text", lambda b: with_fields(b, model_id="x" * 100_000)
    yield (
        "wheels for nobody",
        lambda b: forged(b, add={"bundle/wheelhouse/a-1-py3-none-any.whl": b"x"}),
    )
    yield (
        "wheels for another device",
        lambda b: forged(
            b,
            add={"bundle/wheelhouse/a-1-py3-none-any.whl": b"x"},
            wheelhouse={"platform": "amiga-m68k", "python": "3.11"},
        ),
    )
    yield (
        "platform of control characters",
        lambda b: with_fields(b, wheelhouse={"platform": "linux-\x1b[2J", "python": "3.11"}),
    )
    for label, line in {
        "index": "--index-url https://example.invalid/simple",
        "url": "edgeagent @ https://example.invalid/e.whl",
        "editable": "-e .",
        "other file": "-r other.txt",
        "range": "numpy>=1",
        "continued": "numpy==1 \\",
        "hidden": "# comment\r--index-url https://example.invalid",
    }.items():
        yield (
            f"requirement {label}",
            lambda b, line=line: forged(  # type: ignore[misc]
                b, add={"bundle/requirements.txt": line.encode()}
            ),
        )
    yield "index of no bytes", lambda b: archive(b" ", entries_in(b))
    yield "index is a list", lambda b: archive(b"[]", entries_in(b))
    yield "index is no text", lambda b: archive(b"\xff\xfe", entries_in(b))
    yield "index nested deeply", lambda b: archive(b'{"files":' + b"[" * 200_000, entries_in(b))
    yield "index of digits", lambda b: archive(b"9" * 100_000, entries_in(b))
    yield (
        "index not a number",
        lambda b: with_text(b, '"format_version": 1', '"format_version": NaN'),
    )
    yield "index too large", lambda b: archive(b" " * ((4 << 20) + 1), [])
    yield "index announced only", lambda b: header_only(4 << 20)
    yield "index of 8 GB", lambda b: header_only(8**11 - 1)
    yield "size not octal", lambda b: b[:124] + b"99999999999\0" + b[136:]
    yield "size in base 256", lambda b: b[:124] + b"\x80" + bytes(10) + b"\xff" + b[136:]
    yield "size negative", lambda b: b[:124] + b"\xff" * 12 + b[136:]
    yield "another first file", lambda b: tar_header("manifest.json", 0) + b
    yield (
        "wrong list of hashes",
        lambda b: archive(index_of(b), entries_in(b), sums=entries_of(b)["SHA256SUMS"]),
    )


CASES = dict([*flips(), *cuts(), *names(), *structures()])


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 150


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refuse(path: Path, folder: Path) -> EdgeAgentError:
    """Install a bundle that must be refused, within limits, and without a trace."""
    before = snapshot(folder)
    tracemalloc.start()
    start_s = time.perf_counter()
    try:
        with pytest.raises(EdgeAgentError) as caught:
            install_bundle(path, folder / "deep" / "target")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start_s < MAX_SECONDS
    assert peak_bytes < MAX_PYTHON_BYTES
    assert snapshot(folder) == before
    message = str(caught.value)
    assert len(message) < 700
    assert message.isprintable(), message
    return caught.value


@pytest.mark.parametrize("case", CASES)
def test_damaged_bundles_are_refused_without_a_trace(
    case: str, sound_bundle: bytes, tmp_path: Path
) -> None:
    damaged = CASES[case](sound_bundle)
    assert damaged != sound_bundle
    path = tmp_path / "damaged.tar"
    path.write_bytes(damaged)
    assert isinstance(refuse(path, tmp_path), DamagedFileError | UnsupportedError | ConfigError)


@pytest.mark.parametrize("case", [name for name, _ in (*names(), *structures())])
def test_hostile_bundles_are_refused_when_compressed_too(
    case: str, sound_bundle: bytes, tmp_path: Path
) -> None:
    """The size of a compressed bundle says nothing, so other checks must find the damage."""
    path = tmp_path / "damaged.tar.zst"
    path.write_bytes(compressed(CASES[case](sound_bundle)))
    assert isinstance(refuse(path, tmp_path), DamagedFileError | UnsupportedError | ConfigError)


def test_the_forger_makes_sound_bundles_if_nothing_is_changed(
    sound_bundle: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "forged.tar"
    path.write_bytes(forged(sound_bundle))
    install_bundle(path, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").is_file()
    path.write_bytes(archive(index_of(sound_bundle), entries_in(sound_bundle)))
    install_bundle(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["folder", "absent"])
def test_what_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.tar"
    if kind == "folder":
        path.mkdir()
    refuse(path, tmp_path)


# Compressed bundles


def packed_cases() -> Iterator[tuple[str, Damage]]:
    source = random.Random(SEED + 2)
    for number in range(12):
        seed = source.randrange(1 << 30)
        anywhere = lambda bundle, chooser: chooser.randrange(len(bundle) - 1)  # noqa: E731
        yield f"flip {number}", flip(anywhere, seed)
    for missing in (1, 3, 4, 5, 100):
        yield f"cut {missing}", lambda bundle, n=missing: bundle[:-n]  # type: ignore[misc]
    yield "only magic", lambda bundle: bundle[:4]
    yield "noise after", lambda bundle: bundle + b"noise"
    yield "frame after", lambda bundle: bundle + compressed(b"more")
    yield "reserved bit", lambda bundle: bundle[:4] + bytes([bundle[4] | 8]) + bundle[5:]
    yield "noise", lambda bundle: bundle[:4] + random.Random(SEED).randbytes(5000)
    yield "twice", lambda bundle: bundle * 2
    yield "endless zeros after", lambda bundle: bundle + compressed(bytes(256 << 20))
    yield "zeros only", lambda _bundle: compressed(bytes(256 << 20))
    yield "announced terabyte", lambda _bundle: announced(1 << 39)
    yield (
        "announced and delivered",
        lambda _bundle: announced(2 << 30) + compressed(bytes(64 << 20)),
    )
    yield "window of 2 GiB", lambda _bundle: wide_window(31)
    yield "window of 256 MiB", lambda _bundle: wide_window(28)
    yield "dictionary", lambda _bundle: b"\x28\xb5\x2f\xfd\x03" + b"\x58" + b"\x01\0\0\0" + bytes(9)


PACKED_CASES = dict(packed_cases())
_BASE: list[bytes] = []


def compressed(content: bytes) -> bytes:
    zstd = zstd_module()
    packed = zstd.compress(content)
    assert isinstance(packed, bytes)
    return packed


def announced(size: int) -> bytes:
    """Compress an index that announces more than there is."""
    index = index_of(_BASE[0])
    index["files"][-1]["size_bytes"] = size
    head = json.dumps(index).encode()
    return compressed(tar_header("bundle.json", len(head)) + head + bytes(padding_of(len(head))))


def wide_window(log: int) -> bytes:
    """Write a frame that asks for a window of 2**log bytes and holds one block of zeros."""
    header = b"\x28\xb5\x2f\xfd" + bytes([0x00, (log - 10) << 3])
    block = struct.pack("<I", (100_000 << 3) | (1 << 1) | 1)[:3] + b"\0"  # repeated byte, last
    return header + block


@pytest.mark.parametrize("case", PACKED_CASES)
def test_damaged_compressed_bundles_are_refused(
    case: str, sound_bundle: bytes, tmp_path: Path
) -> None:
    _BASE[:] = [sound_bundle]
    path = tmp_path / "damaged.tar.zst"
    path.write_bytes(PACKED_CASES[case](compressed_whole(sound_bundle)))
    refuse(path, tmp_path)


def compressed_whole(bundle: bytes) -> bytes:
    import io

    from edgeagent.bundle.compression import compressed as compressing

    zstd_module()
    target = io.BytesIO()
    with compressing(target) as stream:
        stream.write(bundle)
    return target.getvalue()


LIMITED = """
import resource, sys
from pathlib import Path
from edgeagent.bundle.install import install_bundle
from edgeagent.errors import EdgeAgentError
limit = 1 << 30
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
for name in sys.argv[2:]:
    try:
        install_bundle(Path(name), Path(sys.argv[1]))
    except EdgeAgentError as error:
        print(type(error).__name__)
# The peak of getrusage includes that of the parent between fork and exec.
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
def test_bombs_are_refused_within_a_gigabyte_of_memory(sound_bundle: bytes, tmp_path: Path) -> None:
    _BASE[:] = [sound_bundle]
    bombs = [name for name in PACKED_CASES if "window" in name or "zeros" in name or "ann" in name]
    paths = []
    for number, name in enumerate(bombs):
        path = tmp_path / f"{number}.tar.zst"
        path.write_bytes(PACKED_CASES[name](compressed_whole(sound_bundle)))
        paths.append(str(path))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "out"), *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    *refused, peak_kib = done.stdout.split()
    assert refused == ["DamagedFileError"] * len(bombs)
    assert int(peak_kib) < 300 << 10
