"""Devices of Windows that answer control codes: found by their interface, opened, asked.

`setupapi` lists the interfaces (`SetupDiGetClassDevsW`, `SetupDiEnumDeviceInterfaces`,
`SetupDiGetDeviceInterfaceDetailW`), `kernel32` opens and asks them (`CreateFileW`,
`DeviceIoControl`). Both libraries can be replaced, so that tests of what is asked and how answers
are laid out run anywhere; importing this needs no Windows.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

_DWORD = ctypes.c_uint32  # wintypes.DWORD has 64 bits on Linux
_DIGCF_PRESENT, _DIGCF_DEVICEINTERFACE = 0x02, 0x10
_ERROR_NO_MORE_ITEMS = 259
_GENERIC_READ, _SHARE_READ_WRITE, _OPEN_EXISTING = 0x80000000, 0x3, 3
_INVALID_HANDLE = ctypes.c_void_p(-1).value
_MAX_INTERFACES = 256
_MAX_PATH_BYTES = 1 << 16

_ERRNO = {
    2: errno.ENOENT,  # ERROR_FILE_NOT_FOUND
    5: errno.EACCES,  # ERROR_ACCESS_DENIED
    1: errno.EOPNOTSUPP,  # ERROR_INVALID_FUNCTION
    50: errno.EOPNOTSUPP,  # ERROR_NOT_SUPPORTED
    87: errno.EINVAL,  # ERROR_INVALID_PARAMETER
    1167: errno.ENODEV,  # ERROR_DEVICE_NOT_CONNECTED
}


class Device(Protocol):
    """A device that was opened."""

    def control(self, code: int, size: int, given: bytes = b"") -> bytes:
        """Send a control code and return the answer, of `size` bytes at most; raises `OSError`."""
        ...


OpenDevices = Callable[[uuid.UUID], list[Device]]
"""Opens every device with an interface; raises `OSError` if that fails for all of them."""


class _InterfaceData(ctypes.Structure):
    """SP_DEVICE_INTERFACE_DATA."""

    _fields_ = (
        ("cbSize", _DWORD),
        ("InterfaceClassGuid", ctypes.c_ubyte * 16),
        ("Flags", _DWORD),
        ("Reserved", ctypes.c_size_t),
    )


@dataclass(frozen=True, slots=True)
class Libraries:
    """The system libraries.

    Attributes:
        setupapi: Lists devices.
        kernel32: Opens and asks them.
        last_error: Returns the error code of the call before.
    """

    setupapi: Any
    kernel32: Any
    last_error: Callable[[], int]


def system_libraries() -> Libraries:
    """Load the libraries; raises `OSError` on other systems."""
    if sys.platform == "win32":
        setupapi = ctypes.WinDLL("setupapi", use_last_error=True)
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        setupapi.SetupDiGetClassDevsW.restype = ctypes.c_void_p
        kernel32.CreateFileW.restype = ctypes.c_void_p
        return Libraries(setupapi, kernel32, ctypes.get_last_error)
    else:  # noqa: RET505 - type checkers skip the branch of the other system
        raise OSError(errno.ENOSYS, "this is not Windows")


def open_devices(interface: uuid.UUID, libraries: Libraries | None = None) -> list[Device]:
    """Open every device that has the interface, as any user may.

    Raises:
        OSError: The list cannot be had, or there are devices and none can be opened.
    """
    system = libraries or system_libraries()
    opened: list[Device] = []
    first: OSError | None = None
    for path in _paths(interface, system):
        try:
            opened.append(_open(path, system))
        except OSError as error:
            first = first or error
    if first is not None and not opened:
        raise first
    return opened


def _paths(interface: uuid.UUID, system: Libraries) -> Iterator[str]:
    """Yield the paths of the devices with the interface."""
    guid = (ctypes.c_ubyte * 16).from_buffer_copy(interface.bytes_le)
    flags = _DWORD(_DIGCF_PRESENT | _DIGCF_DEVICEINTERFACE)
    devices = system.setupapi.SetupDiGetClassDevsW(ctypes.byref(guid), None, None, flags)
    if devices in {None, _INVALID_HANDLE}:
        raise _failed(system, "the list of devices")
    devices = ctypes.c_void_p(devices)
    try:
        for index in range(_MAX_INTERFACES):
            data = _InterfaceData(cbSize=ctypes.sizeof(_InterfaceData))
            if not system.setupapi.SetupDiEnumDeviceInterfaces(
                devices, None, ctypes.byref(guid), _DWORD(index), ctypes.byref(data)
            ):
                if system.last_error() == _ERROR_NO_MORE_ITEMS:
                    return
                raise _failed(system, "the list of devices")
            yield _path(devices, data, system)
    finally:
        system.setupapi.SetupDiDestroyDeviceInfoList(devices)


def _path(devices: ctypes.c_void_p, data: _InterfaceData, system: Libraries) -> str:
    """Return the path of one device, asked for twice: for its length and for itself."""
    detail = system.setupapi.SetupDiGetDeviceInterfaceDetailW
    needed = _DWORD(0)
    detail(devices, ctypes.byref(data), None, _DWORD(0), ctypes.byref(needed), None)
    if not 4 < needed.value <= _MAX_PATH_BYTES:
        raise _failed(system, "the path of a device")
    buffer = ctypes.create_string_buffer(needed.value)
    # SP_DEVICE_INTERFACE_DETAIL_DATA_W: its size with one character, padded on 64-bit systems.
    fixed = 8 if ctypes.sizeof(ctypes.c_void_p) == 8 else 6
    ctypes.memmove(buffer, fixed.to_bytes(4, "little"), 4)
    if not detail(devices, ctypes.byref(data), buffer, needed, None, None):
        raise _failed(system, "the path of a device")
    return buffer.raw[4:].decode("utf-16-le", errors="replace").partition("\0")[0]


def _open(path: str, system: Libraries) -> Device:
    handle = system.kernel32.CreateFileW(
        ctypes.c_wchar_p(path),
        _DWORD(_GENERIC_READ),
        _DWORD(_SHARE_READ_WRITE),
        None,
        _DWORD(_OPEN_EXISTING),
        _DWORD(0),
        None,
    )
    if handle in {None, _INVALID_HANDLE}:
        raise _failed(system, "a device")
    return _OpenDevice(ctypes.c_void_p(handle), system)


class _OpenDevice:
    """A handle, closed when nobody needs it any more."""

    def __init__(self, handle: ctypes.c_void_p, system: Libraries) -> None:
        self._handle = handle
        self._system = system

    def control(self, code: int, size: int, given: bytes = b"") -> bytes:
        """Send a control code and return the answer; raises `OSError`."""
        buffer = ctypes.create_string_buffer(size)
        returned = _DWORD(0)
        if not self._system.kernel32.DeviceIoControl(
            self._handle,
            _DWORD(code),
            given or None,
            _DWORD(len(given)),
            buffer,
            _DWORD(size),
            ctypes.byref(returned),
            None,
        ):
            raise _failed(self._system, f"the answer to {code:#x}")
        return buffer.raw[: returned.value]

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of the process anything may be gone
            self._system.kernel32.CloseHandle(self._handle)


def _failed(system: Libraries, what: str) -> OSError:
    code = system.last_error()
    text = f"Windows does not give {what} (error {code})"
    return OSError(_ERRNO.get(code, errno.EIO), text)
