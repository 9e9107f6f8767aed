"""The bytes of a bundle: a tar archive of which every byte follows from its files.

A bundle is a POSIX ustar archive: `bundle.json`, the files that it lists in this order, and
`SHA256SUMS` over all of them, then two empty blocks. Owners, times and modes are constants. So a
reader need not interpret headers: it renders the header that must stand at each place and compares
bytes. Links, devices, extension headers, other orders, unlisted files and whatever two programs
could read in two ways are thereby refused without being looked at.

Header fields: "ustar Interchange Format" in POSIX.1 (pax); sizes of 8 GiB and more are written in
base 256 as GNU tar does, which every current tar reads.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgeagent.bundle.index import INDEX_NAME, BundledFile, BundleIndex
from edgeagent.bundle.names import NAME_BYTES, PREFIX_BYTES, split_for_header

BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)
"""What ends a tar archive."""

_MODE = 0o644
_MTIME_S = 315_532_800
"""1980-01-01, the earliest date that every archive tool takes without a warning."""
_OCTAL_LIMIT = 8**11


def header_of(path: str, size_bytes: int) -> bytes:
    """Return the header block of a regular file.

    Raises:
        ValueError: The path does not fit a ustar header.
    """
    if (halves := split_for_header(path)) is None:
        raise ValueError(f"{path!r} does not fit the header of an archive")
    prefix, name = halves
    fields = [
        name.ljust(NAME_BYTES, b"\0"),
        b"%07o\0" % _MODE,
        b"%07o\0" % 0,  # user
        b"%07o\0" % 0,  # group
        _size_field(size_bytes),
        b"%011o\0" % _MTIME_S,
        b" " * 8,  # the checksum counts as spaces
        b"0",  # a regular file
        bytes(100),  # target of a link
        b"ustar\x0000",
        bytes(32 + 32),  # names of user and group
        bytes(8 + 8),  # device numbers
        prefix.ljust(PREFIX_BYTES, b"\0"),
        bytes(12),
    ]
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padding_of(size_bytes: int) -> int:
    """Return the number of zero bytes after a file's content."""
    return -size_bytes % BLOCK_BYTES


def size_in(header: bytes) -> int | None:
    """Return the size that an octal size field states, `None` if it is something else."""
    field = header[124:135]
    return int(field, 8) if field.isdigit() and not set(field) & set(b"89") else None


def describe(header: bytes) -> str:
    """Say what a block holds where another header was expected, for an error message."""
    if not any(header):
        return "the end of the archive"
    if header[257:262] != b"ustar":
        return "no tar header"
    name = header[345:500].rstrip(b"\0") + header[:100].rstrip(b"\0")
    kinds = {b"1": "a hard link", b"2": "a symbolic link", b"5": "a folder"}
    kinds |= {b"3": "a device", b"4": "a device", b"6": "a named pipe"}
    kinds |= {b"0": "the file", b"\0": "the file"}
    kind = kinds.get(header[156:157], "an extension header")
    return f"{kind} {name[:80].decode('utf-8', 'replace')!r}"


def archive_bytes(index: BundleIndex, index_bytes: int) -> int:
    """Return the size of the whole archive, uncompressed."""
    sizes = [index_bytes, *(file.size_bytes for file in index.files)]
    sizes.append(len(sums_content(index.files, "0" * 64)))
    return sum(BLOCK_BYTES + size + padding_of(size) for size in sizes) + len(END)


def sums_content(files: Iterable[BundledFile], index_sha256: str) -> bytes:
    """Return `SHA256SUMS`, which `sha256sum --check` reads on a device without edgeagent."""
    lines = [f"{index_sha256}  {INDEX_NAME}", *(f"{file.sha256}  {file.path}" for file in files)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def _size_field(size_bytes: int) -> bytes:
    if size_bytes < _OCTAL_LIMIT:
        return b"%011o\0" % size_bytes
    return b"\x80" + size_bytes.to_bytes(11, "big")
