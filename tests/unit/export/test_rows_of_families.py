"""Rows run together compute what a lone session computes, for every family that is exported."""

from __future__ import annotations

from pathlib import Path

import pytest
from lora_files import ATTENTION, random_factors, write_peft
from tiny_checkpoints import ALL_CHECKPOINTS, relative_error

from edgeagent.engine.genai import GenaiEngine
from edgeagent.engine.protocol import DecodeParams
from edgeagent.engine.row_group import RowGroup
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


def test_rows_with_an_adapter_take_turns(tmp_path: Path) -> None:
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
    said = []
    for name in (None, "a"):
        group = engine.open_group(2, len(checkpoint.tokens), name)
        assert group.is_batched is (name is None)
        session = engine.open(len(checkpoint.tokens), name)
        for one in (session, *group.sessions):
            one.append(checkpoint.tokens[:_LONG])
        params = DecodeParams(max_new_tokens=4)
        alone = [event.token_id for event in session.decode(params)]
        for row in (0, 1):
            together = [e.token_id for at, e in group.decode({row: params}) if e and at == row]
            assert together == alone
        said.append(alone)
        session.close()
        group.close()
    assert said[0] != said[1]
    engine.close()
