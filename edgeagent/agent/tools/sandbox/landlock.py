"""Landlock: which files a process may still open, whoever its user is.

Rights and structures are those of `linux/landlock.h`; each version of the interface knows more.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from edgeagent.agent.tools.sandbox.kernel import system_call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same on every architecture."""

_VERSION = 1
_PATH_BENEATH = 1

_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_REMOVE_DIR = 1 << 4
_REMOVE_FILE = 1 << 5
_MAKE_DIR = 1 << 7
_MAKE_REGULAR = 1 << 8
_REFER = 1 << 13
_TRUNCATE = 1 << 14

_FILES_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights over files that a version knows: execution, reading, writing, making, removing;
moving between folders (2), truncating (3), control of devices (5)."""

_TCP_BIND_AND_CONNECT = 0b11
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

_READ = _READ_FILE | _READ_DIR
_CHANGE = (
    _READ
    | _WRITE_FILE
    | _REMOVE_DIR
    | _REMOVE_FILE
    | _MAKE_DIR
    | _MAKE_REGULAR
    | _REFER
    | _TRUNCATE
)
"""No links, sockets, pipes or devices, and nothing is executed."""

_FILE_RIGHTS = _WRITE_FILE | _READ_FILE | _TRUNCATE
"""Those that make sense for something that is no folder."""


def landlock_version() -> int:
    """Return the version of the interface; 0: the kernel has none, or it is switched off."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict_files(readable: Iterable[str], listable: Iterable[str], writable: str) -> None:
    """Let this process use these files and no others; from version 4 no TCP, from 6 no signals.

    Args:
        readable: Files and folders that may be read.
        listable: Folders whose names may be listed, down to the lowest.
        writable: The one folder in which files and folders may be made and changed.

    Raises:
        OSError: The kernel has no Landlock, or a path cannot be opened.
    """
    version = landlock_version()
    handled = _FILES_BY_VERSION[max((v for v in _FILES_BY_VERSION if v <= version), default=1)]
    attributes = struct.pack(
        "QQQ",
        handled,
        _TCP_BIND_AND_CONNECT if version >= 4 else 0,
        _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0,
    )
    # Older kernels accept what they do not know only if it is zero, as it is here.
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = system_call(_CREATE_RULESET, buffer, len(attributes), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ & handled)
        for path in listable:
            _allow(ruleset, path, _READ_DIR & handled)
        _allow(ruleset, writable, _CHANGE & handled)
        system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib is not loaded in this process
            rights &= _FILE_RIGHTS
        # struct landlock_path_beneath_attr, packed: {u64 allowed_access; s32 parent_fd;}
        rule = struct.pack("=Qi", rights, descriptor)
        system_call(
            _ADD_RULE, ruleset, _PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0
        )
    finally:
        os.close(descriptor)
