"""A server that speaks OpenAI's chat completions: the one place where agents use a network.

Nothing here runs unless the user wrote an address into a team's file. Text goes to that host only:
redirects are not followed, proxies of the environment are not used, certificates are checked.

Source: OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from edgeagent.agent.formats.protocol import Call
from edgeagent.agent.tools.plain import one_line, printable
from edgeagent.clock import NS_PER_S, now_ns
from edgeagent.config.team import EndpointSpec
from edgeagent.errors import ConfigError, ToolError

MAX_RESPONSE_BYTES = 4 << 20
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server's model said.

    Attributes:
        text: Its answer, empty beside calls.
        calls: Calls of the functions that it was told of.
    """

    text: str
    calls: tuple[Call, ...] = ()


class Endpoint:
    """One server."""

    def __init__(self, spec: EndpointSpec, environment: Mapping[str, str] = os.environ) -> None:
        """Prepare; nothing is sent.

        Raises:
            ConfigError: The environment variable of the key is not set.
        """
        self._spec = spec
        self._key = ""
        if spec.api_key_env is not None:
            self._key = environment.get(spec.api_key_env, "").strip()
            if not self._key:
                raise ConfigError(
                    f"endpoint.api_key_env: the environment variable {spec.api_key_env} is not "
                    f"set; it holds the key of {self.host}."
                )
            if not (self._key.isascii() and self._key.isprintable()):
                raise ConfigError(f"The key in {spec.api_key_env} has characters that no key has.")

    @property
    def host(self) -> str:
        """Where text is sent to."""
        return urlsplit(self._spec.url).netloc

    @property
    def model(self) -> str:
        """Name of the model there."""
        return self._spec.model

    @property
    def shares_results(self) -> bool:
        """Whether what local tools found may be sent along."""
        return self._spec.share_results

    def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        functions: Sequence[Mapping[str, object]] = (),
        *,
        timeout_s: float,
    ) -> Reply:
        """Send a conversation and return the reply.

        Args:
            messages: As in OpenAI's chat format.
            functions: OpenAI function descriptions that it may call.
            timeout_s: Longest wait, if it is shorter than that of the configuration.

        Raises:
            ToolError: There is no reply; the message says why and never has the key in it.
        """
        body: dict[str, object] = {
            "model": self._spec.model,
            "messages": list(messages),
            "max_tokens": self._spec.max_tokens,
            "temperature": 0,
        }
        if functions:
            body["tools"] = [{"type": "function", "function": dict(one)} for one in functions]
        data = self._post(json.dumps(body).encode(), min(timeout_s, self._spec.timeout_s))
        try:
            message = json.loads(data)["choices"][0]["message"]
            reply = Reply(printable(str(message.get("content") or "")).strip(), _calls(message))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ToolError(
                f"{self.host} answered something else than a chat completion"
            ) from error
        if not reply.text and not reply.calls:
            raise ToolError(f"{self.host} gave an empty answer")
        return reply

    def _post(self, body: bytes, timeout_s: float) -> bytes:
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError
        from urllib.request import Request

        headers = {"Content-Type": "application/json", "User-Agent": "edgeagent"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = Request(f"{self._spec.url}/chat/completions", body, headers, method="POST")
        end_ns = now_ns() + int(timeout_s * NS_PER_S)
        try:
            with _opener().open(request, timeout=max(timeout_s, 0.001)) as response:
                return self._read(response, end_ns)
        except HTTPError as error:
            with error:
                raise ToolError(f"{self.host} answered {error.code}: {_reason(error)}") from error
        except TimeoutError as error:
            raise ToolError(f"{self.host} did not answer within {timeout_s:g} s") from error
        except (URLError, HTTPException, OSError, ValueError) as error:
            if isinstance(getattr(error, "reason", None), TimeoutError):
                raise ToolError(f"{self.host} did not answer within {timeout_s:g} s") from error
            reason = one_line(str(getattr(error, "reason", error)) or type(error).__name__)
            raise ToolError(f"{self.host} cannot be reached: {reason}") from error

    def _read(self, response: Any, end_ns: int) -> bytes:
        """Read the body; the timeout of a socket starts anew with every byte, this one does not."""
        parts: list[bytes] = []
        size = 0
        while chunk := response.read1(_CHUNK_BYTES):
            size += len(chunk)
            if size > MAX_RESPONSE_BYTES:
                raise ToolError(f"{self.host} answered more than {MAX_RESPONSE_BYTES >> 20} MiB")
            if now_ns() > end_ns:
                raise TimeoutError
            parts.append(chunk)
        return b"".join(parts)


def _opener() -> Any:
    """Return an opener that stays with the host that it is given."""
    import ssl
    from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, build_opener

    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *_args: Any, **_more: Any) -> None:
            """Follow none: the user named one host, and it was given a key."""

    context = ssl.create_default_context()
    return build_opener(NoRedirect, ProxyHandler({}), HTTPSHandler(context=context))


def _reason(error: Any) -> str:
    """Return what a server says about an error, on one line."""
    try:
        data = error.read(_CHUNK_BYTES)
        found = json.loads(data)["error"]
        text = found["message"] if isinstance(found, dict) else found
    except Exception:  # an error page may be anything
        text = error.reason
    return one_line(str(text))


def _calls(message: Mapping[str, Any]) -> tuple[Call, ...]:
    calls = []
    for item in message.get("tool_calls") or ():
        function = item["function"]
        arguments = json.loads(function.get("arguments") or "{}")
        if not isinstance(arguments, dict):
            raise ValueError("arguments are not an object")
        calls.append(Call(str(function["name"]), arguments))
    return tuple(calls)
