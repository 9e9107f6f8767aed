"""How rows share runs of the model, on a graph whose logits depend on every token of the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeagent.engine.grammar import SINGLE_BYTES, GrammarMatcher, GrammarTokenizer
from edgeagent.engine.ort_graph import CacheInput, CachePool
from edgeagent.engine.protocol import DecodeParams
from edgeagent.engine.row_group import RowGroup
from edgeagent.engine.rows import RowRuntime
from edgeagent.engine.sampling import Logits

VOCAB = 262
LEN = 64


class HashGraph:
    """Keeps tokens as keys; what follows is drawn by a seed made of all tokens of the row."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        """Rows and new tokens of each run."""

    def new_pool(
        self, rows: int, max_context_len: int, adapter_file: Path | None = None
    ) -> CachePool:
        assert adapter_file is None
        caches = [CacheInput(name, name, np.float32, 1, 1) for name in ("key", "value")]
        return CachePool(caches, rows, max_context_len)

    def run(
        self, pool: CachePool, first: int, token_ids: NDArray[np.int64], lengths: Sequence[int]
    ) -> Logits:
        count, new = token_ids.shape
        assert count == 1 or new == 1, "the attention takes no batch of several new tokens"
        self.runs.append((count, new))
        rows = []
        for row, length in enumerate(lengths):
            for tensor in pool.tensors:
                tensor[first + row, 0, length - new : length, 0] = token_ids[row]
            rows.append(expected_logits(pool.tensors[1][first + row, 0, :length, 0]))
        return np.stack(rows)


def expected_logits(tokens: Sequence[float] | NDArray[Any]) -> Logits:
    rng = np.random.default_rng([int(token) for token in tokens])
    return rng.standard_normal(VOCAB).astype(np.float32)


def greedy(prompt: Sequence[int], count: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(expected_logits(tokens).argmax()))
    return tokens


class NoText:
    def decode(self, token_id: int) -> str:
        return ""


@pytest.fixture
def graph() -> HashGraph:
    return HashGraph()


@pytest.fixture
def group(graph: HashGraph) -> Iterator[RowGroup]:
    tokenizer = GrammarTokenizer(SINGLE_BYTES, None, ())
    runtime = RowRuntime(
        graph=graph,
        new_stream=NoText,
        new_matcher=lambda grammar: GrammarMatcher(tokenizer, grammar),
        eos_ids=frozenset(),
        vocab_size=VOCAB,
        prefill_chunk_len=128,
    )
    group = RowGroup(runtime, 4, LEN)
    yield group
    group.close()


def run(group: RowGroup, **new: int) -> None:
    """Generate in the rows `r0`, `r1`, ... as many tokens as said."""
    requests = {int(row[1:]): DecodeParams(max_new_tokens=count) for row, count in new.items()}
    for _ in group.decode(requests):
        pass


def test_one_run_serves_rows_of_different_lengths(graph: HashGraph, group: RowGroup) -> None:
    prompts = [[1, 2, 3], [4, 5], [6, 7, 8, 9], [10]]
    for session, prompt in zip(group.sessions, prompts, strict=True):
        session.append(prompt)
    graph.runs.clear()
    run(group, r0=6, r1=6, r2=6, r3=6)
    assert graph.runs == [(4, 1)] * 5, "the first tokens follow from the prompts' logits"
    for session, prompt in zip(group.sessions, prompts, strict=True):
        assert session.tokens == greedy(prompt, 6)


def test_rows_at_their_end_make_room(graph: HashGraph, group: RowGroup) -> None:
    prompts = [[1, 2, 3], [4, 5], [6, 7, 8, 9], [10]]
    for session, prompt in zip(group.sessions, prompts, strict=True):
        session.append(prompt)
    graph.runs.clear()
    run(group, r0=9, r1=2, r2=4, r3=12)
    assert graph.runs == [(4, 1)] + [(3, 1)] * 2 + [(2, 1)] * 5 + [(1, 1)] * 3
    run(group, r0=3, r1=8, r2=5, r3=2)
    run(group, r1=2, r3=4)
    for session, prompt, new in zip(group.sessions, prompts, (12, 12, 9, 18), strict=True):
        assert session.tokens == greedy(prompt, new)


def test_rows_that_hold_the_same_are_run_once(graph: HashGraph, group: RowGroup) -> None:
    group.sessions[0].append([1, 2, 3])
    for row in (1, 2, 3):
        group.fork(0, row)
    group.sessions[3].append([4])
    graph.runs.clear()
    run(group, r0=5, r1=5, r2=3, r3=5)
    assert graph.runs == [(2, 1)] * 4
    run(group, r1=4)
    run(group, r0=1, r2=8)
    for row, (prompt, new) in enumerate([([1, 2, 3], 6), ([1, 2, 3], 9), ([1, 2, 3], 11)]):
        assert group.sessions[row].tokens == greedy(prompt, new)
    assert group.sessions[3].tokens == greedy([1, 2, 3, 4], 5)


def test_a_fork_copies_instead_of_running(graph: HashGraph, group: RowGroup) -> None:
    first, second = group.sessions[:2]
    first.append([1, 2, 3, 4, 5])
    second.append([1, 2, 9, 9, 9, 9, 9])
    graph.runs.clear()
    group.fork(0, 1)
    assert graph.runs == []
    run(group, r1=3)
    assert second.tokens == greedy([1, 2, 3, 4, 5], 3)
    group.fork(1, 1)
    group.fork(1, 0)
    first.append([7])
    run(group, r0=2)
    assert first.tokens == greedy([*greedy([1, 2, 3, 4, 5], 3), 7], 2)


def test_many_forced_tokens_are_run_at_once(graph: HashGraph, group: RowGroup) -> None:
    for row, prompt in enumerate(([1, 2], [3, 4], [5, 6])):
        group.sessions[row].append(prompt)
    graph.runs.clear()
    requests = dict.fromkeys(range(3), DecodeParams(max_new_tokens=6))
    requests[1] = DecodeParams(grammar='start: "abcdef" /[xyz]/')
    list(group.decode(requests))
    assert graph.runs == [(1, 6)] + [(2, 1)] * 5
    choice = expected_logits([3, 4, *b"abcdef"])[list(b"xyz")].argmax()
    assert group.sessions[1].tokens == [3, 4, *b"abcdef", b"xyz"[choice]]
    assert group.sessions[0].tokens == greedy([1, 2], 6)
    assert group.sessions[2].tokens == greedy([5, 6], 6)


def test_few_forced_tokens_are_run_with_those_of_other_rows(
    graph: HashGraph, group: RowGroup
) -> None:
    for row, prompt in enumerate(([1, 2], [3, 4], [5, 6])):
        group.sessions[row].append(prompt)
    graph.runs.clear()
    requests = dict.fromkeys(range(3), DecodeParams(max_new_tokens=4))
    requests[1] = DecodeParams(grammar='start: /[xyz]/ "a" /[xyz]/')
    list(group.decode(requests))
    assert graph.runs == [(3, 1)] * 2 + [(2, 1)]
    assert group.sessions[0].tokens == greedy([1, 2], 4)
    tokens = [3, 4]
    for allowed in (b"xyz", b"a", b"xyz"):
        tokens.append(allowed[int(expected_logits(tokens)[list(allowed)].argmax())])
    assert group.sessions[1].tokens == tokens


def test_a_rewound_row_computes_its_last_logits_anew(graph: HashGraph, group: RowGroup) -> None:
    for row, prompt in enumerate(([1, 2, 3], [4, 5, 6])):
        group.sessions[row].append(prompt)
    run(group, r0=3, r1=3)
    group.sessions[1].rewind(3)
    graph.runs.clear()
    run(group, r0=2, r1=2)
    assert sorted(graph.runs[:2]) == [(1, 1), (1, 2)]
    assert group.sessions[0].tokens == greedy([1, 2, 3], 5)
    assert group.sessions[1].tokens == greedy([4, 5, 6], 2)


def test_an_interrupt_in_an_exchange_loses_no_tokens(
    graph: HashGraph, group: RowGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [[1, 2, 3], [4, 5], [6, 7, 8, 9]]
    for session, prompt in zip(group.sessions[:3], prompts, strict=True):
        session.append(prompt)

    def interrupted(pool: CachePool, one: int, other: int, length: int) -> None:
        pool.tensors[0][[one, other]] = pool.tensors[0][[other, one]]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(CachePool, "swap", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(group, r0=4, r2=4)
    counts = [
        len(session.tokens) - len(prompt)
        for session, prompt in zip(group.sessions, prompts, strict=False)
    ]
    run(group, r0=4, r1=4, r2=4)
    for session, prompt, had in zip(group.sessions, prompts, counts, strict=False):
        assert session.tokens == greedy(prompt, had + 4)
