"""Conversations whose sessions decode together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgeagent.agent.chat.conversation import Conversation
from edgeagent.agent.models import Model
from edgeagent.agent.stops import AgentStop, Limits
from edgeagent.agent.turns import TurnRequest
from edgeagent.engine.prefill import common_prefix_len
from edgeagent.engine.protocol import Session, SessionGroup
from edgeagent.errors import EngineError
from edgeagent.record.outcome import FailureMode
from edgeagent.record.spans import Recorder, SpanKind


class Rows:
    """The conversations in the rows of one group of sessions."""

    def __init__(self, model: Model, group: SessionGroup, names: Sequence[str]) -> None:
        """Converse in the rows, each under a name of its own for traces.

        The group is closed together with this.
        """
        self.model = model
        self.group = group
        self.names = tuple(names)
        self.conversations = tuple(
            RowConversation(model, name, session)
            for name, session in zip(names, group.sessions, strict=True)
        )

    def prefill(
        self,
        row: int,
        request: TurnRequest,
        others: Mapping[int, TurnRequest],
        recorder: Recorder,
        limits: Limits,
    ) -> None:
        """Put a prompt into a row: copied from a row that just got the same, else prefilled.

        Args:
            row: Where to.
            request: The prompt.
            others: Prompts that rows hold, nothing generated behind them.
            recorder: Gets a span, in which copied tokens count as cached.
            limits: What the task may use.

        Raises:
            AgentStop: The context, the time or another limit is used up.
        """
        twin = next((at for at, other in others.items() if _same_prompt(request, other)), None)
        if twin is None:
            self.conversations[row].prefill(request, recorder, limits)
            return
        limits.check()
        source, target = self.group.sessions[twin], self.group.sessions[row]
        with recorder.span(SpanKind.PREFILL, self.names[row]) as span:
            kept = min(common_prefix_len(source.tokens, target.tokens), target.cached_len)
            span.tokens_in = len(source.tokens)
            span.tokens_cached = span.tokens_in if self.group.is_batched else kept
            self.group.fork(twin, row)
        self.conversations[row].adopt(self.conversations[twin])

    def close(self) -> None:
        """Free the caches."""
        self.group.close()


class RowConversation(Conversation):
    """A conversation whose replies are generated together with those of others."""

    def adopt(self, other: RowConversation) -> None:
        """Know what the session holds: it was copied from the other one's."""
        self._held.text, self._held.role = other._held.text, self._role

    def listen(self) -> Callable[[str], None]:
        """Begin a reply; return what is to be called with its whole text.

        Until then, and if that never happens, the session holds more than is known.
        """
        held = self._held
        prompt, held.text = held.text, ""

        def heard(text: str) -> None:
            held.text = prompt + text

        return heard

    def check_room(self) -> None:
        """Check that the reply did not end for lack of room.

        Raises:
            AgentStop: It did.
        """
        session = self.session
        if len(session.tokens) >= session.max_context_len:
            raise AgentStop(
                FailureMode.CONTEXT_EXCEEDED,
                f"the context of {session.max_context_len} tokens is full",
            )


def _same_prompt(one: TurnRequest, other: TurnRequest) -> bool:
    return (
        one.messages == other.messages
        and one.tools == other.tools
        and one.variables == other.variables
    )


class Groups:
    """The groups of a run by name, opened when they are first asked for."""

    def __init__(self) -> None:
        """Prepare; nothing is opened yet."""
        self._rows: dict[tuple[str, int, str | None], Rows] = {}

    def rows(
        self, name: str, names: Sequence[str], model: Model, context_len: int, adapter: str | None
    ) -> Rows:
        """Return the rows of a group.

        Args:
            name: What the group is called.
            names: What its rows are called; as many are opened.
            model: Who speaks in all of them.
            context_len: Tokens of each row.
            adapter: LoRA adapter of the model, `None` for none.

        Raises:
            ResourceError: There is not enough memory for them.
            EngineError: The engine cannot open them, or the group has other rows by now.
        """
        key = (name, id(model.engine), adapter)
        if key not in self._rows:
            group = model.engine.open_group(len(names), context_len, adapter)
            self._rows[key] = Rows(model, group, names)
        rows = self._rows[key]
        if rows.names != tuple(names):
            raise EngineError(f"The group {name!r} was opened for {', '.join(rows.names)}.")
        return rows

    @property
    def opened(self) -> tuple[tuple[Session, Model], ...]:
        """The sessions of all rows, each with its model."""
        return tuple(
            (session, rows.model) for rows in self._rows.values() for session in rows.group.sessions
        )

    def close(self) -> None:
        """Free all caches."""
        for rows in self._rows.values():
            rows.close()
        self._rows.clear()
