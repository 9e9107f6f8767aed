"""The verification finds what it is there to find, and its parts do what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import FAMILY_CHECKPOINTS

from edgeagent.errors import DamagedFileError, UnsupportedError, VerificationError
from edgeagent.export.decoder.check import check_tensors
from edgeagent.export.genai_config import DATA_NAME
from edgeagent.export.graph.decoder import whole_decoder
from edgeagent.export.graph.external import ExternalData
from edgeagent.export.graph.stored import StoredDecoder
from edgeagent.export.graph.weights import WeightWriter
from edgeagent.export.model import SourceModel, open_model
from edgeagent.export.native import export_checkpoint
from edgeagent.export.pack.policy import EXACT, STRICT
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.export.verify.compare import Sample, SourceRun, compare, head_slices
from edgeagent.export.verify.gate import judge, require_passed
from edgeagent.export.verify.package import PackageDecoder
from edgeagent.export.verify.reference import ReferenceDecoder
from edgeagent.export.verify.runtime import RuntimeCheck, check_runtime
from edgeagent.export.verify.sample import cut, sample_section, sample_windows
from edgeagent.export.verify.statistics import LogitStatistics
from edgeagent.export.verify.tool_calls import Pick, ToolCalls, tool_calls
from edgeagent.record.manifest import Fidelity

_TOKENS = np.random.default_rng(3).integers(0, 256, (2, 48))
_CALLS = ToolCalls((_TOKENS[1],), tuple(Pick(0, at, (10, 20, 30)) for at in range(8, 40, 4)))
_SAMPLE = Sample((_TOKENS[0],), _CALLS)


@dataclass(frozen=True)
class _Package:
    """A package with everything that it is compared with."""

    folder: Path
    model: SourceModel
    stored: StoredDecoder

    def compare(self) -> Fidelity:
        run = SourceRun(ReferenceDecoder(self.model.checkpoint, self.model.spec), _SAMPLE)
        decoder = PackageDecoder(self.folder, self.model.spec, self.stored, 1)
        return compare(run, decoder, self.model.spec.vocab, runtime=check_runtime(self.folder))

    def poison(self) -> None:
        """Make every prediction a NaN."""
        region = self.stored.arrays["output_norm"].region
        with (self.folder / DATA_NAME).open("r+b") as file:
            file.seek(region.offset)
            file.write(np.full(region.shape, np.nan, dtype="<f4").tobytes())


@pytest.fixture
def package(tmp_path: Path) -> Iterator[_Package]:
    path = FAMILY_CHECKPOINTS["qwen2"].write_gguf(tmp_path / "model.gguf", kind="Q8_0")
    folder = tmp_path / "package"
    settings = ExportSettings(verify="none", accuracy_level=1)
    export_checkpoint(path, folder, facts=ModelFacts(model_id="tiny"), settings=settings)
    with open_model(path, None) as model, ExternalData(tmp_path / DATA_NAME) as data:
        # The same bytes at the same places as in the package.
        yield _Package(
            folder, model, WeightWriter(model.checkpoint, model.spec, EXACT, data).write()
        )


def test_a_sound_package_agrees_with_its_source(package: _Package) -> None:
    fidelity = package.compare()
    assert fidelity.tokens == 2 * 47
    assert fidelity.kl_mean < 1e-6
    assert fidelity.tool_calls == 8
    assert fidelity.tool_call_agreement == 1.0
    assert judge(fidelity, STRICT, forced=False).passed


@pytest.mark.parametrize("array", ["layers.1.mlp/down/scales", "head/scales", "output_norm"])
def test_weights_that_were_altered_are_found(package: _Package, array: str) -> None:
    region = package.stored.arrays[array].region
    with (package.folder / DATA_NAME).open("r+b") as file:
        file.seek(region.offset)
        values = np.frombuffer(file.read(region.nbytes), region.dtype).copy()
        values[: len(values) // 2] *= 1.5
        file.seek(region.offset)
        file.write(values.tobytes())
    fidelity = package.compare()
    assert fidelity.kl_mean > 0.01
    assert not judge(fidelity, STRICT, forced=False).passed


def test_a_graph_that_computes_something_else_than_its_parts_is_found(package: _Package) -> None:
    check = check_runtime(package.folder)
    wrong = RuntimeCheck(check.prompt, check.logits * np.float32(1.1), check.tokenizer_texts)
    run = SourceRun(ReferenceDecoder(package.model.checkpoint, package.model.spec), _SAMPLE)
    decoder = PackageDecoder(package.folder, package.model.spec, package.stored, 1)
    with pytest.raises(VerificationError, match="part by part"):
        compare(run, decoder, package.model.spec.vocab, runtime=wrong)


def test_the_parts_equal_the_whole(package: _Package) -> None:
    import onnxruntime

    spec, stored = package.model.spec, package.stored
    decoder = PackageDecoder(package.folder, spec, stored, 1)
    (hidden,) = decoder.hidden_states([_TOKENS[0]])
    slices = head_slices(spec.vocab, 100_000)
    assert len(slices) > 3
    assert [stop for _, stop in slices[:-1]] == [start for start, _ in slices[1:]]
    assert (slices[0][0], slices[-1][1]) == (0, spec.vocab)
    parts = np.concatenate([decoder.head(*each)(hidden) for each in slices], axis=1)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(package.folder)
    )
    graph = whole_decoder(spec, stored, 1, all_positions=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    empty = np.zeros((1, spec.kv_heads, 0, spec.head_dim), dtype=np.float32)
    inputs = {
        f"past_key_values.{layer}.{part}": empty
        for layer in range(len(spec.layers))
        for part in ("key", "value")
    }
    ones = np.ones((1, len(_TOKENS[0])), dtype=np.int64)
    (whole,) = session.run(
        ["logits"], {"input_ids": _TOKENS[0][None], "attention_mask": ones, **inputs}
    )
    np.testing.assert_allclose(parts, whole[0], rtol=0, atol=1e-4)


def test_a_package_that_does_not_load_is_refused(package: _Package) -> None:
    (package.folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(VerificationError, match="onnxruntime-genai cannot run the new package"):
        check_runtime(package.folder)


def test_a_tokenizer_that_splits_otherwise_is_refused(package: _Package) -> None:
    from tokenizers import Tokenizer

    path = package.folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:1]
    other = Tokenizer.from_str(json.dumps(tokenizer))
    with pytest.raises(VerificationError, match=r"tokenizer splits .* into .* where"):
        check_runtime(package.folder, other)


def test_logits_that_are_no_numbers_are_refused(package: _Package) -> None:
    package.poison()
    with pytest.raises(VerificationError, match="not finite"):
        check_runtime(package.folder)


def test_predictions_that_are_no_numbers_do_not_pass_the_gate(package: _Package) -> None:
    sound = check_runtime(package.folder)
    package.poison()
    run = SourceRun(ReferenceDecoder(package.model.checkpoint, package.model.spec), _SAMPLE)
    decoder = PackageDecoder(package.folder, package.model.spec, package.stored, 1)
    with (
        np.errstate(all="ignore"),
        pytest.raises(VerificationError, match=r"package .* not finite"),
    ):
        compare(run, decoder, package.model.spec.vocab, runtime=sound)


# The gate


def _fidelity(**changes: float | None) -> Fidelity:
    sound = {
        "tokens": 100,
        "perplexity_source": 20.0,
        "perplexity_package": 20.1,
        "kl_mean": 0.005,
        "top1_agreement": 0.97,
        "tokenizer_texts": 1,
        "tool_calls": 20,
        "tool_call_agreement": 1.0,
    }
    return Fidelity.model_validate({"reference": "", **sound, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"top1_agreement": 0.954}, "top-1 agreement 0.954 < 0.955"),
        ({"top1_tied_agreement": 0.95}, "top-1 agreement 0.950 < 0.955"),
        (
            {"perplexity_package": 20.5, "perplexity_change_error": 0.003},
            "perplexity changed by +2.5%",
        ),
        ({"kl_mean": 0.02}, "KL divergence 0.0200 > 0.01"),
        ({"perplexity_package": 21.0}, "perplexity changed by +5.0%, more than 1%"),
        ({"perplexity_package": 19.0}, "perplexity changed by -5.0%"),
        ({"tool_call_agreement": 0.9}, "same tool picked in 90% < 95% of 20 questions"),
    ],
)
def test_every_threshold_is_held(changes: dict[str, float], words: str, tmp_path: Path) -> None:
    gate = judge(_fidelity(**changes), STRICT, forced=False)
    assert not gate.passed
    assert len(gate.missed) == 1
    assert words in gate.missed[0]
    with pytest.raises(VerificationError) as caught:
        require_passed(gate, tmp_path / "package")
    assert gate.missed[0] in str(caught.value)
    assert "--force" in str(caught.value)
    forced = judge(_fidelity(**changes), STRICT, forced=True)
    assert (forced.passed, forced.forced, forced.missed) == (False, True, gate.missed)
    require_passed(forced, tmp_path / "package")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tool_call_agreement": None},
        {"kl_mean": 0.01},
        {"top1_agreement": 0.93, "top1_tied_agreement": 0.96},
        {"perplexity_package": 20.3, "perplexity_change_error": 0.003},
    ],
)
def test_what_holds_passes(changes: dict[str, float | None], tmp_path: Path) -> None:
    gate = judge(_fidelity(**changes), STRICT, forced=False)
    assert gate.passed
    assert gate.missed == ()
    require_passed(gate, tmp_path / "package")


def test_a_tie_that_is_broken_otherwise_is_agreement() -> None:
    reference = np.array([[2.0, 1.95, 0.0], [2.0, 1.5, 0.0], [0.0, 0.0, 3.0]], dtype=np.float32)
    package = np.array([[1.9, 2.0, 0.0], [1.9, 2.0, 0.0], [0.0, 0.0, 3.0]], dtype=np.float32)
    statistics = LogitStatistics(np.zeros(3, dtype=np.int64))
    for start in range(3):  # whichever slice of the vocabulary the tokens are in
        statistics.add(start, reference[:, start : start + 1], package[:, start : start + 1])
    assert statistics.agreement.tolist() == [False, False, True]
    assert statistics.tied_agreement.tolist() == [True, False, True]


# The sample


def _bytes(text: str) -> list[int]:
    return list(text.encode("utf-8"))


def _words(text: str) -> list[int]:
    """Tokens of a word each, as large vocabularies have them."""
    return [_hash_of(word) for word in re.findall(r"\w+|\W", text)]


def _hash_of(word: str) -> int:
    return int.from_bytes(word.encode("utf-8")[:8].ljust(8, b"\0"), "little") % (1 << 62)


def test_windows_cover_a_text_and_begin_with_bos() -> None:
    windows = cut(range(1000), 7, 4096)
    assert [len(window) for window in windows] == [512, 490]
    assert all(window[0] == 7 for window in windows)
    assert np.array_equal(np.concatenate([window[1:] for window in windows]), np.arange(1000))
    assert [len(window) for window in cut(range(1000), None, 100)] == [100] * 10
    # A window of one token predicts nothing.
    assert [len(window) for window in cut(range(101), None, 100)] == [100]
    assert [len(window) for window in cut(range(100), 7, 100)] == [100, 2]


def test_every_section_is_shortened_alike() -> None:
    names = ("prose", "code", "transcript")
    lengths = [len(_bytes(sample_section(name))) for name in names]
    windows = sample_windows(_bytes, sum(lengths) // 2, None, 1 << 20)
    total = sum(map(len, windows))
    assert abs(total - sum(lengths) // 2) <= 3
    starts = {bytes(window[:20].tolist()) for window in windows}
    assert all(sample_section(name).encode()[:20] in starts for name in names)
    whole = sample_windows(_bytes, 10 * sum(lengths), None, 1 << 20)
    assert sum(map(len, whole)) == sum(lengths)


@pytest.mark.parametrize("bos", [None, 3])
def test_a_pick_is_where_the_tool_s_name_begins(bos: int | None) -> None:
    calls = tool_calls(_words, bos, 8192)
    assert len(calls.picks) >= 20
    tools = [_hash_of(tool) for tool in ("calculator", "search", "convert", "weather", "no_tool")]
    for pick in calls.picks:
        window = calls.windows[pick.window]
        assert list(pick.candidates) == tools
        assert window[pick.position + 1] in tools
    assert all((window[0] == bos) == (bos is not None) for window in calls.windows)
    chosen = {int(calls.windows[p.window][p.position + 1]) for p in calls.picks}
    assert chosen == set(tools)


def test_short_contexts_repeat_the_introduction() -> None:
    limit = 160
    calls = tool_calls(_words, 3, limit)
    assert len(calls.windows) > 1
    assert all(len(window) <= limit for window in calls.windows)
    assert len({tuple(window[:40]) for window in calls.windows}) == 1
    assert {pick.window for pick in calls.picks} == set(range(len(calls.windows)))


def test_tools_that_begin_alike_are_not_picked_between() -> None:
    assert tool_calls(_bytes, None, 8192) == ToolCalls((), ())  # calculator and convert
    assert tool_calls(_words, None, 64) == ToolCalls((), ())  # not even the introduction fits


# The tensors


def test_a_tensor_in_a_type_that_no_vector_has(tmp_path: Path) -> None:
    path = FAMILY_CHECKPOINTS["qwen2"].write_gguf(tmp_path / "model.gguf", kind="Q8_0")
    with open_model(path, None) as model:
        check_tensors(model.checkpoint, model.spec, EXACT, model.ignored)
        tensors = dict(model.checkpoint.tensors)

        class Altered:
            path = model.checkpoint.path

            def __init__(self, name: str, **changes: object) -> None:
                self.tensors = {**tensors, name: replace(tensors[name], **changes)}  # type: ignore[arg-type]

        matrix = tensors["blk.0.attn_q.weight"]
        vector = Altered("blk.0.attn_norm.weight", type=matrix.type)
        with pytest.raises(UnsupportedError, match=r"attn_norm.*vectors must be F32, F16 or BF16"):
            check_tensors(vector, model.spec, EXACT, model.ignored)  # type: ignore[arg-type]
        with pytest.raises(DamagedFileError, match=r"attn_q\.weight has shape 64 x 128 where"):
            check_tensors(
                Altered(matrix.name, shape=(64, 128)),  # type: ignore[arg-type]
                model.spec,
                EXACT,
                model.ignored,
            )
        extra = Altered("token_embd.weight")
        extra.tensors |= {"vision.a": matrix, "vision.b": matrix}
        with pytest.raises(UnsupportedError, match=r"vision\.a and 1 more, which a qwen2 decoder"):
            check_tensors(extra, model.spec, EXACT, model.ignored)  # type: ignore[arg-type]
        check_tensors(extra, model.spec, EXACT, {*model.ignored, "vision.a", "vision.b"})  # type: ignore[arg-type]
