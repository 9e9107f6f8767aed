"""Rendering messages with a model's own chat template.

The runtime's renderer corrupts tool schemas, so templates are rendered by jinja2. A template comes
with the model, so it is untrusted: it runs in jinja2's sandbox, without access to attributes, files
or modules, and with bounded loops and output (see `sandbox`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from edgeagent.errors import EngineError

Message = Mapping[str, Any]
"""`{"role": ..., "content": ...}`, as in OpenAI's chat format."""

MAX_RENDERED_CHARS = 1 << 22

_MAX_JSON_INDENT = 16

FALLBACK_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML, for packages without a template of their own."""


class ChatTemplate:
    """A compiled chat template."""

    def __init__(self, source: str | None, variables: Mapping[str, object] | None = None) -> None:
        """Compile a template.

        Args:
            source: The jinja2 text, `None` for the fallback.
            variables: Further variables, such as `bos_token`.

        Raises:
            EngineError: It is not a valid template.
        """
        from jinja2 import TemplateError

        from edgeagent.agent.chat.sandbox import BoundedEnvironment

        environment = BoundedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        self._environment = environment
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self._variables = dict(variables or {})
        try:
            self._template = environment.from_string(source or FALLBACK_TEMPLATE)
        except (TemplateError, RecursionError, MemoryError) as error:
            reason = str(error).rstrip(".")
            raise EngineError(f"The package's chat template is not valid: {reason}.") from error

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, object]] | None = None,
        *,
        variables: Mapping[str, object] | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """Return the prompt text of the messages.

        Args:
            messages: The conversation.
            tools: OpenAI function descriptions for templates that know tools.
            variables: Further variables of this conversation, such as `enable_thinking`.
            add_generation_prompt: Whether to open the assistant's turn at the end.

        Raises:
            EngineError: The template failed or wrote too much.
        """
        self._environment.begin()
        try:
            # `generate` instead of `render`, so that endless output is cut off.
            parts: list[str] = []
            length = 0
            for part in self._template.generate(
                messages=list(messages),
                tools=list(tools) if tools else None,
                add_generation_prompt=add_generation_prompt,
                **{**self._variables, **(variables or {})},
            ):
                length += len(part)
                if length > MAX_RENDERED_CHARS:
                    raise EngineError(
                        f"The chat template wrote more than {MAX_RENDERED_CHARS} characters."
                    )
                parts.append(part)
            return "".join(parts)
        except EngineError:
            raise
        except (Exception, MemoryError) as error:
            reason = str(error).rstrip(".")
            raise EngineError(f"The package's chat template failed: {reason}.") from error


def _to_json(value: object, indent: int | None = None) -> str:
    """Return JSON as Python writes it; jinja2's own filter escapes HTML, which models never saw."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=indent and min(indent, _MAX_JSON_INDENT))


def _raise_exception(message: str) -> NoReturn:
    raise EngineError(f"The chat template refused the conversation: {message}")


def _strftime_now(format_: str) -> str:
    return datetime.now(UTC).strftime(format_)
