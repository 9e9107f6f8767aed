"""A real HTTP server on the loopback interface that behaves like the hub, or badly on wish."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import pytest

from edgeagent.export.sources import hub

CONTENT = bytes(range(251)) * 20_000  # about 5 MB, so a transfer takes several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES = 1_000
"""From here on a file of a repository is stored with its SHA-256, as in git LFS."""


@dataclass
class Hub:
    """What the server serves, how it misbehaves, and what it was asked.

    A repository's files are served if there are any; else `content` is, whatever is asked for.
    """

    content: bytes = CONTENT
    etag: str = SHA256
    announced_size: int | None = None
    break_after: list[int] = field(default_factory=list)
    ignore_range: bool = False
    status: int = 200
    error_code: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    sent_instead: dict[str, bytes] = field(default_factory=dict)
    commit: str = COMMIT
    description: object = None
    files_status: int = 200
    files_error_code: str = ""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    endpoint: str = ""

    def gets(self) -> list[str | None]:
        return [ranges for method, _, ranges in self.requests if method == "GET"]

    def downloads(self) -> list[tuple[str, str | None]]:
        """Files of a repository whose content was asked for, with the range."""
        return [
            (path.partition(f"/resolve/{self.commit}/")[2], ranges)
            for method, path, ranges in self.requests
            if method == "GET" and "/resolve/" in path
        ]

    def described(self) -> object:
        """What the hub says about the repository, with sizes and hashes of its files."""
        if self.description is not None:
            return self.description
        siblings = [describe(name, content) for name, content in self.files.items()]
        return {
            "id": "maker/tiny",
            "sha": self.commit,
            "siblings": siblings,
            "cardData": {"license": "mit"},
        }


def describe(name: str, content: bytes) -> dict[str, object]:
    """A file in the hub's description of a repository."""
    known: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": blob_id(content)}
    if len(content) >= LARGE_BYTES:
        sha256 = hashlib.sha256(content).hexdigest()
        known["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
    return known


def blob_id(content: bytes) -> str:
    """What git calls a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: object) -> None:
        """Keep the test output quiet."""

    def _answer(self, *, body: bool) -> None:
        state = self.hub
        ranges = self.headers.get("Range")
        state.requests.append((self.command, self.path, ranges))
        state.headers.append({k.lower(): v for k, v in self.headers.items()})
        path = unquote(urlsplit(self.path).path)
        if state.status != 200:
            self._refuse(state.status, state.error_code)
        elif path.startswith("/api/models/"):
            self._describe()
        elif not state.files:
            self._send(state.content, state.etag, ranges, body=body)
        elif state.files_status != 200:
            self._refuse(state.files_status, state.files_error_code)
        else:
            name = path.partition(f"/resolve/{state.commit}/")[2]
            if name not in state.files:
                self._refuse(404, "EntryNotFound")
                return
            content = state.files[name]
            is_large = len(content) >= LARGE_BYTES
            etag = hashlib.sha256(content).hexdigest() if is_large else blob_id(content)
            self._send(state.sent_instead.get(name, content), etag, ranges, body=body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _describe(self) -> None:
        answer = json.dumps(self.hub.described()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _send(self, content: bytes, etag: str, ranges: str | None, *, body: bool) -> None:
        state = self.hub
        start = 0
        if ranges and not state.ignore_range:
            start = int(ranges.removeprefix("bytes=").removesuffix("-"))
        data = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", state.commit)
        size = len(data) if body else (state.announced_size or len(data))
        self.send_header("Content-Length", str(size))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            breaks_off = len(data) > 1 and state.break_after and len(content) >= LARGE_BYTES
            if breaks_off:
                self.wfile.write(data[: state.break_after.pop(0)])
                self.wfile.flush()
                self.connection.close()
                self.close_connection = True
                return
            self.wfile.write(data)


@contextmanager
def loopback_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve a hub, and make it the one that downloads come from."""
    state = Hub()
    handler = type("BoundHandler", (Handler,), {"hub": state})
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.handle_error = lambda *args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    state.endpoint = f"http://127.0.0.1:{httpd.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", state.endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(hub, "_RETRY_S", 0.01)
    try:
        yield state
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
