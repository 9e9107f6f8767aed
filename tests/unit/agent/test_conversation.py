from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgeagent.agent.chat.conversation import Conversation
from edgeagent.agent.chat.template import ChatTemplate, Message
from edgeagent.agent.models import model_of
from edgeagent.agent.stops import AgentStop, Limits
from edgeagent.agent.turns import TurnRequest
from edgeagent.engine.protocol import DecodeParams
from edgeagent.engine.scripted import CHAT_TEMPLATE, ScriptedEngine, ScriptedSession, replies
from edgeagent.errors import EngineError
from edgeagent.record.outcome import FailureMode
from edgeagent.record.spans import Recorder, SpanKind

SYSTEM: Message = {"role": "system", "content": "You are the clerk of a small harbour."}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


class Talk:
    """A conversation with a scripted model, and its spans."""

    def __init__(
        self,
        reply: Callable[[str], str],
        template: str = CHAT_TEMPLATE,
        max_context_len: int = 1000,
    ) -> None:
        model = model_of(ScriptedEngine(reply), "compact", grounded=False)
        model = replace(model, template=ChatTemplate(template))
        session = model.engine.open(max_context_len)
        self.conversation = Conversation(model, "clerk", session)
        self.template = ChatTemplate(template)
        self.recorder = Recorder()

    @property
    def session(self) -> ScriptedSession:
        session = self.conversation.session
        assert isinstance(session, ScriptedSession)
        return session

    def say(
        self,
        *messages: Message,
        limits: Limits | None = None,
        on_text: Callable[[str], None] = lambda _text: None,
    ) -> str:
        return self.conversation.turn(
            TurnRequest(messages, params=DecodeParams(max_new_tokens=40)),
            recorder=self.recorder,
            limits=limits or Limits(60),
            on_text=on_text,
        )

    def prompt(self, *messages: Message) -> str:
        return self.template.render(messages)

    def spans(self, kind: SpanKind) -> list[tuple[int, int]]:
        return [
            (span.tokens_in, span.tokens_cached)
            for span in self.recorder.trace()
            if span.kind is kind
        ]


def test_a_turn_prefills_the_prompt_and_returns_the_reply() -> None:
    heard: list[str] = []
    talk = Talk(replies("Good morning."))
    assert talk.say(SYSTEM, user("Hi"), on_text=heard.append) == "Good morning."
    assert "".join(heard) == "Good morning."
    prompt = talk.prompt(SYSTEM, user("Hi"))
    assert talk.spans(SpanKind.PREFILL) == [(len(prompt), 0)]
    decode = next(span for span in talk.recorder.trace() if span.kind is SpanKind.DECODE)
    assert decode.tokens_out == len(decode.token_t_ns) == len("Good morning.")
    assert decode.agent == "clerk"


def test_a_follow_up_prefills_only_what_is_new() -> None:
    talk = Talk(replies("One.", "Two."))
    talk.say(SYSTEM, user("First?"))
    before = talk.session.prefilled
    length, cached = len(talk.session.tokens), talk.session.cached_len
    talk.say(SYSTEM, user("First?"), assistant("One."), user("Second?"))
    prompt = talk.prompt(SYSTEM, user("First?"), assistant("One."), user("Second?"))
    assert talk.spans(SpanKind.PREFILL)[1] == (len(prompt), cached)
    new = len(prompt) - length
    # That the reply ends is only known after all of it was run.
    assert talk.session.prefilled - before == new + (length - cached) + len("Two.")


def test_another_task_keeps_the_common_prefix() -> None:
    talk = Talk(replies("One.", "Two."))
    talk.say(SYSTEM, user("First?"))
    talk.say(SYSTEM, user("Second?"))
    common = talk.prompt(SYSTEM, user("")).index("[user]") + len("[user]")
    assert talk.spans(SpanKind.PREFILL)[1] == (len(talk.prompt(SYSTEM, user("Second?"))), common)


def test_the_same_question_again_runs_two_tokens() -> None:
    talk = Talk(replies("One.", "One."))
    for _ in range(2):
        assert talk.say(SYSTEM, user("First?")) == "One."
    length = len(talk.prompt(SYSTEM, user("First?")))
    assert talk.spans(SpanKind.PREFILL)[1] == (length, length - 2)


