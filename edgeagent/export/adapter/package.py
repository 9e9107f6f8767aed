"""Adapters in a package: which layers get inputs for them, and the files that fill these inputs.

The runtime takes an adapter as values for inputs of the graph that have defaults. Here these are
empty matrices, of rank 0, with which a layer computes exactly what it computes without adapters.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeagent.errors import VerificationError
from edgeagent.export.adapter.adapter import Adapter, Floats, Update, layer_matrices
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.decoder.weights import Role
from edgeagent.export.graph.stored import StoredDecoder, StoredLayer, StoredLinear
from edgeagent.privacy import disable_dependency_telemetry
from edgeagent.record.manifest import ADAPTER_FOLDER, AdapterRecord

_CHECKED_TOKENS = 8


def adapted_decoder(stored: StoredDecoder, adapters: Sequence[Adapter]) -> StoredDecoder:
    """The same weights with inputs for adapters in every layer that one of them changes."""
    changed = {key for adapter in adapters for key in adapter.updates}
    names = {
        linear.name
        for index, layer in enumerate(stored.layers)
        for linear, roles in _linear_layers(layer)
        if any((index, role) in changed for role in roles)
    }
    return replace(stored, adapted=frozenset(names))


def write_adapters(
    folder: Path, adapters: Sequence[Adapter], spec: DecoderSpec, stored: StoredDecoder
) -> tuple[AdapterRecord, ...]:
    """Write a file for each adapter into a package.

    Args:
        folder: The package; its graphs were made from `stored`.
        adapters: What to write.
        spec: The model.
        stored: Its weights, as `adapted_decoder` returned them.
    """
    if adapters:
        (folder / ADAPTER_FOLDER).mkdir()
    return tuple(_write(folder, adapter, spec, stored) for adapter in adapters)


def check_adapters(folder: Path, records: Sequence[AdapterRecord]) -> None:
    """Activate every adapter of a package in the runtime and compute with it.

    Raises:
        VerificationError: The runtime refuses one, or computes numbers that are not finite.
    """
    disable_dependency_telemetry()
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(folder))
    loaded = onnxruntime_genai.Adapters(model)
    generator = None
    try:
        for record in records:
            params = onnxruntime_genai.GeneratorParams(model)
            params.set_search_options(max_length=_CHECKED_TOKENS + 1, do_sample=False)
            generator = onnxruntime_genai.Generator(model, params)
            try:
                loaded.load(str(folder / record.file), record.name)
                generator.set_active_adapter(loaded, record.name)
                generator.append_tokens(np.arange(_CHECKED_TOKENS, dtype=np.int32))
                logits = np.array(generator.get_logits())
            except Exception as error:  # the runtime raises plain exceptions
                raise VerificationError(
                    f"onnxruntime-genai cannot use the adapter {record.name!r}: {error}"
                ) from error
            if not np.isfinite(logits).all():
                raise VerificationError(
                    f"With the adapter {record.name!r} the package computes logits that are not"
                    " finite numbers."
                )
    finally:
        # The runtime maps weights; on Windows a mapped file cannot be renamed.
        model = loaded = generator = None
        gc.collect()


def _write(
    folder: Path, adapter: Adapter, spec: DecoderSpec, stored: StoredDecoder
) -> AdapterRecord:
    disable_dependency_telemetry()
    from onnxruntime import AdapterFormat, OrtValue

    parameters = {}
    for index, layer in enumerate(stored.layers):
        for name, values in _layer_parameters(adapter, spec, index, layer):
            parameters[name] = OrtValue.ortvalue_from_numpy(values)
    file = f"{ADAPTER_FOLDER}/{adapter.name}.onnx_adapter"
    content = AdapterFormat()
    content.set_adapter_version(1)
    content.set_model_version(1)
    content.set_parameters(parameters)
    content.export_adapter(str(folder / file))
    return AdapterRecord(
        name=adapter.name,
        file=file,
        source=adapter.path.name,
        sha256=adapter.sha256,
        base_model=adapter.base_model,
        rank=adapter.rank,
        scale=adapter.scale,
        targets=adapter.targets,
        size_bytes=(folder / file).stat().st_size,
    )


def _layer_parameters(
    adapter: Adapter, spec: DecoderSpec, index: int, layer: StoredLayer
) -> Iterator[tuple[str, Floats]]:
    """Names and values of the inputs of one block that an adapter fills."""
    rows = {role: matrix.rows for role, matrix in layer_matrices(spec, index).items()}
    for linear, roles in _linear_layers(layer):
        changed = {
            role: adapter.updates[index, role] for role in roles if (index, role) in adapter.updates
        }
        if changed:
            factors = _fused(changed, {role: rows[role] for role in roles})
            yield from zip(linear.lora_inputs, factors, strict=True)


def _linear_layers(layer: StoredLayer) -> Iterator[tuple[StoredLinear, tuple[Role, ...]]]:
    """The linear layers of a block as they are stored, and what their rows are."""
    attention: tuple[Role, ...] = ("q", "k", "v")
    if len(layer.qkv) == 1:
        yield layer.qkv[0], attention
    else:
        yield from ((part, (role,)) for part, role in zip(layer.qkv, attention, strict=True))
    yield layer.attention_output, ("o",)
    yield layer.gate, ("gate",)
    yield layer.up, ("up",)
    yield layer.down, ("down",)


def _fused(updates: Mapping[Role, Update], rows: Mapping[Role, int]) -> tuple[Floats, Floats]:
    """The factors `(in, rank)` and `(rank, out)` of one stored layer.

    Parts with factors of their own stand side by side, and the second factor is block-diagonal:
    two small products cost less than keeping the layer apart, which would cost the base model too.
    """
    downs = {id(update.down): update.down for update in updates.values()}
    starts = dict(zip(downs, np.cumsum([0, *(len(each) for each in downs.values())]), strict=False))
    down = np.concatenate(list(downs.values()))
    up = np.zeros((len(down), sum(rows.values())), dtype=np.float32)
    at_row = 0
    for role, count in rows.items():
        if (update := updates.get(role)) is not None:
            start = starts[id(update.down)]
            up[start : start + update.rank, at_row : at_row + count] = update.up.T
        at_row += count
    return np.ascontiguousarray(down.T), up
