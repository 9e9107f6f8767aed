"""Reading the folders that PEFT writes: `adapter_config.json`, `adapter_model.safetensors`.

Source of keys and scaling: `LoraConfig` and `LoraLayer.update_layer` of the peft library. What
changes more than the linear layers of the decoder is refused, since the result would be another
model than the one that was trained.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from edgeagent.errors import DamagedFileError, SourceError, UnsupportedError
from edgeagent.export.adapter.adapter import (
    FUSED_ROLES,
    Floats,
    Update,
    split_update,
)
from edgeagent.export.checkpoint.blocks import dequantize
from edgeagent.export.checkpoint.mapped import MappedFile
from edgeagent.export.checkpoint.protocol import TensorInfo
from edgeagent.export.checkpoint.safetensors import HFConfig
from edgeagent.export.checkpoint.safetensors.header import read_header
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.decoder.weights import Role

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"

_TENSOR = re.compile(
    r"base_model\.model\.(?:model|model\.language_model|language_model\.model)"
    r"\.layers\.(?P<layer>\d{1,4})\.(?:self_attn|mlp)\.(?P<module>\w+)_proj"
    r"\.lora_(?P<factor>[AB])(?:\.default)?\.weight"
)
_ROLES: dict[str, tuple[Role, ...]] = {
    **{role: (role,) for role in ("q", "k", "v", "o", "gate", "up", "down")},
    **FUSED_ROLES,
}
_OTHER_METHODS = ("use_dora", "fan_in_fan_out", "lora_bias", "use_qalora")
_OTHER_PARTS = (
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "alpha_pattern",
    "alora_invocation_tokens",
    "arrow_config",
)
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq")
"""Initializations that take what the adapter starts with out of the weights of the base model."""


class PeftFolder:
    """An adapter of PEFT; its weights are read by `updates`."""

    def __init__(self, folder: Path) -> None:
        """Read the configuration.

        Raises:
            SourceError: A file is missing or may not be read.
            DamagedFileError: The configuration contradicts itself.
            UnsupportedError: It is another method than plain LoRA on linear layers.
        """
        self.weights = folder / WEIGHTS_NAME
        if not self.weights.is_file():
            raise SourceError(
                f"{folder} has no {WEIGHTS_NAME}; give the folder that PEFT's save_pretrained wrote"
                " with safetensors."
            )
        config = HFConfig.read(folder / CONFIG_NAME)
        _refuse_other_methods(config)
        self.base_model = config.get_str("base_model_name_or_path", "")
        self._rank = config.get_int("r")
        self._alpha = config.get_float("lora_alpha")
        self._has_rank_pattern = bool(config.values.get("rank_pattern"))
        self._by_root = config.get_bool("use_rslora", False)
        if not 0 < self._rank <= 1 << 16:
            raise DamagedFileError(f"{config.path}: the rank r is {self._rank}.")

    @property
    def scale(self) -> float:
        """Factor on the products of layers with the usual rank."""
        return self._scale(self._rank)

    def updates(self, spec: DecoderSpec) -> dict[tuple[int, Role], Update]:
        """Read the weights for a model.

        Raises:
            DamagedFileError: The file is damaged or for another model.
            UnsupportedError: It changes other parts than the linear layers of the decoder.
        """
        updates: dict[tuple[int, Role], Update] = {}
        with MappedFile.open(self.weights, "safetensors file") as mapped:
            tensors = read_header(mapped, 0)
            for (layer, module), factors in self._pairs(tensors).items():
                down, up = (_floats(mapped, factors[factor]) for factor in "AB")
                what = f"{self.weights}: {module}_proj of block {layer}"
                rank = down.shape[0]
                if rank != self._rank and not self._has_rank_pattern:
                    raise DamagedFileError(
                        f"{what} has rank {rank} where {CONFIG_NAME} says {self._rank}."
                    )
                if rank:
                    up = up * up.dtype.type(self._scale(rank))
                updates |= split_update(spec, layer, _ROLES[module], down, up, what=what)
        if not updates:
            raise DamagedFileError(f"{self.weights} holds no tensors; save the adapter again.")
        return updates

    def _scale(self, rank: int) -> float:
        return self._alpha / (math.sqrt(rank) if self._by_root else rank)

    def _pairs(
        self, tensors: dict[str, TensorInfo]
    ) -> dict[tuple[int, str], dict[str, TensorInfo]]:
        """Both factors of every layer, by block and module."""
        pairs: dict[tuple[int, str], dict[str, TensorInfo]] = {}
        for name, tensor in tensors.items():
            found = _TENSOR.fullmatch(name)
            if found is None or found["module"] not in _ROLES:
                raise UnsupportedError(
                    f"{self.weights} has the tensor {name[:120]}; only adapters of the linear"
                    " layers of attention and MLP are supported, without embeddings, DoRA or other"
                    " modules."
                )
            if len(tensor.shape) != 2 or not tensor.type.is_float:
                raise DamagedFileError(f"{self.weights}: tensor {name} is not a matrix of floats.")
            factors = pairs.setdefault((int(found["layer"]), found["module"]), {})
            if found["factor"] in factors:
                raise DamagedFileError(f"{self.weights} holds {name} under two names.")
            factors[found["factor"]] = tensor
        for (layer, module), factors in pairs.items():
            if len(factors) != 2:
                raise DamagedFileError(
                    f"{self.weights} lacks one of the two factors of {module}_proj in block"
                    f" {layer}; save the adapter again."
                )
        return pairs


def _floats(mapped: MappedFile, tensor: TensorInfo) -> Floats:
    # A copy, as the file is closed before the numbers are used.
    values = dequantize(
        mapped.rows(tensor), tensor.type, tensor.in_features, source=f"{mapped.path}: {tensor.name}"
    )
    return values.copy()


def _refuse_other_methods(config: HFConfig) -> None:
    where = config.path
    method = config.get_str("peft_type", "LORA")
    if method != "LORA":
        raise UnsupportedError(f"{where} is an adapter of type {method[:40]}; only LoRA is known.")
    for key in _OTHER_METHODS:
        if config.get_bool(key, False):
            raise UnsupportedError(f"{where} has {key}, which is not supported; train plain LoRA.")
    for key in _OTHER_PARTS:
        if config.values.get(key):
            raise UnsupportedError(
                f"{where} has {key}, which changes more than a plain LoRA of linear layers does;"
                " merge the adapter into its model and export that."
            )
    bias = config.get_str("bias", "none")
    if bias != "none":
        raise UnsupportedError(f"{where} trains biases (bias is {bias[:20]!r}); use bias='none'.")
    start = config.values.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise UnsupportedError(
            f"{where} was initialized by {start[:20]}, which changes the base model too; convert it"
            " with PEFT's save_pretrained(path_initial_model_for_weight_conversion=...) first."
        )
