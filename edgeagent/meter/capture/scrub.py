"""Removing what identifies a person or one particular device from the texts of a capture.

The allow-list keeps most of it out from the start; this is the second fence. Numbers that identify
are removed, names that appear in paths get a stand-in that is the same wherever they appear, so
that paths and the texts that mention them still fit together.
"""

from __future__ import annotations

import contextlib
import fnmatch
import getpass
import re
import socket
from collections.abc import Callable, Iterable

from edgeagent.meter.capture.allow import technical_words

REMOVED = "(removed)"

_DENIED_NAMES = ("*serial*", "*uuid*", "*asset*", "*wwid*", "*mac_address*", "*unique_id*")
"""Names of files that are never read, whatever the allow-list says."""

_KEYED = re.compile(
    r"(?im)^([ \t]*[\w .-]*(?:serial|uuid|asset|mac_address|unique_id|model_name)[\w .-]*?"
    r"[ \t]*[=:])[^\n]*"
)
"""Lines such as `Serial : 10000000abcdef12` and `POWER_SUPPLY_SERIAL_NUMBER=1234`.

`MODEL_NAME` of a power supply can be what somebody called their mouse; `model name` of a processor
is kept.
"""

_MAC = re.compile(r"(?i)(?<![0-9a-f])[0-9a-f]{2}([:_-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![0-9a-f])")
_UUID = re.compile(
    r"(?i)(?<![0-9a-f])[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}(?![0-9a-f])"
)
_LONG_HEX = re.compile(
    r"(?i)(?<![0-9a-z])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{20,}(?![0-9a-z])"
)
_HOME = re.compile(r"(/home/|/Users/)[^/\s]+")

_COMMON_NAMES = frozenset(
    {
        *("admin", "amd", "arm", "board", "cpu", "debian", "default", "device", "edge", "fedora"),
        *("gpu", "home", "host", "intel", "jetson", "linux", "localdomain", "localhost", "memory"),
        *("name", "nano", "nvidia", "orin", "package", "pi", "raspberrypi", "root", "system"),
        *("test", "ubuntu", "user", "virtual", "xavier"),
    }
)
"""Host and user names that identify nobody; replacing them would spoil what sensors are called."""


class Scrubber:
    """Replaces identifying parts of texts and paths, the same part by the same stand-in.

    Attributes:
        removed: How many parts were replaced, for each kind.
    """

    def __init__(self, private_names: Iterable[str] | None = None) -> None:
        """Start without stand-ins.

        Args:
            private_names: Names of the host and its user; by default those of this machine.
        """
        names = _names_of_this_machine() if private_names is None else private_names
        common = _COMMON_NAMES | technical_words()  # a user called max must not spoil temp1_max
        private = sorted(
            {name for name in names if len(name) > 2 and name.lower() not in common},
            key=len,
            reverse=True,
        )
        self._private = (
            re.compile(
                r"(?i)(?<![A-Za-z0-9])(?:" + "|".join(map(re.escape, private)) + r")(?![A-Za-z0-9])"
            )
            if private
            else None
        )
        self._stand_ins: dict[tuple[str, str], str] = {}
        self.removed: dict[str, int] = {}

    @staticmethod
    def denies(name: str) -> bool:
        """Tell whether a file of this name may not be read at all."""
        return any(fnmatch.fnmatch(name.lower(), pattern) for pattern in _DENIED_NAMES)

    def text(self, text: str) -> str:
        """Return a file's text without what identifies."""

        def remove(match: re.Match[str]) -> str:
            self._count("number")
            return f"{match[1]}{REMOVED}"

        return self.path(_KEYED.sub(remove, text))

    def path(self, text: str) -> str:
        """Return a path, or a text, with stand-ins for what identifies."""
        text = _UUID.sub(self._number_it("uuid"), text)
        text = _MAC.sub(self._number_it("mac"), text)
        text = _LONG_HEX.sub(self._number_it("id"), text)
        text = _HOME.sub(self._home, text)
        if self._private is not None:
            text = self._private.sub(self._number_it("private"), text)
        return text

    def _home(self, match: re.Match[str]) -> str:
        if not match[0].endswith("/private"):
            self._count("private")
        return f"{match[1]}private"

    def _number_it(self, kind: str) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            self._count(kind)
            number = len(self._stand_ins) + 1
            return self._stand_ins.setdefault((kind, match[0].lower()), f"{kind}{number}")

        return replace

    def _count(self, kind: str) -> None:
        self.removed[kind] = self.removed.get(kind, 0) + 1


def _names_of_this_machine() -> list[str]:
    names: list[str] = []
    with contextlib.suppress(OSError):
        host = socket.gethostname()
        names += [host, host.partition(".")[0]]
    with contextlib.suppress(ImportError, KeyError, OSError):  # some users have no entry
        names.append(getpass.getuser())
    return names
