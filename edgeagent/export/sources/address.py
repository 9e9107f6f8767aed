"""Addresses of model repositories on a hub, as people type them.

::

    hf:OWNER/REPO[@REVISION]              a folder with safetensors
    hf:OWNER/REPO/FILE.gguf[@REVISION]    one GGUF; of a split one, any part stands for all

A revision is a branch, a tag or a commit; without one it is `main`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgeagent.errors import ConfigError

SCHEME = "hf:"
"""How an address of a hub begins."""

_DEFAULT_REVISION = "main"
_MAX_FILE_CHARS = 200
_MAX_REVISION_CHARS = 200
_MAX_ID_CHARS = 64
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
"""Owners and repositories; `--` and `..` are excluded too, as on the hub."""
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_FILE = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9 ._+=,()-]*/)*[A-Za-z0-9_][A-Za-z0-9 ._+=,()-]*")
"""No character that any file system gives a meaning; parts begin like words, so never with `.`."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PART = re.compile(r"-\d{5}-of-\d{5}$")
_GGUF_SUFFIX = ".gguf"


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A model on a hub; `str(address)` is what `parse_address` takes.

    Attributes:
        repo: `OWNER/REPO`.
        file: Path of a GGUF file in the repository, `None` for its safetensors.
        revision: Branch, tag or commit.
    """

    repo: str
    file: str | None = None
    revision: str = _DEFAULT_REVISION

    def __str__(self) -> str:
        return f"{SCHEME}{self._place}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a full commit hash, which means the same for ever."""
        return is_commit(self.revision)

    @property
    def origin(self) -> str:
        """The address in words, for messages and manifests."""
        return f"hub {self._place}@{self.revision}"

    @property
    def key(self) -> str:
        """Ten characters that tell this address from every other one."""
        return hashlib.sha256(str(self).encode("ascii")).hexdigest()[:10]

    @property
    def model_id(self) -> str:
        """A name for people, such as `smollm2-360m-instruct`; other addresses may share it."""
        name = self.repo.partition("/")[2].lower()
        if self.file is not None:
            name = name.removesuffix("-gguf")
            stem = _PART.sub("", PurePosixPath(self.file).stem.lower())
            name = stem if name in stem else f"{name}-{stem}"
        name = re.sub(r"[^a-z0-9._-]+", "-", name)
        return name[:_MAX_ID_CHARS].strip("._-")

    @property
    def package_name(self) -> str:
        """A name for the package's folder that no other address has."""
        return f"{self.model_id}-{self.key}"

    @property
    def _place(self) -> str:
        return self.repo if self.file is None else f"{self.repo}/{self.file}"


def parse_address(text: str) -> HubAddress | None:
    """Read an address; `None` if the text does not begin with `hf:`.

    Raises:
        ConfigError: It does and goes on wrongly.
    """
    if not text.startswith(SCHEME):
        return None
    place, at, revision = text.removeprefix(SCHEME).partition("@")
    owner, _, rest = place.partition("/")
    name, slash, file = rest.partition("/")
    if not (_is_name(owner) and _is_name(name)):
        raise _malformed(text, "owner and repository are not names that a hub has")
    if at and not _is_revision(revision):
        raise _malformed(text, f"{revision[:80]!r} is not a revision")
    if slash and not _is_file(file):
        raise _malformed(text, f"{file[:80]!r} is not the path of a file")
    if slash and not file.lower().endswith(_GGUF_SUFFIX):
        raise _malformed(text, f"{file[:80]!r} is not a {_GGUF_SUFFIX} file")
    return HubAddress(f"{owner}/{name}", file or None, revision or _DEFAULT_REVISION)


def is_commit(text: str) -> bool:
    """Whether a text is a full commit hash."""
    return _COMMIT.fullmatch(text) is not None


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and "--" not in name and ".." not in name


def _is_revision(revision: str) -> bool:
    fits = len(revision) <= _MAX_REVISION_CHARS and _REVISION.fullmatch(revision) is not None
    return fits and ".." not in revision


def _is_file(file: str) -> bool:
    fits = len(file) <= _MAX_FILE_CHARS and _FILE.fullmatch(file) is not None
    # Windows drops dots and spaces at the end of names, so two names would be one.
    return fits and not any(part.endswith((".", " ")) for part in file.split("/"))


def _malformed(text: str, what: str) -> ConfigError:
    return ConfigError(
        f"{text[:120]!r} is not an address of a model: {what}; write hf:OWNER/REPO or"
        " hf:OWNER/REPO/FILE.gguf, and @REVISION after it to choose a revision."
    )