def test_a_warm_prefix_is_not_prefilled_again() -> None:
    talk = Talk(replies("One."))
    talk.conversation.warm_up(TurnRequest([SYSTEM]))
    warm = talk.session.prefilled
    assert warm == len("[system]") + len(str(SYSTEM["content"])) + 1
    talk.say(SYSTEM, user("First?"))
    assert talk.spans(SpanKind.PREFILL)[0][1] == warm


REWRITING = (
    "{% for message in messages %}{% if message.role == 'assistant' and not loop.last %}"
    "[assistant](left out)\n{% else %}[{{ message.role }}]{{ message.content }}\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_a_template_that_rewrites_history_falls_back_to_the_common_prefix() -> None:
    talk = Talk(replies("One.", "Two."), REWRITING)
    talk.say(SYSTEM, user("First?"))
    messages = (SYSTEM, user("First?"), assistant("One."), user("Second?"))
    assert talk.say(*messages) == "Two."
    prompt = talk.prompt(*messages)
    assert talk.spans(SpanKind.PREFILL)[1] == (len(prompt), prompt.index("(left out)"))
    assert bytes(talk.session.tokens).decode() == prompt + "Two."


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_after_an_interrupted_reply_nothing_of_it_is_left(error: type[BaseException]) -> None:
    def interrupt(text: str) -> None:
        if text == "b":
            raise error

    talk = Talk(replies("abc", "Two."))
    with pytest.raises(error):
        talk.say(SYSTEM, user("First?"), on_text=interrupt)
    messages = (SYSTEM, user("First?"), assistant("xyz"), user("Second?"))
    talk.say(*messages)
    assert bytes(talk.session.tokens).decode() == talk.prompt(*messages) + "Two."


class _AfterSomeAsking(Limits):
    """Limits that are passed when it was asked often enough."""

    def __init__(self, asks: int) -> None:
        super().__init__(60)
        self._asks = asks

    def passed(self) -> bool:
        self._asks -= 1
        return self._asks < 0


@pytest.mark.parametrize("asks", [0, 1, 2, 4])
def test_the_time_limit_holds_in_prefill_and_decode(asks: int) -> None:
    talk = Talk(replies("A long reply.", "Two."))
    with pytest.raises(AgentStop) as caught:
        talk.say(SYSTEM, user("First?"), limits=_AfterSomeAsking(asks))
    assert caught.value.failure is FailureMode.TIMEOUT
    # Spans say what really ran.
    prefilled = sum(tokens_in - cached for tokens_in, cached in talk.spans(SpanKind.PREFILL))
    assert prefilled == (0 if asks < 2 else len(talk.prompt(SYSTEM, user("First?"))))
    assert talk.say(SYSTEM, user("Second?"))
    assert bytes(talk.session.tokens).decode().startswith(talk.prompt(SYSTEM, user("Second?")))


def test_a_prompt_longer_than_the_context_is_a_failure_not_an_error() -> None:
    talk = Talk(replies("One."), max_context_len=80)
    with pytest.raises(AgentStop) as caught:
        talk.say(SYSTEM, user("x" * 100))
    assert caught.value.failure is FailureMode.CONTEXT_EXCEEDED
    tokens_in, cached = talk.spans(SpanKind.PREFILL)[0]
    assert tokens_in == cached
    assert talk.say(SYSTEM, user("x")) == "One."


def test_a_reply_that_fills_the_context_is_a_failure() -> None:
    length = len(Talk(replies()).prompt(SYSTEM, user("x")))
    talk = Talk(replies("A long reply."), max_context_len=length + 5)
    with pytest.raises(AgentStop) as caught:
        talk.say(SYSTEM, user("x"))
    assert caught.value.failure is FailureMode.CONTEXT_EXCEEDED


def test_an_empty_prompt_is_refused() -> None:
    talk = Talk(replies("One."), "{% if false %}x{% endif %}")
    with pytest.raises(EngineError, match="empty prompt"):
        talk.say(SYSTEM)
