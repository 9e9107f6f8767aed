"""How faithful a backend's package is: its logits against transformers' in float32.

The reference runs in the backend's interpreter, the package in onnxruntime here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.errors import ExportError, VerificationError
from edgeagent.export.backends.graph_facts import read_package_graph
from edgeagent.export.backends.names import MODEL_NAME
from edgeagent.export.backends.own_programs import program, report_progress
from edgeagent.export.backends.protocol import BackendStage, OnBackendProgress, RunChild
from edgeagent.export.backends.settings import Precision
from edgeagent.export.tokenizer import TokenizerFiles
from edgeagent.export.verify.gate import judge
from edgeagent.export.verify.runtime import RuntimeCheck
from edgeagent.export.verify.sample import sample_windows
from edgeagent.export.verify.statistics import LogitStatistics
from edgeagent.privacy import disable_dependency_telemetry
from edgeagent.record.manifest import Fidelity, Gate, Thresholds

_ALL_POSITIONS_NAME = "all_positions.onnx"
_PIECE = 64
"""Positions that the package computes at a time; bounds the logits in memory."""

_VOCAB_SLICE = 1 << 15


THRESHOLDS: dict[Precision, Thresholds] = {
    "fp32": Thresholds(
        top1_agreement=0.99, kl_mean=0.001, perplexity_change=0.005, tool_call_agreement=0.99
    ),
    "int8": Thresholds(
        top1_agreement=0.94, kl_mean=0.02, perplexity_change=0.03, tool_call_agreement=0.95
    ),
    "int4": Thresholds(
        top1_agreement=0.80, kl_mean=0.15, perplexity_change=0.15, tool_call_agreement=0.80
    ),
}
"""What rounding weights and activations to that many bits costs models that stand it well."""


def measure_fidelity(
    package: Path,
    model: Path,
    work: Path,
    *,
    tokenizer: TokenizerFiles,
    tokens: int,
    context_len: int,
    runtime: RuntimeCheck,
    run: RunChild,
    on_progress: OnBackendProgress,
) -> Fidelity:
    """Compare every prediction of the package on the sample text with the model's.

    Args:
        package: Folder of the package.
        model: Hugging Face folder that it was made from.
        work: Folder for the reference's logits.
        tokenizer: Of the model.
        tokens: Positions to compare at most.
        context_len: Longest context of the package.
        runtime: What onnxruntime-genai computed.
        run: Runs the reference.
        on_progress: Told how many tokens are done.

    Raises:
        ExportError: The reference cannot be computed.
        VerificationError: The package cannot be run, or the runtime computes something else.
    """
    from tokenizers import Tokenizer

    text = Tokenizer.from_str(tokenizer.tokenizer_json)
    windows = sample_windows(
        lambda section: text.encode(section, add_special_tokens=False).ids,
        tokens,
        tokenizer.bos_id if tokenizer.add_bos else None,
        context_len,
    )
    total = sum(len(window) - 1 for window in windows)
    reference = _reference(model, work, windows, total=total, run=run, on_progress=on_progress)
    session = PackageLogits(package)
    _check_runtime(session, runtime)
    compared = []
    done = 0
    for window in windows:
        session.reset()
        for start in range(0, len(window) - 1, _PIECE):
            stop = min(start + _PIECE, len(window) - 1)
            package_logits = session.logits(window[start:stop])
            statistics = LogitStatistics(window[start + 1 : stop + 1])
            rows = reference[done : done + stop - start]
            for first in range(0, rows.shape[1], _VOCAB_SLICE):
                part = slice(first, first + _VOCAB_SLICE)
                statistics.add(first, np.array(rows[:, part]), package_logits[:, part])
            compared.append(statistics)
            done += stop - start
            on_progress("verify", total + done, 2 * total, "package")
    return _summarize(compared, runtime.tokenizer_texts)


def judge_package(fidelity: Fidelity, precision: Precision, out: Path, *, forced: bool) -> Gate:
    """Hold the figures against what the precision accounts for.

    Raises:
        VerificationError: A threshold is missed, and the package is not to be kept all the same.
    """
    gate = judge(fidelity, THRESHOLDS[precision], forced=forced)
    if not gate.passed and not gate.forced:
        raise VerificationError(
            f"The {precision} package for {out} does not predict like its source"
            f" ({'; '.join(gate.missed)}); nothing was written. Take a higher precision or other"
            " options, or --force to keep it all the same."
        )
    return gate


class PackageLogits:
    """Logits at every position, from onnxruntime without the generation loop."""

    def __init__(self, package: Path) -> None:
        """Load the package's graph, its head over all positions again if that was pruned.

        Raises:
            VerificationError: onnxruntime refuses it.
        """
        disable_dependency_telemetry()
        import onnxruntime

        graph = package / MODEL_NAME
        self._facts = read_package_graph(package)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        unpruned = _without_pruning(graph, package / _ALL_POSITIONS_NAME)
        try:
            self._session = onnxruntime.InferenceSession(
                str(unpruned), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's exceptions have no common base
            raise VerificationError(f"onnxruntime cannot load the new package: {error}") from error
        finally:
            if unpruned != graph:
                unpruned.unlink()
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._cache: dict[str, npt.NDArray[Any]] = {}
        self._past = 0

    def reset(self) -> None:
        """Forget the context."""
        self._cache, self._past = {}, 0

    def logits(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Append tokens to the context and return their logits, `(tokens, vocab)` float32."""
        total = self._past + len(tokens)
        feeds: dict[str, npt.NDArray[Any]] = {
            "input_ids": tokens[None, :],
            "attention_mask": np.ones((1, total), dtype=np.int64),
            "position_ids": np.arange(self._past, total, dtype=np.int64)[None, :],
        }
        feeds = {name: value for name, value in feeds.items() if name in self._facts.inputs}
        values = self._session.run(self._outputs, feeds | (self._cache or self._empty_cache()))
        results = dict(zip(self._outputs, values, strict=True))
        logits: npt.NDArray[np.float32] = results.pop("logits")[0]
        self._cache = {
            name.replace("present", "past_key_values"): value for name, value in results.items()
        }
        self._past = total
        return logits

    def _empty_cache(self) -> dict[str, npt.NDArray[Any]]:
        return {
            name: np.zeros((1, heads, 0, width), dtype=np.float32)
            for name, (_, heads, width) in self._facts.cache_inputs.items()
        }


