"""The device's limits and what a model needs of them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeagent.config.device import Compute, DeviceProfile
from edgeagent.config.devices import DeviceMatch, load_device
from edgeagent.config.package import Package
from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.meter.tree import SystemTree
from edgeagent.profiling.bench import memory_bandwidth
from edgeagent.profiling.bench.caches import last_level_cache_bytes
from edgeagent.profiling.bench.integer_rate import KERNELS, ROWS, measure_integer_rate
from edgeagent.profiling.bench.memory_bandwidth import (
    BLOCKS,
    REDUCTIONS,
    buffer_bytes,
    measure_bandwidth,
)
from edgeagent.profiling.bench.own_memory import OwnMemory, storage_read_bytes
from edgeagent.profiling.bench.sizes import model_sizes, step_weight_bytes
from edgeagent.profiling.bench.spec_sheet import spec_sheet
from edgeagent.record.manifest import TensorGroup

MIB = 1 << 20
GIB = 1 << 30

# Memory


@pytest.mark.parametrize(
    ("cache", "available", "expected"),
    [
        pytest.param(2 * MIB, 8 * GIB, 128 * MIB, id="small cache"),
        pytest.param(96 * MIB, 8 * GIB, 384 * MIB, id="four times a large cache"),
        pytest.param(None, 8 * GIB, 256 * MIB, id="unknown cache"),
        pytest.param(32 * MIB, 400 * MIB, 100 * MIB, id="a quarter of what is free"),
        pytest.param(64 * MIB, 400 * MIB, None, id="too little for the cache"),
        pytest.param(None, 100 * MIB, None, id="too little for an unknown cache"),
    ],
)
def test_buffers_exceed_the_caches(cache: int | None, available: int, expected: int | None) -> None:
    assert buffer_bytes(cache, available) == expected


def test_every_thread_reads_its_own_memory_in_every_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes: Counter[tuple[int, int]] = Counter()
    lock = threading.Lock()

    def reduce(buffer: np.ndarray) -> None:
        assert buffer.nbytes == MIB
        assert buffer.min() > 0, "every page was written"
        with lock:
            passes[threading.get_ident(), buffer.ctypes.data] += 1

    monkeypatch.setattr(memory_bandwidth, "REDUCTIONS", {"read:count": reduce})
    monkeypatch.setattr(memory_bandwidth, "BLOCK_NS", 200_000)
    before = threading.active_count()
    readings = list(measure_bandwidth(3, 3 * MIB, ("read:count",), round_=2))
    assert threading.active_count() == before
    assert len(passes) == 3, "as many threads as arrays"
    (each,) = set(passes.values())
    assert sum(reading.amount for reading in readings) == (each - 2) * 3 * MIB
    assert len(readings) == BLOCKS
    assert {(reading.round, reading.threads) for reading in readings} == {(2, 3)}


def test_reductions_read_all_of_the_memory() -> None:
    """A change of any one word changes what each of them returns."""
    words = np.arange(1, 2**12 + 1, dtype=np.float64)
    for name, reduction in REDUCTIONS.items():
        before = reduction(words)
        for index in (0, 1000, len(words) - 1):
            changed = words.copy()
            changed[index] = 1e300
            assert reduction(changed) != before, name


def test_bandwidth_of_this_machine_is_plausible() -> None:
    """More than an interpreted loop could read, and less than any processor does."""
    readings = list(measure_bandwidth(1, 64 * MIB, ("read:sum_f64",)))
    rates = [reading.rate for reading in readings]
    assert 1e8 < min(rates) <= max(rates) < 2e12
    for reading in readings:
        assert reading.amount % (64 * MIB) == 0


def test_caches_are_counted_once(tmp_path: Path) -> None:
    """Synthetic: two clusters of two cores with a last-level cache each, as sysfs writes them."""
    for core in range(4):
        cluster = "0-1" if core < 2 else "2-3"
        for index, (level, size, shared) in enumerate(
            [(1, "32K", str(core)), (2, "512K", str(core)), (3, "4096K", cluster)]
        ):
            folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/cache/index{index}"
            folder.mkdir(parents=True)
            for name, text in (("level", level), ("size", size), ("shared_cpu_list", shared)):
                (folder / name).write_text(f"{text}\n", encoding="ascii")
    tree = SystemTree(tmp_path)
    assert last_level_cache_bytes(tree) == 8 * MIB
    for path in tmp_path.glob("sys/devices/system/cpu/cpu*/cache/index2/size"):
        path.write_text("none\n", encoding="ascii")
    assert last_level_cache_bytes(tree) == 4 * 512 << 10
    assert last_level_cache_bytes(SystemTree(tmp_path / "elsewhere")) is None


def test_what_a_process_reads_of_itself(tmp_path: Path) -> None:
    """Synthetic: `/proc` of a process on Linux, and a root without it."""
    proc = tmp_path / "proc" / "self"
    proc.mkdir(parents=True)
    io = "rchar: 99\nread_bytes: 4096\nwrite_bytes: 7\n"
    (proc / "io").write_text(io, encoding="ascii")
    tree = SystemTree(tmp_path)
    assert storage_read_bytes(tree) == 4096
    assert storage_read_bytes(SystemTree(tmp_path / "elsewhere")) is None
    status = tmp_path / "proc" / "77"
    status.mkdir()
    (status / "status").write_text("VmHWM:\t 30 kB\nVmRSS:\t 20 kB\nRssAnon:\t 12 kB\n", "ascii")
    memory = OwnMemory(77, tree)
    assert memory.start_phase() == 20 << 10
    reading = memory.end_phase()
    assert (reading.rss_peak_bytes, reading.anon_bytes) == (30 << 10, 12 << 10)
    assert reading.file_bytes is None
    assert not reading.peak_is_of_phase, "there was nothing to reset it with"
    (proc / "clear_refs").touch()
    memory.start_phase()
    assert (proc / "clear_refs").read_text(encoding="ascii") == "5"
    assert memory.end_phase().peak_is_of_phase


# Integers


@pytest.mark.parametrize("name", ["matmul:u8s8", "matmul:nbits4"])
def test_rates_of_products_are_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeagent.profiling.bench.integer_rate.BLOCK_NS", 1)
    readings = list(measure_integer_rate(1, (name,), round_=4))
    assert [reading.kernel for reading in readings] == [name] * 5
    assert {reading.amount for reading in readings} == {2 * ROWS * 2048 * 2048}
    assert all(1e8 < reading.rate < 1e16 for reading in readings)
    assert name in KERNELS


# What the maker states


def profile(**compute: Any) -> DeviceMatch:
    stated = {"processor": "cpu", "precision": "int8", "sparsity": "dense", "value": 4e11}
    board = load_device("raspberry-pi-5")
    fields = {"compute": (Compute(source="A data sheet.", **(stated | compute)),)}
    return DeviceMatch(DeviceProfile.model_validate(dict(board) | fields))


def test_limits_on_paper_are_of_the_processor_that_runs() -> None:
    found = spec_sheet("cpu", profile())
    assert found is not None
    assert found.int8_ops_per_s == 4e11
    assert (
        found.bandwidth_bytes_per_s
        == load_device("raspberry-pi-5").memory.bandwidth_bytes_per_s.value
    )  # type: ignore[union-attr]
    others: list[tuple[str, dict[str, str]]] = [
        ("cpu", {"processor": "gpu"}),
        ("cpu", {"sparsity": "sparse"}),
        ("cpu", {"precision": "fp16"}),
        ("cpu", {"power_mode": "MAXN"}),
        ("qnn", {}),
    ]
    for ep, compute in others:
        other = spec_sheet(ep, profile(**compute))
        assert other is not None
        assert other.int8_ops_per_s is None, (ep, compute)
    maxn = spec_sheet("cpu", profile(power_mode="MAXN"), power_mode="MAXN")
    assert maxn is not None
    assert maxn.int8_ops_per_s == 4e11


def test_a_device_about_which_nothing_is_stated() -> None:
    assert spec_sheet("cpu", DeviceMatch(load_device("generic-x86-64"))) is None


# Sizes


def group(name: str, size: int, tensors: int = 1) -> TensorGroup:
    return TensorGroup(
        group=name, source_types={}, stored_as="int8", tensors=tensors, size_bytes=size, exact=True
    )


def with_groups(package: Package, *groups: TensorGroup, **changes: Any) -> Package:
    manifest = package.manifest.model_copy(update={"tensor_groups": groups} | changes)
    return Package(package.folder, manifest, package.sha256)


def test_a_step_reads_one_row_of_a_separate_embedding(package: Package) -> None:
    blocks = (group("attention", 100), group("mlp", 300), group("norm", 8))
    tied = with_groups(package, group("embedding", 1000), *blocks, group("head", 0, tensors=0))
    assert step_weight_bytes(tied.manifest, vocab=10) == 1408
    apart = with_groups(package, group("embedding", 1000), *blocks, group("head", 700))
    assert step_weight_bytes(apart.manifest, vocab=10) == 408 + 700 + 100
    no_head_named = with_groups(package, group("embedding", 1000), *blocks)
    assert step_weight_bytes(no_head_named.manifest, vocab=10) == 1408


def test_sizes_come_from_the_package(package: Package) -> None:
    package.folder.mkdir()
    decoder = {
        "head_size": 64, "hidden_size": 576, "num_attention_heads": 9, "num_hidden_layers": 30,
        "num_key_value_heads": 3,
    }  # fmt: skip
    config = {"model": {"vocab_size": 50, "decoder": decoder, "type": "llama"}, "search": {}}
    path = package.folder / "genai_config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    last = {"logits": "last position; all positions in all_positions.onnx"}
    tied = with_groups(package, group("embedding", 40), group("head", 0, tensors=0), recipe=last)
    sizes = model_sizes(tied, EngineConfig())
    assert sizes is not None
    assert (sizes.layers, sizes.hidden, sizes.heads, sizes.head_dim, sizes.vocab) == (
        *(30, 576, 9, 64),
        50,
    )
    assert (sizes.tied, sizes.head_rows, sizes.step_weight_bytes) == (True, "last", 40)
    speculating = model_sizes(tied, EngineConfig(speculation=NGramSpeculation()))
    assert speculating is not None
    assert speculating.head_rows == "all"
    apart = with_groups(package, group("embedding", 50), group("head", 9))
    other = model_sizes(apart, EngineConfig())
    assert other is not None
    assert (other.tied, other.head_rows, other.step_weight_bytes) == (False, "all", 10)
    path.write_text(json.dumps({"model": {"vocab_size": 50}}), encoding="utf-8")
    assert model_sizes(tied, EngineConfig()) is None
