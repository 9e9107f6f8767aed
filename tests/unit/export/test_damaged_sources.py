"""Damaged sources end in one clear sentence: no crash, no hang, no gigabytes, no leftovers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType as Kind
from tiny_checkpoints import FAMILY_CHECKPOINTS
from tiny_models import TinyModel, write_tiny

_SEED = 20261122
_CASE_SECONDS = 20  # they take 0.2 at most; a shared machine may be slow
_HERE = Path(__file__).parent
_ALLOWED = {
    "refused": {"refused"},
    "unchanged": {"refused", "unchanged"},
    "valid": {"refused", "unchanged", "valid"},
}


def _ends(folder: Path) -> list[dict[str, Any]]:
    """Run the worker on the sound sources in a folder; a crash or a hang names its case."""
    search = [str(_HERE), str(_HERE.parents[2])]
    try:
        process = subprocess.run(
            [sys.executable, str(_HERE / "damage_worker.py"), str(folder), str(_SEED)],
            capture_output=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(search)},
            timeout=200,
            check=False,
        )
        output, end = process.stdout, f"exit code {process.returncode}: {process.stderr.decode()}"
    except subprocess.TimeoutExpired as error:
        output, end = error.stdout or b"", "no answer in time"
    lines = [json.loads(line) for line in output.decode().splitlines()]
    assert lines, end
    assert "end" in lines[-1], f"{lines[-1]['started']}: {end}"
    assert end.startswith("exit code 0"), end
    return [line for line in lines if "end" in line]


def _check(ends: list[dict[str, Any]], at_least: int) -> None:
    wrong = [end for end in ends if end["end"] not in _ALLOWED[end["expectation"]]]
    assert not wrong
    refused = [end for end in ends if end["end"] == "refused"]
    assert len(refused) >= at_least
    for end in refused:
        message = end["message"]
        assert message.isprintable(), end
        assert message.endswith("."), end
        assert 20 < len(message) < 700, end
        assert end["leftovers"] == [], end
    slow = [end for end in ends if end["seconds"] > _CASE_SECONDS]
    assert not slow
    # The corpus is what it says only if its cases differ.
    assert max(Counter(end["name"] for end in ends).values()) == 1


@pytest.mark.parametrize(
    "model",
    [
        TinyModel(rope_factors=True),
        TinyModel(architecture="qwen2", kind=Kind.Q4_K, tied=False),
    ],
    ids=["llama Q4_1", "qwen2 Q4_K"],
)
def test_damaged_gguf_files(tmp_path: Path, model: TinyModel) -> None:
    write_tiny(tmp_path / "sound.gguf", model)
    _check(_ends(tmp_path), at_least=70)


def test_damaged_safetensors_folders(tmp_path: Path) -> None:
    FAMILY_CHECKPOINTS["llama3"].write_folder(tmp_path / "sound", dtype="bfloat16", shards=2)
    _check(_ends(tmp_path), at_least=70)
