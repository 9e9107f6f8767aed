"""The default model, exported from its real weights: fidelity, size, time, memory, generation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeagent.record.manifest import MANIFEST_NAME, Manifest

_MIB = 1 << 20
_SCRIPT = """
import json, sys, time
from pathlib import Path
import psutil
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts

start = time.perf_counter()
export_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), facts=ModelFacts(model_id="smollm2"))
status = Path("/proc/self/status")
if status.is_file():
    # Not ru_maxrss: before exec a child is its parent, and that size stays in the figure.
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    peak = int(fields["VmHWM"].split()[0]) * 1024
elif sys.platform == "win32":
    peak = psutil.Process().memory_info().peak_wset
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": time.perf_counter() - start, "peak_bytes": peak}))
"""


@pytest.fixture(scope="module")
def exported(
    smollm2_gguf: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Manifest, dict[str, float]]:
    """The package, its manifest, and what the export took in a process of its own."""
    package = tmp_path_factory.mktemp("smollm2") / "package"
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(smollm2_gguf), str(package)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    manifest = Manifest.model_validate_json((package / MANIFEST_NAME).read_bytes())
    return package, manifest, json.loads(done.stdout.splitlines()[-1])


def test_fidelity(exported: tuple[Path, Manifest, dict[str, float]]) -> None:
    fidelity = exported[1].fidelity
    assert fidelity is not None
    assert fidelity.tokens >= 1000
    assert fidelity.top1_agreement >= 0.955
    assert fidelity.kl_mean <= 0.01
    assert abs(fidelity.perplexity_change) <= 0.01
    assert fidelity.tool_calls >= 20
    assert fidelity.tool_call_agreement is not None
    assert fidelity.tool_call_agreement >= 0.95
    gate = exported[1].gate
    assert gate is not None
    assert gate.passed
    assert not gate.forced
    assert fidelity.perplexity_source < 30  # a reference that is wrong itself would be far above


def test_every_weight_is_imported_exactly(
    exported: tuple[Path, Manifest, dict[str, float]],
) -> None:
    groups = {group.group: group for group in exported[1].tensor_groups}
    assert all(group.exact for group in groups.values())
    assert groups["mlp"].stored_as == "int4 block 32 + correction"
    assert groups["mlp"].source_types == {"Q4_1": 90}
    assert groups["embedding"].stored_as == "int8 block 32"
    assert groups["head"].size_bytes == 0


def test_size_and_files(exported: tuple[Path, Manifest, dict[str, float]]) -> None:
    package, manifest, _ = exported
    assert manifest.package_bytes <= 125_000_000
    assert {path.name for path in package.iterdir()} == {*manifest.files, MANIFEST_NAME}
    assert list(package.parent.iterdir()) == [package]
    assert manifest.parameters == 134_515_008
    assert manifest.context_len == 8192


def test_the_prediction_bounds_what_the_export_took(
    exported: tuple[Path, Manifest, dict[str, float]],
) -> None:
    _, manifest, took = exported
    assert manifest.predicted is not None
    assert manifest.package_bytes <= manifest.predicted.package_bytes
    assert manifest.predicted.package_bytes <= 1.3 * manifest.package_bytes
    assert took["peak_bytes"] <= manifest.predicted.rss_peak_bytes


def test_memory_of_the_export(exported: tuple[Path, Manifest, dict[str, float]]) -> None:
    # Time is not asserted: it depends on what else the machine does. README states it.
    assert exported[2]["peak_bytes"] <= 700 * _MIB


def test_the_package_answers(exported: tuple[Path, Manifest, dict[str, float]]) -> None:
    import onnxruntime_genai as og

    model = og.Model(str(exported[0]))
    tokenizer = og.Tokenizer(model)
    prompt = tokenizer.encode(
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=len(prompt) + 24)
    generator = og.Generator(model, params)
    generator.append_tokens(prompt)
    while not generator.is_done():
        generator.generate_next_token()
    assert "Paris" in tokenizer.decode(generator.get_sequence(0)[len(prompt) :])
