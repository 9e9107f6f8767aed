"""No prefix token is prefilled twice: proven from spans, on the real engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgeagent.agent.paradigms import make_paradigm
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.documents.index import DocumentIndex
from edgeagent.agent.tools.documents.search import DocumentSearch
from edgeagent.config.run import Budget
from edgeagent.engine.genai import GenaiEngine
from edgeagent.engine.genai_session import GenaiSession
from edgeagent.record.spans import Span, SpanKind

QUESTIONS = (
    "How much is 23 times 47?",
    "How many crowns does a berth at Port Ellery cost?",
    "What is the opposite of cold?",
)


class CountingGenerator:
    """Passes everything on and counts the tokens that are really run, and how far it rewinds."""

    def __init__(self, native: Any) -> None:
        self._native = native
        self.ran: list[int] = []
        self.lowest = 1 << 30

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native, name)

    def append_tokens(self, tokens: Any) -> None:
        self.ran.append(len(tokens))
        self._native.append_tokens(tokens)

    def rewind_to(self, length: int) -> None:
        self.lowest = min(self.lowest, length)
        self._native.rewind_to(length)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentIndex]:
    folder: Path = tmp_path_factory.mktemp("documents")
    text = "# Port Ellery harbour\n\nA berth at Port Ellery costs 14 crowns a night.\n"
    (folder / "harbour.md").write_text(text, encoding="utf-8")
    index = DocumentIndex(folder)
    yield index
    index.close()


class Watched:
    """A runtime whose sessions are counted, by role."""

    def __init__(self, engine: GenaiEngine, index: DocumentIndex) -> None:
        self.runtime = Runtime(
            engine, [Calculator(), DocumentSearch(index)], Budget(max_new_tokens=24)
        )
        self.generators: dict[str, CountingGenerator] = {}
        self.sessions: dict[str, GenaiSession] = {}
        open_conversation = self.runtime.conversation

        def conversation(role: str, **voice: Any) -> Any:
            opened = open_conversation(role, **voice)
            if role not in self.generators:
                session = opened.session
                assert isinstance(session, GenaiSession)
                self.sessions[role] = session
                session._generator = self.generators[role] = CountingGenerator(session._generator)
            return opened

        self.runtime.conversation = conversation  # type: ignore[method-assign]

    def ran(self) -> dict[str, int]:
        return {role: sum(generator.ran) for role, generator in self.generators.items()}


def prefills(spans: Sequence[Span], role: str) -> list[Span]:
    return [span for span in spans if span.kind is SpanKind.PREFILL and span.agent == role]


@pytest.mark.parametrize("name", ["single", "multi"])
def test_no_prefix_token_is_prefilled_twice(
    smollm2: GenaiEngine, index: DocumentIndex, name: str
) -> None:
    watched = Watched(smollm2, index)
    paradigm = make_paradigm(name, watched.runtime)
    paradigm.warm_up()
    prefix_len = {role: session.cached_len for role, session in watched.sessions.items()}
    assert len(prefix_len) == (2 if name == "single" else 5)
    # Warming up ran each prefix exactly once.
    assert watched.ran() == prefix_len

    seen: set[str] = set()
    follow_ups = 0
    for question in QUESTIONS:
        before = watched.ran()
        task = TaskRun(120)
        paradigm.run(question, task)
        trace = task.recorder.trace()
        after = watched.ran()
        for role, length in prefix_len.items():
            turns = prefills(trace, role)
            decodes = [s for s in trace if s.kind is SpanKind.DECODE and s.agent == role]
            prefilled = sum(span.tokens_in - span.tokens_cached for span in turns)
            decoded = after[role] - before[role] - prefilled
            # What ran beyond the prefills are tokens that a decode generated, each at most once.
            assert 0 <= decoded <= sum(span.tokens_out for span in decodes)
            if not turns:
                assert after[role] == before[role]
                continue
            seen.add(role)
            follow_ups += check_follow_ups(trace, role)
            # The prefix came from the cache, in the first turn of every task too.
            assert all(span.tokens_cached >= length for span in turns)
            assert all(span.tokens_in > span.tokens_cached for span in turns)
    # Nothing below the prefix was ever rewound.
    assert all(watched.generators[role].lowest >= prefix_len[role] for role in seen)
    assert seen & {"agent", "supervisor"}
    assert follow_ups
    watched.runtime.close()


def check_follow_ups(trace: Sequence[Span], role: str) -> int:
    """Check what each further turn of a task prefills; return how many there were."""
    turns = [s for s in trace if s.agent == role and s.kind in (SpanKind.PREFILL, SpanKind.DECODE)]
    count = 0
    for prefill, decode, again in zip(turns[::2], turns[1::2], turns[2::2], strict=False):
        count += 1
        assert (prefill.kind, decode.kind) == (SpanKind.PREFILL, SpanKind.DECODE)
        held = prefill.tokens_in + decode.tokens_out
        # All of the prompt is in the cache, and of the reply at least what was chosen freely but
        # the last token; forced tokens at its end cost nothing until now.
        assert prefill.tokens_in <= again.tokens_cached <= held
        assert held - again.tokens_cached <= 1 + decode.tokens_forced
        assert again.tokens_in > held
    return count
