"""Rows of the real engine run together, and say what a lone session says with the same weights."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgeagent.agent.paradigms.vote import Vote
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.config.run import Budget
from edgeagent.engine.genai import GenaiEngine
from edgeagent.engine.ort_graph import CachePool, OrtGraph
from edgeagent.engine.protocol import DecodeParams, SessionGroup
from edgeagent.engine.row_group import RowGroup
from edgeagent.errors import EngineError, ResourceError
from edgeagent.record.spans import SpanKind

CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
QUESTIONS = (
    "Name three colours.",
    "What is the capital of France, and which river flows through it?",
    "Tell me a story about a king and his dog who lived on a hill far away from the sea.",
    "Hi!",
)
CONTEXT_LEN = 192
CALL = 'start: "I must use " /[a-z]{3,9}/ ".\\n" %json {"type": "object", "properties": {"query": {"type": "string", "minLength": 1, "maxLength": 12}}, "required": ["query"], "additionalProperties": false}'  # noqa: E501


@pytest.fixture(scope="module")
def group(smollm2: GenaiEngine) -> Iterator[SessionGroup]:
    group = smollm2.open_group(len(QUESTIONS), CONTEXT_LEN)
    yield group
    group.close()


def said_together(
    group: SessionGroup, requests: Mapping[int, DecodeParams]
) -> dict[int, list[int]]:
    said: dict[int, list[int]] = defaultdict(list)
    for row, event in group.decode(requests):
        if event is not None:
            said[row].append(event.token_id)
    return said


def said_alone(engine: GenaiEngine, prompt: list[int], params: DecodeParams) -> list[int]:
    session = engine.open(CONTEXT_LEN)
    session.append(prompt)
    ids = [event.token_id for event in session.decode(params)]
    session.close()
    return ids


def test_rows_say_what_a_lone_session_says(smollm2: GenaiEngine, group: SessionGroup) -> None:
    assert isinstance(group, RowGroup)
    assert group.is_batched
    prompts = [smollm2.encode(CHAT.format(question)) for question in QUESTIONS]
    requests = {
        0: DecodeParams(max_new_tokens=12),
        1: DecodeParams(max_new_tokens=40, grammar=CALL),
        2: DecodeParams(max_new_tokens=8),
        3: DecodeParams(max_new_tokens=40, grammar=CALL),
    }
    alone = {row: said_alone(smollm2, prompts[row], params) for row, params in requests.items()}
    for _ in range(2):  # rows are at other places in the pool the second time
        for session, prompt in zip(group.sessions, prompts, strict=True):
            session.rewind(0)
            session.append(prompt)
        said = said_together(group, requests)
        assert said == alone
        assert sorted(row.slot for row in group.sessions) == [0, 1, 2, 3]


def test_turns_after_forks_and_rewinds_are_those_of_a_lone_session(
    smollm2: GenaiEngine, group: SessionGroup
) -> None:
    prefix = smollm2.encode(CHAT.format(QUESTIONS[1]))
    ways = [smollm2.encode(text) for text in ("Paris", "It is", "Well, the")]
    more = smollm2.encode(" And then")
    params = DecodeParams(max_new_tokens=6)
    group.sessions[0].rewind(0)
    group.sessions[0].append(prefix)
    for row in (1, 2):
        group.fork(0, row)
    for session, way in zip(group.sessions, ways, strict=False):
        session.append(way)
    first = said_together(group, dict.fromkeys(range(3), params))
    group.fork(2, 3)
    group.sessions[1].rewind(len(prefix) + 3)
    for session in group.sessions:
        session.append(more)
    second = said_together(group, dict.fromkeys((2, 0, 1), params))
    third = said_together(group, {3: params})
    for row, way in enumerate(ways):
        # Token by token as well: a prompt is rounded differently from what was generated.
        session = smollm2.open(CONTEXT_LEN)
        session.append(prefix)
        session.append(way)
        assert [event.token_id for event in session.decode(params)] == first[row]
        if row == 1:
            session.rewind(len(prefix) + 3)
        session.append(more)
        assert [event.token_id for event in session.decode(params)] == second[row]
        session.close()
    assert third[3] == second[2]


def test_logits_of_rows_are_those_of_a_lone_session(
    smollm2: GenaiEngine, group: SessionGroup
) -> None:
    prompt = smollm2.encode(CHAT.format(QUESTIONS[2]))
    row = group.sessions[1]
    session = smollm2.open(CONTEXT_LEN)
    row.rewind(0)
    for one in (row, session):
        one.append(prompt)
    difference = np.abs(row.next_logits() - session.next_logits())  # type: ignore[attr-defined]
    assert difference.max() <= 1e-4
    session.close()


def test_likelihoods_are_those_of_the_logits(smollm2: GenaiEngine) -> None:
    session = smollm2.open(CONTEXT_LEN)
    session.append(smollm2.encode(CHAT.format(QUESTIONS[0])))
    logits = session.next_logits().astype(np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum())
    params = DecodeParams(max_new_tokens=2, temperature=2.0, seed=3, logprobs=True)
    event, _ = session.decode(params)
    assert event.logprob == pytest.approx(log_probabilities[event.token_id], abs=1e-4)
    session.close()


# Where rows cannot run together


def shown_as(package: Path, folder: Path, change: Mapping[str, object]) -> Path:
    """The same package with another configuration."""
    folder.mkdir()
    for file in package.iterdir():
        if file.suffix == ".data":
            (folder / file.name).hardlink_to(file)
        elif file.is_file():
            shutil.copy(file, folder)
    path = folder / "genai_config.json"
    config = json.loads(path.read_text())
    config["search"].update(change)
    path.write_text(json.dumps(config))
    return folder


def test_a_package_that_does_not_extend_its_cache_in_place_takes_turns(
    smollm2: GenaiEngine, smollm2_package: Path, tmp_path: Path
) -> None:
    folder = shown_as(smollm2_package, tmp_path / "package", {"past_present_share_buffer": False})
    engine = GenaiEngine(folder)
    group = engine.open_group(2, CONTEXT_LEN)
    assert not group.is_batched
    prompts = [engine.encode(CHAT.format(question)) for question in QUESTIONS[:2]]
    for session, prompt in zip(group.sessions, prompts, strict=True):
        session.append(prompt)
    params = DecodeParams(max_new_tokens=4)
    said = said_together(group, {0: params, 1: params})
    assert [said[0], said[1]] == [said_alone(smollm2, prompt, params) for prompt in prompts]
    group.close()
    engine.close()


def test_a_graph_that_mixes_up_rows_is_not_used(
    smollm2: GenaiEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = smollm2._load_batch_graph(0)
    assert graph is not None
    assert graph.fits()
    run = OrtGraph.run

    def ignoring_the_mask(
        self: OrtGraph, pool: CachePool, first: int, token_ids: np.ndarray, lengths: list[int]
    ) -> np.ndarray:
        return run(self, pool, first, token_ids, [max(lengths)] * len(lengths))

    monkeypatch.setattr(OrtGraph, "run", ignoring_the_mask)
    assert not graph.fits()


def test_memory_is_checked_before_the_weights_are_loaded_again(
    smollm2: GenaiEngine, smollm2_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = GenaiEngine(smollm2_package)
    little = psutil.virtual_memory()._replace(available=100_000_000)
    with monkeypatch.context() as patched:
        patched.setattr(psutil, "virtual_memory", lambda: little)
        with pytest.raises(ResourceError, match="second time"):
            engine.open_group(2, 64)
        with pytest.raises(ResourceError, match="8 rows"):
            engine.open_group(8, 2048)
    group = engine.open_group(2, 64)
    group.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.open_group(2, 64)


# The vote


def test_samples_of_the_real_model_share_runs_and_count_every_token(
    smollm2: GenaiEngine,
) -> None:
    runtime = Runtime(smollm2, [Calculator()], Budget(max_turns=2, grounding=True))
    vote = Vote(runtime, k=3)
    vote.warm_up()
    rows = runtime.rows("vote", [f"agent {number}" for number in (1, 2, 3)])
    assert rows.group.is_batched
    task = TaskRun(120)
    outcome = vote.run("How much is 23 times 47?", task)
    assert outcome.completed
    trace = task.recorder.trace()
    leaves = [span for span in trace if span.kind is not SpanKind.ORCHESTRATE]
    for before, after in itertools.pairwise(sorted(leaves, key=lambda span: span.t0_ns)):
        assert before.t1_ns <= after.t0_ns
    first, *forks = [span for span in trace if span.kind is SpanKind.PREFILL][:3]
    assert 0 < first.tokens_in - first.tokens_cached < 60  # the prefix was there
    assert all(span.tokens_cached == span.tokens_in == first.tokens_in for span in forks)
    decodes = [span for span in trace if span.kind is SpanKind.DECODE]
    assert {span.agent for span in decodes} == {"vote"}
    assert all(len(span.token_t_ns) == span.tokens_out for span in decodes)
    runtime.close()
