from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import measure_fusions
import numpy as np
import numpy.typing as npt
import pytest
from decoder_variants import VARIANTS
from gguf import GGMLQuantizationType
from profile_operators import ProfileError, SharedCache, read_decoder
from tiny_models import TinyModel, write_tiny

from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings

PROMPT_LEN = 12


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("variants")
    # An embedding with corrections is looked up in other ways, which no variant changes.
    model = TinyModel(kinds={"token_embd": GGMLQuantizationType.Q8_0})
    source = write_tiny(folder / "tiny.gguf", model)
    # Level 1 computes with float32 activations: nothing but the order of sums differs.
    settings = ExportSettings(verify="none", accuracy_level=1)
    out = folder / "package"
    export_checkpoint(source, out, facts=ModelFacts(model_id="tiny"), settings=settings)
    return out


def last_logits(package: Path, graph: bytes) -> npt.NDArray[np.float32]:
    """Logits after a prefill and one more token."""
    _, decoder = read_decoder(package)
    session = measure_fusions.open_graph(package, graph, threads=1)
    cache = SharedCache(session, decoder, max_len=PROMPT_LEN + 1)
    cache.run(first=0, count=PROMPT_LEN)
    cache.run(first=PROMPT_LEN, count=1)
    logits: npt.NDArray[np.float32] = cache.logits()[0, -1]
    return logits


def test_every_variant_computes_what_is_shipped(package: Path) -> None:
    filename, _ = read_decoder(package)
    shipped = (package / filename).read_bytes()
    expected = last_logits(package, shipped)
    assert np.ptp(expected) > 0.1
    found = dict(measure_fusions.variants(package, filename))
    del found[measure_fusions.CONTROL]
    assert set(found) == {*VARIANTS, measure_fusions.ALL_POSITIONS}
    for name, graph in found.items():
        assert graph is not None, name
        changed = graph.SerializeToString()
        assert changed != shipped, name
        np.testing.assert_allclose(
            last_logits(package, changed), expected, rtol=1e-3, atol=1e-3, err_msg=name
        )


def test_ratios_are_paired() -> None:
    found = measure_fusions.ratios([1.0, 2.0, 4.0], [1.5, 2.0, 8.0])
    assert (found["ratio"], found["ratio_p25"], found["ratio_p75"]) == (1.5, 1.25, 1.75)
    assert found["ratio_of_minima"] == 1.5


@pytest.mark.parametrize("processor_time", [False, True])
def test_a_table_of_real_measurements(package: Path, processor_time: bool) -> None:
    options = argparse.Namespace(
        prompt_tokens=PROMPT_LEN,
        context=8,
        steps=2,
        rounds=2,
        threads=1,
        only=None,
        processor_time=processor_time,
    )
    record: Mapping[str, Any] = {"packages": [measure_fusions.measure(package, options)]}
    lines = measure_fusions.render(record).splitlines()
    assert lines[0] == "| variant | package, prefill | package, decode |"
    assert len(lines) == 2 + len(VARIANTS) + 2
    assert all(line.count(" to ") == 2 for line in lines[2:])


def test_a_folder_without_a_package(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="is not a package"):
        measure_fusions.measure(tmp_path, argparse.Namespace())
