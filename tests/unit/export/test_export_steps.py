"""What surrounds an export: hashes of the source, the prediction, and progress."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
from gguf import GGMLQuantizationType as Kind
from tiny_checkpoints import FAMILY_CHECKPOINTS
from tiny_models import TinyModel, write_tiny

from edgeagent.errors import ResourceError, SourceError
from edgeagent.export.hashing import combined, hashed
from edgeagent.export.model import open_model
from edgeagent.export.native import export_checkpoint
from edgeagent.export.pack.policy import POLICIES
from edgeagent.export.preflight import Prediction, package_bytes, predict, require_resources
from edgeagent.export.progress import Steps
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings, PolicyName

_FACTS = ModelFacts(model_id="tiny")
_MIB = 1 << 20
_SMALL_FILES = 24 * _MIB


# Hashes


def test_one_file_has_its_own_hash(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights" * 400_000)  # more than one chunk
    with hashed([path]) as promise:
        pass
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert promise.result() == {path: expected}
    assert combined(promise.result()) == expected


def test_several_files_have_the_hash_of_the_list_that_sha256sum_prints(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("b.safetensors", "a.safetensors")]
    for path in paths:
        path.write_bytes(path.name.encode())
    with hashed(paths) as promise:
        pass
    # sha256sum *.safetensors | sha256sum
    lines = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(paths)
    )
    assert combined(promise.result()) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_file_that_disappears_is_a_clear_error(tmp_path: Path) -> None:
    with hashed([tmp_path / "gone"]) as promise:
        pass
    with pytest.raises(SourceError, match=r"gone cannot be read: No such file"):
        promise.result()


def test_hashing_stops_when_the_export_does(tmp_path: Path) -> None:
    paths = [tmp_path / f"{at}.gguf" for at in range(8)]
    for path in paths:
        with path.open("wb") as file:  # sparse: 8 GB would take many seconds
            file.truncate(1 << 30)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), hashed(paths):
        raise KeyboardInterrupt
    assert time.monotonic() - began < 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hash")]


# The prediction


@pytest.mark.parametrize("policy", ["exact", "int8", "mixed", "float"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_predicted_size_is_that_of_the_package(
    policy: PolicyName, tied: bool, tmp_path: Path
) -> None:
    model = TinyModel(
        vocab=4096, hidden=512, intermediate=1024, kind=Kind.Q8_0, tied=tied, context_len=4096
    )
    source = write_tiny(tmp_path / "tiny.gguf", model)
    settings = ExportSettings(policy=policy, verify="none")
    with open_model(source, None) as opened:
        recipe = POLICIES[policy].recipes[-1]
        predicted = package_bytes(opened, recipe) - _SMALL_FILES
    manifest = export_checkpoint(source, tmp_path / "package", facts=_FACTS, settings=settings)
    assert predicted == pytest.approx(manifest.files["model.onnx.data"], rel=0.05)
    assert manifest.package_bytes <= predicted + _SMALL_FILES
    assert manifest.predicted is not None
    assert manifest.predicted.package_bytes == predicted + _SMALL_FILES


def test_what_is_verified_needs_more(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", TinyModel())
    recipe = POLICIES["exact"].recipes[0]
    with open_model(source, None) as model:
        none, load, full = (
            predict(model, recipe, ExportSettings(verify=verify), 1000)
            for verify in ("none", "load", "full")
        )
    assert none.package_bytes == load.package_bytes == full.package_bytes
    assert none.memory_bytes < load.memory_bytes <= full.memory_bytes
    assert 0 < none.time_s < load.time_s
    assert full.time_s < 60


def _machine(monkeypatch: pytest.MonkeyPatch, *, disk: int, memory: int) -> None:
    usage = namedtuple("usage", "total used free")
    available = namedtuple("memory", "available")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, disk))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: available(memory))


def test_refusals_state_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need = Prediction(package_bytes=3000 * _MIB, memory_bytes=1500 * _MIB, time_s=1.0)
    out = tmp_path / "a" / "b" / "package"
    _machine(monkeypatch, disk=2999 * _MIB, memory=1 << 40)
    with pytest.raises(ResourceError) as caught:
        require_resources(need, out, ExportSettings())
    assert f"needs 3,000 MiB of disk and {tmp_path} has 2,999 MiB free" in str(caught.value)
    _machine(monkeypatch, disk=3000 * _MIB, memory=1499 * _MIB)
    with pytest.raises(ResourceError) as caught:
        require_resources(need, out, ExportSettings())
    assert "needs 1,500 MiB of memory and 1,499 MiB are available" in str(caught.value)
    assert "--verify none" in str(caught.value)
    with pytest.raises(ResourceError, match="close other programs"):
        require_resources(need, out, ExportSettings(verify="none"))
    _machine(monkeypatch, disk=3000 * _MIB, memory=1500 * _MIB)
    require_resources(need, out, ExportSettings())
    assert not (tmp_path / "a").exists()


# Progress


def test_steps_add_up_and_never_exceed_the_total() -> None:
    seen: list[tuple[str, int, int, str]] = []
    steps = Steps(lambda *report: seen.append(report), "weights", 10)
    steps.add(4, "a")
    steps.add(6)
    steps.add(1, "shared")
    assert seen == [("weights", 4, 10, "a"), ("weights", 10, 10, ""), ("weights", 10, 10, "shared")]


def test_every_stage_of_an_export_in_order(tmp_path: Path) -> None:
    folder = FAMILY_CHECKPOINTS["phi3"].write_folder(tmp_path / "model", shards=2)
    seen: list[tuple[str, int, int, str]] = []
    export_checkpoint(
        folder,
        tmp_path / "package",
        facts=_FACTS,
        settings=ExportSettings(
            policy="mixed", calibrate=True, verify_tokens=64, accept_low_fidelity=True
        ),
        on_progress=lambda *report: seen.append(report),
    )
    stages = list(dict.fromkeys(report[0] for report in seen))
    assert stages == ["predicted", "calibrate", "weights", "load", "verify", "hash"]
    assert "MB of disk" in seen[0][3]
    assert "MB of memory" in seen[0][3]
    for stage in stages[1:]:
        reports = [report for report in seen if report[0] == stage]
        assert [report[1] for report in reports] == sorted(report[1] for report in reports)
        assert reports[-1][1] == reports[-1][2] > 0
        assert len({report[2] for report in reports}) == 1
    with open_model(folder, None) as model:
        # Fused tensors are reported once for each of their parts.
        assert {report[3] for report in seen if report[0] == "weights"} == set(
            model.checkpoint.tensors
        )
        total = sum(tensor.nbytes for tensor in model.checkpoint.tensors.values())
    assert next(report[2] for report in seen if report[0] == "weights") == total


def test_a_policy_climbs_until_the_gate_is_passed(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", TinyModel(kind=Kind.Q8_0))
    rejected: list[str] = []
    manifest = export_checkpoint(
        source,
        tmp_path / "package",
        facts=_FACTS,
        settings=ExportSettings(policy="auto", accuracy_level=1, verify_tokens=160),
        on_progress=lambda stage, done, total, detail: (
            rejected.append(detail) if stage == "rejected" else None
        ),
    )
    names = [recipe.name for recipe in POLICIES["auto"].recipes]
    assert manifest.gate is not None
    assert manifest.gate.passed
    tried = [detail.partition(": ")[0] for detail in rejected]
    assert tried == names[: len(tried)]
    assert manifest.recipe["precision"] == names[len(tried)]
    assert all("<" in detail or ">" in detail or "more than" in detail for detail in rejected)
    assert rejected
