"""The Python API on real weights."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeagent
from edgeagent.errors import ConfigError
from edgeagent.record.outcome import StepKind


def test_an_assistant_streams_answers_and_shows_steps(smollm2_package: Path) -> None:
    pieces: list[str] = []
    with edgeagent.load(str(smollm2_package)) as assistant:
        assert assistant.engine_info.ep == "cpu"
        assert assistant.manifest.model_id == "smollm2-135m-instruct"
        steps: list[StepKind] = []
        outcome = assistant.ask(
            "What is 46 * 83?",
            on_answer=pieces.append,
            on_step=lambda step: steps.append(step.kind),
        )
        assert "3818" in outcome.answer
        assert "".join(pieces).strip() == outcome.answer
        assert StepKind.CALL in steps
        assert assistant.last_trace[0].parent_id is None
        assert "Paris" in assistant.ask("What is the capital of France?", "base").answer
        with pytest.raises(ConfigError, match="swarm"):
            assistant.ask("Hello", "swarm")


def test_documents_are_searched(smollm2_package: Path, short_suite: Path) -> None:
    documents = short_suite / "documents"
    with edgeagent.load(str(smollm2_package), documents=documents) as assistant:
        outcome = assistant.ask("Who is the keeper of the Ormsby windmill?")
    assert "Fardel" in outcome.answer
    assert [step.tool for step in outcome.steps if step.kind is StepKind.CALL] == ["search"]


def test_what_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-model"):
        edgeagent.load("no-such-model")
    with pytest.raises(ConfigError, match="manifest"):
        edgeagent.load(str(tmp_path))
