"""Rendering messages with a model's own chat template.

The runtime's renderer corrupts tool schemas, so templates are rendered by jinja2. A template comes
with the model, so it is untrusted: it runs in jinja2's sandbox, without access to attributes, files
or modules, and with bounded loops and output (see `sandbox`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from edgeagent.agent.chat.adaptation import Adaptation
from edgeagent.errors import EngineError

Message = Mapping[str, Any]
"""`{"role": ..., "content": ...}`, as in OpenAI's chat format."""

MAX_RENDERED_CHARS = 1 << 22

_MAX_JSON_INDENT = 16
_OPEN_THINKING = re.compile(r"<think>\s*\Z")
_CLOSED = "\n\n</think>\n\n"

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

        from edgeagent.agent.chat.generation import GenerationBlocks
        from edgeagent.agent.chat.sandbox import BoundedEnvironment

        environment = BoundedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", GenerationBlocks],
        )
        self._environment = environment
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        # Models that think unless they are told not to are told, see `render`.
        self._variables = {"enable_thinking": False, **(variables or {})}
        self._adapt = Adaptation(lambda messages, tools: self._written(messages, tools, {}))
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

        What a template lacks is made up for (see `adaptation`). Some open the thinking section
        themselves, in front of what the model writes: such a section is closed again where the
        variable `enable_thinking` is false, and left for the model to open where it is true.

        Args:
            messages: The conversation.
            tools: OpenAI function descriptions.
            variables: Further variables of this conversation, such as `enable_thinking`.
            add_generation_prompt: Whether to open the assistant's turn at the end.

        Raises:
            EngineError: The template failed or wrote too much.
        """
        known = {**self._variables, **(variables or {})}
        adapted, shown_tools = self._adapt(messages, tools)
        text = self._written(adapted, shown_tools, known, add_generation_prompt)
        opened = _OPEN_THINKING.search(text) if add_generation_prompt else None
        if opened is None:
            return text
        return text[: opened.start()] if known["enable_thinking"] else f"{text.rstrip()}{_CLOSED}"

    def _written(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, object]] | None,
        variables: Mapping[str, object],
        add_generation_prompt: bool = True,
    ) -> str:
        self._environment.begin()
        try:
            # `generate` instead of `render`, so that endless output is cut off.
            parts: list[str] = []
            length = 0
            for part in self._template.generate(
                messages=list(messages),
                tools=list(tools) if tools else None,
                add_generation_prompt=add_generation_prompt,
                **{**self._variables, **variables},
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


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Sequence[str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return JSON as Python writes it; jinja2's own filter escapes HTML, which models never saw."""
    import json

    item, key = separators or ((", ", ": ") if indent is None else (",", ": "))
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent and min(indent, _MAX_JSON_INDENT),
        separators=(str(item), str(key)),
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    raise EngineError(f"The chat template refused the conversation: {message}")


def _strftime_now(format_: str) -> str:
    return datetime.now(UTC).strftime(format_)
