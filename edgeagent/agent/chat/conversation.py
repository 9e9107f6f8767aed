"""A conversation of one role: it keeps its prefix in the KV cache and prefills only what is new."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgeagent.agent.models import Model
from edgeagent.agent.stops import AgentStop, Limits
from edgeagent.agent.turns import TurnRequest
from edgeagent.engine.prefill import common_prefix_len
from edgeagent.engine.protocol import Cancelled, DecodeParams, Session, TokenEvent
from edgeagent.errors import EngineError, ResourceError
from edgeagent.record.outcome import FailureMode
from edgeagent.record.spans import OpenSpan, Recorder, SpanKind

OnText = Callable[[str], None]


@dataclass
class _Held:
    """A session and what is in it.

    Attributes:
        session: The session.
        text: What its tokens were made of, empty where that is not known.
        role: Who used it last.
    """

    session: Session
    text: str = ""
    role: str = ""


class Conversation:
    """One session of the engine, driven by whole message lists.

    Each turn renders the complete conversation. What the session already holds is found and kept:

    - If the new text continues the old one, only the continuation is tokenized and prefilled. The
      model's own tokens stay as it generated them, also where a tokenizer would cut the same
      text differently.
    - Otherwise (another task, or a template that rewrites earlier turns) the token lists are
      compared and the cache is rewound to their common prefix.

    So several roles may also share a session, see `for_role`: each turn then rewinds to what the
    two roles have in common.
    """

    def __init__(self, model: Model, role: str, session: Session) -> None:
        """Drive a session of this model, which is closed together with the conversation."""
        self._engine = model.engine
        self._template = model.template
        self._role = role
        self._held = _Held(session)

    def for_role(self, role: str) -> Conversation:
        """Return a conversation of another role in the same session."""
        other = copy.copy(self)
        other._role = role
        return other

    @property
    def session(self) -> Session:
        """The session underneath, for tests and tuning."""
        return self._held.session

    def turn(
        self, request: TurnRequest, *, recorder: Recorder, limits: Limits, on_text: OnText
    ) -> str:
        """Prefill what is new of the conversation, generate a reply and return its text.

        Raises:
            AgentStop: The context, the time or another limit is used up.
        """
        self.prefill(request, recorder, limits)
        return self._decode(request.params, recorder, limits, on_text)

    def prefill(self, request: TurnRequest, recorder: Recorder, limits: Limits) -> None:
        """Put the conversation into the cache, up to where the model's turn begins.

        Raises:
            AgentStop: As `turn`.
        """
        limits.check()
        text = self._template.render(request.messages, request.tools, variables=request.variables)
        self._prefill(text, recorder, limits)

    def warm_up(self, request: TurnRequest) -> None:
        """Prefill a prefix before the first task, so that the first task does not pay for it.

        Where roles share a session, the prefix of the first stays: the next one would only undo it.
        """
        if self._held.role not in ("", self._role):
            return
        text = self._template.render(
            request.messages,
            request.tools,
            variables=request.variables,
            add_generation_prompt=False,
        )
        self._prefill(text, Recorder(), Limits(3600.0))

    def _prefill(self, text: str, recorder: Recorder, limits: Limits) -> None:
        held = self._held
        held.role = self._role
        session = held.session
        with recorder.span(SpanKind.PREFILL, self._role) as span:
            if held.text and text.startswith(held.text) and len(text) > len(held.text):
                new_ids = self._engine.encode(text[len(held.text) :])
            else:
                all_ids = self._engine.encode(text)
                if not all_ids:
                    raise EngineError("The package's chat template wrote an empty prompt.")
                keep = common_prefix_len(session.tokens, all_ids)
                # Logits to continue from need at least one token to be run. It is two, since
                # runtimes round a single row differently: the same question asked again would
                # get another answer.
                keep = max(0, min(keep, len(all_ids) - 2))
                session.rewind(keep)
                new_ids = all_ids[keep:]
            held.text = ""  # only a finished prefill may be continued
            span.tokens_in = len(session.tokens) + len(new_ids)
            span.tokens_cached = session.cached_len
            try:
                session.append(new_ids, should_stop=limits.passed)
            except ResourceError as error:
                span.tokens_in = span.tokens_cached
                raise AgentStop(FailureMode.CONTEXT_EXCEEDED, str(error)) from error
            except Cancelled:
                span.tokens_in = session.cached_len
                limits.check()
                raise
        held.text = text

    def _decode(
        self, params: DecodeParams, recorder: Recorder, limits: Limits, on_text: OnText
    ) -> str:
        parts: list[str] = []
        # A turn that does not end here, as by Ctrl-C, leaves tokens behind that the text has not:
        # then the next turn compares tokens instead of continuing the text.
        held = self._held
        prompt, held.text = held.text, ""
        params = replace(
            params,
            max_new_tokens=limits.tokens_left(params.max_new_tokens),
            logprobs=params.logprobs or recorder.wants_logprobs,
        )
        with recorder.span(SpanKind.DECODE, self._role) as span:
            try:
                for event in held.session.decode(params, should_stop=limits.passed):
                    count_token(span, event)
                    parts.append(event.text)
                    if event.text:
                        on_text(event.text)
            except EngineError as error:
                raise AgentStop(FailureMode.ERROR, str(error)) from error
            finally:
                limits.spend(span.tokens_out)
        text = "".join(parts)
        held.text = prompt + text
        if limits.passed():
            limits.check()
        if len(held.session.tokens) >= held.session.max_context_len:
            raise AgentStop(
                FailureMode.CONTEXT_EXCEEDED,
                f"the context of {held.session.max_context_len} tokens is full",
            )
        return text

    def close(self) -> None:
        """Free the cache."""
        self._held.session.close()


def count_token(span: OpenSpan, event: TokenEvent) -> None:
    """Count a generated token in the span of its decode."""
    span.tokens_out += 1
    span.tokens_forced += event.forced
    span.tokens_drafted += event.drafted
    span.tokens_accepted += event.accepted
    span.token_t_ns.append(event.t_ns)
    if event.logprob is not None:
        span.logprob = (span.logprob or 0.0) + min(0.0, event.logprob)
