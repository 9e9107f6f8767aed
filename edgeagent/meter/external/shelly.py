"""A Shelly smart plug (second generation and later) as wall meter, over the local network.

Only on request (`--meter shelly:192.168.1.20`), only at a private address that the user wrote down,
and only by reading: `GET /shelly` says what it is, `GET /rpc/Switch.GetStatus?id=0` (plugs, relays)
or `/rpc/PM1.GetStatus?id=0` (meters without relay) its `apower` in W and `aenergy.total` in Wh
(Shelly Gen2+ API, Switch and PM1 components). No redirect is followed, no proxy is used, no name is
resolved, and nothing is sent but these requests.

The plug measures about once a second, and its energy counter moves about once a minute: power is
what is integrated, the counter stands beside it as a check of long runs.
"""

from __future__ import annotations

import errno
import http.client
import ipaddress
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from edgeagent.clock import NS_PER_S, now_ns
from edgeagent.errors import ConfigError
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import Pace, Snapshot, missing, probe
from edgeagent.meter.tree import state_of
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

INTERVAL_S = 1.0
TIMEOUT_S = 1.0
RETRY_S = 15.0
"""After a failure the plug is left alone for so long: waiting for it would delay other meters."""

_J_PER_WH = 3600.0
_MAX_BYTES = 1 << 16
_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
)
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.%\w]+\]|[0-9.]+)(?::(?P<port>[0-9]{1,5}))?")

POWER = SourceInfo(
    source="shelly:power",
    quantity="power_w",
    kind=SampleKind.SAMPLED,
    scope=Scope.WALL,
    resolution=0.1,
    total="wall",
    interval_s=INTERVAL_S,
    max_power_w=4000.0,
)
ENERGY = SourceInfo(
    source="shelly:energy",
    quantity="energy_j",
    kind=SampleKind.COUNTER,
    scope=Scope.WALL,
    resolution=0.001 * _J_PER_WH,
    interval_s=60.0,
    max_power_w=4000.0,
)
_STATUS = ("Switch.GetStatus", "PM1.GetStatus")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses to be sent elsewhere."""

    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        """Follow nothing: the answer with the redirect becomes the error."""


def discover_shelly(address: str) -> Discovery:
    """Ask the plug at an address once, and offer its power and its energy counter.

    Args:
        address: An IP address of a private network, with a port if it is not 80.

    Raises:
        ConfigError: The text is not such an address.
    """
    plug = _Plug(_base_url(address))
    try:
        plug.identify()
    except OSError as error:
        reason = f"The Shelly at {address} does not answer: {error.strerror or error}."
        return missing([POWER, ENERGY], state_of(error), reason)
    except ValueError as error:
        reason = f"What answers at {address} cannot be used: {error}."
        return missing([POWER, ENERGY], SourceState.UNSUPPORTED, reason)
    wanted = [(POWER, (POWER.source,)), (ENERGY, (ENERGY.source,))]
    return probe(wanted, Snapshot(plug.look), Pace(interval_s=INTERVAL_S), f"The Shelly {address}")


def _base_url(address: str) -> str:
    """Return the URL of an address; raises `ConfigError`."""
    found = _ADDRESS.fullmatch(address)
    try:
        if found is None:
            raise ValueError
        host = ipaddress.ip_address(found["host"].strip("[]"))
        port = int(found["port"] or 80)
        if not 0 < port < 1 << 16:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{address!r} is not an address of a Shelly; write its IP address, such as "
            "shelly:192.168.1.20."
        ) from None
    if not any(host in network for network in _NETWORKS if network.version == host.version):
        raise ConfigError(
            f"{address} is not an address of a private network, and edgeagent talks to no other."
        )
    return f"http://{found['host']}:{port}"


class _Plug:
    """Asks the plug, and leaves it alone for a while when it does not answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
        self._method = _STATUS[0]
        self._quiet_until_ns = 0

    def identify(self) -> None:
        """Find out which plug it is and which request tells its power.

        Raises:
            OSError: It does not answer.
            ValueError: It is something else, wants a password, or measures no power.
        """
        facts = self._get("/shelly")
        if not isinstance(facts.get("gen"), int):
            raise ValueError("it is no Shelly of the second generation or later")
        if facts.get("auth_en"):
            raise ValueError(
                "it asks for a password, which edgeagent does not keep; switch its authentication "
                "off, or record with another meter and import the recording"
            )
        problem: OSError | ValueError | None = None
        for self._method in _STATUS:
            try:
                self.look()
            except (OSError, ValueError) as error:
                problem = problem or error
                self._quiet_until_ns = 0
            else:
                return
        raise ValueError(f"it tells no power ({problem})")

    def look(self) -> Mapping[str, float]:
        """Return power and energy; raises `OSError` or `ValueError`."""
        if now_ns() < self._quiet_until_ns:
            raise TimeoutError(
                errno.ETIMEDOUT, f"the plug did not answer; asked again every {RETRY_S:g} s"
            )
        try:
            status = self._get(f"/rpc/{self._method}?id=0")
        except (OSError, ValueError):
            self._quiet_until_ns = now_ns() + round(RETRY_S * NS_PER_S)
            raise
        values = {}
        if (power_w := _number(status.get("apower"))) is not None:
            values[POWER.source] = power_w
        energy = status.get("aenergy")
        total_wh = _number(energy.get("total")) if isinstance(energy, dict) else None
        if total_wh is not None and total_wh >= 0:
            values[ENERGY.source] = total_wh * _J_PER_WH
        if POWER.source not in values:
            raise ValueError("its status has no power")
        return values

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with self._opener.open(self._url + path, timeout=TIMEOUT_S) as response:
                body = _read(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(f"{path} is answered with status {error.code}") from error
        except urllib.error.URLError as error:
            reason = error.reason
            if isinstance(reason, OSError) and not isinstance(reason, TimeoutError):
                raise reason from error
            raise TimeoutError(errno.ETIMEDOUT, "no answer in time") from error
        except TimeoutError as error:
            raise TimeoutError(errno.ETIMEDOUT, "no answer in time") from error
        except http.client.HTTPException as error:
            raise ValueError("it does not speak HTTP") from error
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not answered with JSON") from error
        if not isinstance(answer, dict):
            raise ValueError(f"{path} is not answered with an object")
        return answer


def _read(response: Any) -> bytes:
    """Read an answer within a limit of size and of time, however slowly it comes."""
    deadline_ns = now_ns() + round(TIMEOUT_S * NS_PER_S)
    body = b""
    while chunk := response.read1(_MAX_BYTES):
        body += chunk
        if len(body) > _MAX_BYTES:
            raise ValueError("its answer is too long")
        if now_ns() > deadline_ns:
            raise TimeoutError
    return body


def _number(value: object) -> float | None:
    """Return a finite number of JSON, `None` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value)
    return number if abs(number) < 1e12 else None
