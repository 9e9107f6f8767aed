"""Rows run together compute what a lone session computes, for every family that is exported."""

from __future__ import annotations

from pathlib import Path

import pytest
from lora_files import ATTENTION, random_factors, write_peft
from tiny_checkpoints import ALL_CHECKPOINTS, relative_error

from edgeagent.engine.genai import GenaiEngine
from edgeagent.engine.row_group import RowGroup
from edgeagent.errors import EngineError
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings

_FACTS = ModelFacts(model_id="tiny")
_FLOAT32 = ExportSettings(policy="float", verify="load", accuracy_level=1)
_TOLERANCE = 1e-4
_SHORT, _LONG, _NEW = 6, 27, 5
"""Both rows grow beyond the windows of 8 tokens that some of the families have."""


@pytest.mark.parametrize("name", sorted(ALL_CHECKPOINTS))
def test_rows_compute_together_what_each_computes_alone(name: str, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    export_checkpoint(
        checkpoint.write_folder(tmp_path / "model"),
        tmp_path / "package",
        facts=_FACTS,
        settings=_FLOAT32,
    )
    engine = GenaiEngine(tmp_path / "package")
    context_len = min(len(checkpoint.tokens), engine.info.context_len)
    group = engine.open_group(3, context_len)
    assert isinstance(group, RowGroup)
    rows = [group.sessions[0], group.sessions[2]]
    prompts = [checkpoint.tokens[:_SHORT], checkpoint.tokens[:_LONG]]
    alone = [engine.open(context_len) for _ in rows]
    for row, session, prompt in zip(rows, alone, prompts, strict=True):
        row.append(prompt)
        session.append(prompt)
    for step in range(_NEW):
        for row, session, prompt in zip(rows, alone, prompts, strict=True):
            token = checkpoint.tokens[len(prompt) + step]
            row.accept(token)
            session.append([token])
        group._step(rows)
        for row, session in zip(rows, alone, strict=True):
            assert row.logits is not None
            assert relative_error(row.logits, session.next_logits()) < _TOLERANCE
    for session in alone:
        session.close()
    group.close()
    engine.close()


@pytest.mark.parametrize("name", ["llama3", "gemma3"])
def test_rows_with_an_adapter_compute_what_a_session_with_it_computes(
    name: str, tmp_path: Path
) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    factors = random_factors(checkpoint, ATTENTION, rank=4, seed=1)
    adapter = write_peft(tmp_path / "lora", factors, alpha=6)
    export_checkpoint(
        checkpoint.write_folder(tmp_path / "model"),
        tmp_path / "package",
        facts=_FACTS,
        settings=_FLOAT32,
        adapters={"a": adapter},
    )
    engine = GenaiEngine(tmp_path / "package")
    logits = []
    # Groups with and without it share the graph.
    groups = {one: engine.open_group(2, len(checkpoint.tokens), one) for one in ("a", None)}
    for one, group in groups.items():
        assert isinstance(group, RowGroup)
        session = engine.open(len(checkpoint.tokens), one)
        for each in (session, *group.sessions):
            each.append(checkpoint.tokens[:_LONG])
        group.sessions[1].rewind(_SHORT)
        for row in group.sessions:
            row.accept(7)
        session.append([7])
        group._step(group.sessions)
        row, other = group.sessions
        assert row.logits is not None
        assert relative_error(row.logits, session.next_logits()) < _TOLERANCE
        session.rewind(_SHORT)
        session.append([7])
        assert relative_error(other.logits, session.next_logits()) < _TOLERANCE
        logits.append(row.logits)
        session.close()
    assert relative_error(logits[0], logits[1]) > 50 * _TOLERANCE
    for group in groups.values():
        group.close()
    engine.close()


def test_a_damaged_adapter_is_an_error_that_names_its_file(tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS["llama3"]
    factors = random_factors(checkpoint, ATTENTION, rank=4, seed=1)
    adapter = write_peft(tmp_path / "lora", factors, alpha=6)
    export_checkpoint(
        checkpoint.write_folder(tmp_path / "model"),
        tmp_path / "package",
        facts=_FACTS,
        settings=_FLOAT32,
        adapters={"a": adapter},
    )
    engine = GenaiEngine(tmp_path / "package")
    (file,) = (tmp_path / "package").glob("**/*.onnx_adapter")
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(EngineError, match=file.name):
        engine.open_group(2, 16, "a")
    engine.close()
