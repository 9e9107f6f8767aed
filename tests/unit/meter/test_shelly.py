"""A Shelly plug over HTTP: a real server on the loopback answers (or misbehaves) in its place."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edgeagent.errors import ConfigError
from edgeagent.meter.external import shelly
from edgeagent.meter.external.requested import check_meters, discover_requested
from edgeagent.meter.external.shelly import discover_shelly
from edgeagent.meter.protocol import MeterError
from edgeagent.record.samples import Scope, SourceState

INFO = {"id": "shellyplusplugs-1", "gen": 2, "model": "SNPL-00112EU", "auth_en": False}
STATUS = {
    "id": 0,
    "output": True,
    "apower": 23.4,
    "voltage": 230.1,
    "aenergy": {"total": 1234.567, "by_minute": [390.0, 391.0, 389.0]},
}


class Plug(ThreadingHTTPServer):
    """Answers paths with (status, headers, body)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[str] = []
        self.delay_s = 0.0
        self.put("/shelly", INFO)
        self.put("/rpc/Switch.GetStatus?id=0", STATUS)

    def put(self, path: str, answer: Any, status: int = 200, **headers: str) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.answers[path] = (status, headers, body)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about clients that hung up."""


class Handler(BaseHTTPRequestHandler):
    server: Plug

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        time.sleep(self.server.delay_s)
        status, headers, body = self.server.answers.get(self.path, (404, {}, b"{}"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def plug() -> Iterator[Plug]:
    server = Plug()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_power_is_the_wall_total_and_the_counter_stands_beside_it(plug: Plug) -> None:
    found = discover_requested([f"shelly:{plug.address}"])
    power, energy = found.meters
    assert power.read().value == pytest.approx(23.4)
    assert energy.read().value == pytest.approx(1234.567 * 3600)
    assert (power.info.source, power.info.scope, power.info.total) == (
        "shelly:power",
        Scope.WALL,
        "wall",
    )
    assert energy.info.total is None
    assert power.min_interval_s >= 1.0
    assert set(plug.requests) == {"/shelly", "/rpc/Switch.GetStatus?id=0"}


def test_a_meter_without_relay(plug: Plug) -> None:
    del plug.answers["/rpc/Switch.GetStatus?id=0"]
    plug.put("/rpc/PM1.GetStatus?id=0", {"id": 0, "apower": 5.5})
    found = discover_shelly(plug.address)
    assert [meter.read().value for meter in found.meters] == [5.5]
    assert [source.state for source in found.sources] == [SourceState.OK, SourceState.UNSUPPORTED]


def test_no_proxy_is_used(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert discover_shelly(plug.address).meters


@pytest.mark.parametrize(
    ("path", "answer", "how", "reason"),
    [
        ("/shelly", {**INFO, "auth_en": True}, (200, {}), "password"),
        ("/shelly", {"type": "SHPLG-S", "auth": False}, (200, {}), "second generation"),
        ("/shelly", b"<html>", (200, {}), "not answered with JSON"),
        ("/shelly", [1], (200, {}), "not answered with an object"),
        ("/shelly", b"[" * 60_000, (200, {}), "not answered with JSON"),
        ("/shelly", b" " * 70_000, (200, {}), "too long"),
        ("/shelly", {}, (302, {"Location": "http://example.com/"}), "status 302"),
        ("/rpc/Switch.GetStatus?id=0", {}, (401, {}), "status 401"),
        ("/rpc/Switch.GetStatus?id=0", {"apower": "5"}, (200, {}), "no power"),
        ("/rpc/Switch.GetStatus?id=0", {"apower": True}, (200, {}), "no power"),
        ("/rpc/Switch.GetStatus?id=0", b'{"apower": NaN}', (200, {}), "no power"),
    ],
)
def test_answers_that_cannot_be_used(
    plug: Plug, path: str, answer: Any, how: tuple[int, dict[str, str]], reason: str
) -> None:
    status, headers = how
    plug.put(path, answer, status, **headers)
    found = discover_shelly(plug.address)
    assert found.meters == ()
    for source in found.sources:
        assert source.state is SourceState.UNSUPPORTED
        assert reason in source.reason


def test_a_plug_that_fails_is_left_alone_for_a_while(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    power = discover_shelly(plug.address).meters[0]
    good = plug.answers["/rpc/Switch.GetStatus?id=0"]
    plug.put("/rpc/Switch.GetStatus?id=0", b"nonsense")
    with pytest.raises(MeterError):
        power.read()
    asked = len(plug.requests)
    plug.answers["/rpc/Switch.GetStatus?id=0"] = good
    with pytest.raises(MeterError, match="asked again") as raised:
        power.read()
    assert raised.value.state is SourceState.STALE
    assert len(plug.requests) == asked
    later = shelly.now_ns() + 16 * 1_000_000_000
    monkeypatch.setattr(shelly, "now_ns", lambda: later)
    assert power.read().value == pytest.approx(23.4)


def test_a_plug_that_answers_too_slowly(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelly, "TIMEOUT_S", 0.05)
    power = discover_shelly(plug.address).meters[0]
    plug.delay_s = 0.3
    with pytest.raises(MeterError, match="in time") as raised:
        power.read()
    assert raised.value.state is SourceState.STALE


def test_nobody_at_the_address(plug: Plug) -> None:
    address = plug.address
    plug.shutdown()
    plug.server_close()
    found = discover_shelly(address)
    assert found.meters == ()
    assert "does not answer" in found.sources[0].reason


@pytest.mark.parametrize(
    "address",
    [
        "",
        "plug.local",
        "192.168.1",
        "192.168.1.20/x",
        "http://192.168.1.20",
        "192.168.1.20:0",
        "192.168.1.20:99999",
        "user@192.168.1.20",
        "[::1",
    ],
)
def test_only_ip_addresses(address: str) -> None:
    with pytest.raises(ConfigError, match="is not an address of a Shelly"):
        discover_shelly(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1:80", "[2606:4700::1111]", "0.0.0.0", "[::ffff:8.8.8.8]"]
)
def test_only_private_networks(address: str) -> None:
    with pytest.raises(ConfigError, match="private network"):
        discover_shelly(address)


def test_names_of_meters() -> None:
    assert check_meters(["shelly:192.168.1.20"]) == ("shelly:192.168.1.20",)
    for names in (["tasmota:10.0.0.1"], ["shelly"], ["shelly:10.0.0.1", "shelly:10.0.0.2"]):
        with pytest.raises(ConfigError):
            check_meters(names)
