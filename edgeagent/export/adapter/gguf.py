"""Reading the adapters that llama.cpp's `convert_lora_to_gguf.py` writes.

Names and scaling: `llama_adapter_lora_init_impl` and `get_scale` in llama.cpp. For architectures
whose rows of Q and K are reordered, so are the rows of `lora_b`, and they are put back here.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.adapter.adapter import (
    FUSED_ROLES,
    Floats,
    Update,
    layer_matrices,
    split_update,
)
from edgeagent.export.checkpoint.blocks import dequantize
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.checkpoint.protocol import TensorInfo
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.decoder.weights import Matrix, Role
from edgeagent.export.families import Family, family_of_gguf

_TENSOR = re.compile(
    r"blk\.(?P<layer>\d{1,4})\.(?P<module>attn_\w+|ffn_\w+)\.weight\.lora_(?P<factor>[ab])"
)
_ROLES: dict[str, tuple[Role, ...]] = {
    "attn_q": ("q",),
    "attn_k": ("k",),
    "attn_v": ("v",),
    "attn_output": ("o",),
    "attn_qkv": FUSED_ROLES["qkv"],
    "ffn_gate": ("gate",),
    "ffn_up": ("up",),
    "ffn_down": ("down",),
}


class GGUFAdapter:
    """An adapter in a GGUF file; its weights are read by `updates`."""

    def __init__(self, path: Path) -> None:
        """Read the metadata.

        Raises:
            SourceError: The file is missing or may not be read.
            DamagedFileError: It is damaged.
            UnsupportedError: It is a model, or another kind of adapter.
        """
        self.weights = path
        with GGUFFile.open(path) as gguf:
            kind = gguf.get_str("general.type", "model")
            if kind != "adapter":
                raise UnsupportedError(f"{path} is a GGUF of type {kind[:40]!r} and no adapter.")
            method = gguf.get_str("adapter.type", "lora")
            if method != "lora":
                raise UnsupportedError(f"{path} is an adapter of type {method[:40]!r}, not LoRA.")
            self._family: Family = family_of_gguf(gguf.architecture)
            self._alpha = gguf.get_float("adapter.lora.alpha", 0.0)
            self.base_model = gguf.get_str("general.base_model.0.name", "")
        self.scale = 1.0

    def updates(self, spec: DecoderSpec) -> dict[tuple[int, Role], Update]:
        """Read the weights for a model; `scale` is known behind it.

        Raises:
            DamagedFileError: The file is damaged or for another model.
            UnsupportedError: It changes other parts than the linear layers of the decoder.
        """
        updates: dict[tuple[int, Role], Update] = {}
        with GGUFFile.open(self.weights) as gguf:
            for (layer, module), factors in self._pairs(gguf).items():
                down, up = (_floats(gguf, factors[factor]) for factor in "ab")
                if self._alpha and down.shape[0]:
                    self.scale = self._alpha / down.shape[0]
                up = up * np.float32(self.scale)
                what = f"{self.weights}: {module} of block {layer}"
                found = split_update(spec, layer, self._roles(module), down, up, what=what)
                for (_, role), update in found.items():
                    updates[layer, role] = self._in_runtime_order(spec, layer, role, update)
        if not updates:
            raise DamagedFileError(f"{self.weights} holds no tensors; convert the adapter again.")
        return updates

    def _roles(self, module: str) -> tuple[Role, ...]:
        # The file of a fused family calls gate and up together ffn_up.
        if module == "ffn_up" and self._family.fused:
            return FUSED_ROLES["gate_up"]
        return _ROLES[module]

    def _in_runtime_order(
        self, spec: DecoderSpec, layer: int, role: Role, update: Update
    ) -> Update:
        heads = {"q": spec.heads, "k": spec.kv_heads}.get(role, 0)
        if not self._family.neighbour_pairs or not heads:
            return update
        rows = layer_matrices(spec, layer)[role].rows
        order = Matrix(role, "", 0, rows, spec.hidden, heads).row_order()
        return Update(update.down, update.up[order])

    def _pairs(self, gguf: GGUFFile) -> dict[tuple[int, str], dict[str, TensorInfo]]:
        """Both factors of every layer, by block and module."""
        pairs: dict[tuple[int, str], dict[str, TensorInfo]] = {}
        for name, tensor in gguf.tensors.items():
            found = _TENSOR.fullmatch(name)
            if found is None or found["module"] not in _ROLES:
                raise UnsupportedError(
                    f"{self.weights} has the tensor {name}; only adapters of the linear layers of"
                    " attention and MLP are supported, without embeddings or head."
                )
            if len(tensor.shape) != 2:
                raise DamagedFileError(f"{self.weights}: tensor {name} is not a matrix.")
            pairs.setdefault((int(found["layer"]), found["module"]), {})[found["factor"]] = tensor
        for (layer, module), factors in pairs.items():
            if len(factors) != 2:
                raise DamagedFileError(
                    f"{self.weights} lacks one of the two factors of {module} in block {layer};"
                    " convert the adapter again."
                )
        return pairs


def _floats(gguf: GGUFFile, tensor: TensorInfo) -> Floats:
    raw, what = gguf.raw(tensor.name), f"{gguf.path}: {tensor.name}"
    # A copy, as the file is closed before the numbers are used.
    return dequantize(raw, tensor.type, tensor.in_features, source=what).copy()
