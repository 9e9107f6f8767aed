from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edgeagent.agent.endpoint import MAX_RESPONSE_BYTES, Endpoint
from edgeagent.agent.formats.protocol import Call
from edgeagent.config.team import EndpointSpec
from edgeagent.errors import ConfigError, ToolError

KEY = "sk-harbour-1234"
MESSAGES = [{"role": "user", "content": "Who?"}]


class Handler(BaseHTTPRequestHandler):
    """Writes down what it was asked and answers as the test wants."""

    server: Server

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.asked.append(
            (self.path, dict(self.headers), json.loads(self.rfile.read(length)))
        )
        self.server.answer(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A chat completions server."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str], dict[str, object]]] = []
        self.answer: Callable[[Handler], None] = saying("Orla Fenn.")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def endpoint(self, **more: object) -> Endpoint:
        spec = EndpointSpec.model_validate({"url": self.url, "model": "large", **more})
        return Endpoint(spec, {"HARBOUR_KEY": KEY})


def respond(handler: Handler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def saying(text: str | None, **more: object) -> Callable[[Handler], None]:
    message = {"role": "assistant", "content": text, **more}
    body = json.dumps({"choices": [{"message": message}]}).encode()
    return lambda handler: respond(handler, 200, body)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def test_it_sends_a_chat_completion_and_returns_the_answer(server: Server) -> None:
    endpoint = server.endpoint(api_key_env="HARBOUR_KEY", max_tokens=50)
    assert endpoint.ask(MESSAGES, timeout_s=10).text == "Orla Fenn."
    (path, headers, body), *more = server.asked
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {"model": "large", "messages": MESSAGES, "max_tokens": 50, "temperature": 0}
    assert more == []


def test_without_a_key_there_is_no_authorization(server: Server) -> None:
    server.endpoint().ask(MESSAGES, timeout_s=10)
    assert "Authorization" not in server.asked[0][1]


def test_functions_are_offered_and_calls_come_back(server: Server) -> None:
    function = {"name": "book", "description": "Book.", "parameters": {"type": "object"}}
    call = {"type": "function", "function": {"name": "book", "arguments": '{"berth": 4}'}}
    server.answer = saying(None, tool_calls=[call])
    reply = server.endpoint().ask(MESSAGES, [function], timeout_s=10)
    assert reply.calls == (Call("book", {"berth": 4}),)
    assert server.asked[0][2]["tools"] == [{"type": "function", "function": function}]


def test_redirects_are_not_followed(server: Server) -> None:
    other = Server()
    thread = threading.Thread(target=other.serve_forever, args=(0.02,))
    thread.start()
    try:
        for status in (301, 302, 303, 307, 308):
            server.answer = lambda handler, status=status: respond(
                handler, status, b"", Location=f"{other.url}/chat/completions"
            )
            with pytest.raises(ToolError, match=f"answered {status}"):
                server.endpoint(api_key_env="HARBOUR_KEY").ask(MESSAGES, timeout_s=10)
        assert other.asked == []
    finally:
        other.shutdown()
        thread.join()
        other.server_close()


def test_proxies_of_the_environment_are_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert server.endpoint().ask(MESSAGES, timeout_s=10).text == "Orla Fenn."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"not json", "something else than a chat completion"),
        (b"[]", "something else than a chat completion"),
        (b'{"choices": []}', "something else than a chat completion"),
        (b'{"choices": [{"message": "x"}]}', "something else than a chat completion"),
        (b'{"choices": [{"message": {"tool_calls": [1]}}]}', "something else"),
        (b'{"choices": [{"message": {"content": ""}}]}', "empty answer"),
        (b"[" * 100_000, "something else than a chat completion"),
        (b" " * (MAX_RESPONSE_BYTES + 2), "more than 4 MiB"),
    ],
    ids=["text", "list", "no choice", "no message", "no call", "empty", "nested", "huge"],
)
def test_whatever_comes_back_is_a_sentence(server: Server, body: bytes, message: str) -> None:
    server.answer = lambda handler: respond(handler, 200, body)
    with pytest.raises(ToolError, match=message):
        server.endpoint().ask(MESSAGES, timeout_s=10)


def test_errors_of_the_server_are_told_without_the_key_and_on_one_line(server: Server) -> None:
    body = json.dumps({"error": {"message": "No\nsuch \x1b[31mmodel."}}).encode()
    server.answer = lambda handler: respond(handler, 404, body)
    with pytest.raises(ToolError) as caught:
        server.endpoint(api_key_env="HARBOUR_KEY").ask(MESSAGES, timeout_s=10)
    assert str(caught.value).endswith("answered 404: No such (31mmodel.")
    assert KEY not in str(caught.value)

    server.answer = lambda handler: respond(handler, 500, b"<html>")
    with pytest.raises(ToolError, match="answered 500: Internal Server Error"):
        server.endpoint().ask(MESSAGES, timeout_s=10)


def test_text_that_steers_a_terminal_is_taken_out_of_answers(server: Server) -> None:
    server.answer = saying("\x1b]0;title\x07Orla.")
    assert server.endpoint().ask(MESSAGES, timeout_s=10).text == "]0;titleOrla."


def test_a_server_that_is_silent_or_endless_is_given_up(server: Server) -> None:
    release = threading.Event()

    def silent(_handler: Handler) -> None:
        release.wait(10)

    server.answer = silent
    started = time.monotonic()
    with pytest.raises(ToolError, match=r"did not answer within 0\.2 s"):
        server.endpoint().ask(MESSAGES, timeout_s=0.2)
    release.set()

    def dripping(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                return
            time.sleep(0.02)

    server.answer = dripping
    with pytest.raises(ToolError, match=r"did not answer within 0\.3 s"):
        server.endpoint(timeout_s=0.3).ask(MESSAGES, timeout_s=60)
    assert time.monotonic() - started < 8


def test_a_server_that_is_not_there_is_told() -> None:
    with Server() as gone:
        endpoint = gone.endpoint()
    with pytest.raises(ToolError, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        endpoint.ask(MESSAGES, timeout_s=10)


def test_the_key_is_in_the_environment_or_nothing_is_asked() -> None:
    spec = EndpointSpec(url="https://models.example/v1", model="m", api_key_env="HARBOUR_KEY")
    assert Endpoint(spec, {"HARBOUR_KEY": f" {KEY}\n"}).host == "models.example"
    with pytest.raises(ConfigError, match="HARBOUR_KEY is not set"):
        Endpoint(spec, {})
    with pytest.raises(ConfigError, match="characters that no key has") as caught:
        Endpoint(spec, {"HARBOUR_KEY": f"{KEY}\r\nX-Other: 1"})
    assert KEY not in str(caught.value)