def _without_pruning(graph: Path, target: Path) -> Path:
    """Write a copy of a graph whose head sees all positions; `graph` itself if it does already.

    The model builder's `prune_lm_head` puts a Gather and an Unsqueeze in front of the head.
    """
    import onnx

    model = onnx.load(graph, load_external_data=False)
    makers = {name: node for node in model.graph.node for name in node.output}
    unsqueeze = makers.get(makers["logits"].input[0])
    if unsqueeze is None or unsqueeze.op_type != "Unsqueeze":
        return graph
    gather = makers.get(unsqueeze.input[0])
    if gather is None or gather.op_type != "Gather":
        return graph
    makers["logits"].input[0] = gather.input[0]
    for output in model.graph.output:
        if output.name == "logits":
            output.type.tensor_type.shape.dim[1].dim_param = "sequence_length"
    target.write_bytes(model.SerializeToString())
    return target


def _reference(
    model: Path,
    work: Path,
    windows: Sequence[npt.NDArray[np.int64]],
    *,
    total: int,
    run: RunChild,
    on_progress: OnBackendProgress,
) -> npt.NDArray[np.float32]:
    """`(total, vocab)` logits of the model, mapped from a file."""
    listing = work / "windows.json"
    listing.write_text(json.dumps([window.tolist() for window in windows]), encoding="utf-8")
    target = work / "reference.f32"
    arguments = [program("reference_logits"), str(model), str(listing), str(target)]

    def halved(stage: BackendStage, done: int, total: int | None, detail: str) -> None:
        on_progress(stage, done, None if total is None else 2 * total, detail)

    run(arguments, report_progress(halved, "verify"))
    values = target.stat().st_size // 4
    if not values or values % total:
        raise ExportError("The reference wrote fewer logits than there are tokens.")
    return np.memmap(target, dtype="<f4", mode="r", shape=(total, values // total))


def _check_runtime(session: PackageLogits, runtime: RuntimeCheck) -> None:
    """Compare the generation loop's logits with the session's."""
    session.reset()
    last = session.logits(runtime.prompt)[-1]
    worst = float(np.abs(last - runtime.logits).max())
    if not worst <= 1e-2 * max(1.0, float(np.abs(last).max())):
        raise VerificationError(
            f"onnxruntime-genai computes other logits than onnxruntime alone (by {worst:.3g})."
        )


def _summarize(compared: Sequence[LogitStatistics], tokenizer_texts: int) -> Fidelity:
    def joined(name: str) -> npt.NDArray[np.float64]:
        return np.concatenate(list(_each(compared, name)))

    if not np.isfinite(joined("kl")).all():
        raise VerificationError("The new package computes logits that are not finite numbers.")
    return Fidelity(
        reference="float32 forward pass of transformers in the backend's interpreter",
        tokens=len(joined("kl")),
        perplexity_source=float(np.exp(joined("surprise_reference").mean())),
        perplexity_package=float(np.exp(joined("surprise_package").mean())),
        kl_mean=max(0.0, float(joined("kl").mean())),
        top1_agreement=float(joined("agreement").mean()),
        tokenizer_texts=tokenizer_texts,
    )


def _each(compared: Sequence[LogitStatistics], name: str) -> Iterator[npt.NDArray[np.float64]]:
    return (getattr(statistics, name) for statistics in compared)
