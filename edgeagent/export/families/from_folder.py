"""Reads a decoder from a Hugging Face folder: sizes from `config.json`, weights by its names."""

from __future__ import annotations

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.safetensors import HFConfig, SafetensorsFolder
from edgeagent.export.decoder.spec import Activation, DecoderSpec
from edgeagent.export.decoder.weights import DecoderWeights, LayerWeights, Matrix, Role, Vector
from edgeagent.export.families.family import Family
from edgeagent.export.families.folder_positions import scaling_section
from edgeagent.export.families.sizes import Sizes, contradiction

_HEAD = "lm_head.weight"
_ACTIVATION_NAMES: dict[Activation, frozenset[str]] = {
    "silu": frozenset({"silu", "swish"}),
    "gelu_tanh": frozenset({"gelu_pytorch_tanh", "gelu_new"}),
}
"""Activations by what transformers calls them."""
_PREFIXES = ("model.", "model.language_model.", "language_model.model.")
"""Where the decoder's tensors are; models that also see pictures keep it beside other parts."""


def read_folder(family: Family, folder: SafetensorsFolder, context_len: int | None) -> DecoderSpec:
    """Read the decoder.

    Args:
        family: Its family.
        folder: The open folder, its configuration that of the language model.
        context_len: Longest context of the package, `None` for the usual.

    Raises:
        DamagedFileError: A value is missing, absurd, or contradicts another.
        UnsupportedError: The model uses a feature that the graph does not have.
    """
    prefix = _prefix(folder)
    config = _with_defaults(family, language_config(folder))
    _check_activation(family, config)
    sizes = _sizes(family, config, folder.tensors[f"{prefix}embed_tokens.weight"].rows)
    positions = family.folder_positions(config, sizes, context_len)
    return family.decoder(sizes, positions, _weights(family, config, folder, sizes, prefix))


def language_config(folder: SafetensorsFolder) -> HFConfig:
    """The configuration of the language model, which is a section where there are other parts."""
    return folder.config.section("text_config", None) or folder.config


def _with_defaults(family: Family, config: HFConfig) -> HFConfig:
    stated = {key: value for key, value in config.values.items() if value is not None}
    return HFConfig(config.path, {**family.folder_defaults, **stated}, config.prefix)


def _check_activation(family: Family, config: HFConfig) -> None:
    for key in ("hidden_activation", "hidden_act"):
        stated = config.get_str(key, None)
        if stated is None:
            continue
        if stated not in _ACTIVATION_NAMES[family.activation]:
            raise UnsupportedError(
                f"{config.path} has the activation {stated[:40]!r}; {family.name} models are"
                f" supported with {family.activation!r} only."
            )
        return


def ignored(folder: SafetensorsFolder, spec: DecoderSpec) -> frozenset[str]:
    """Tensors that are rightly not used: other parts of the model, derived values, copies."""
    prefix = spec.weights.embedding.tensor.removesuffix("embed_tokens.weight")
    skipped = {name for name in folder.tensors if name.endswith("rotary_emb.inv_freq")}
    if prefix != _PREFIXES[0]:
        skipped |= {name for name in folder.tensors if not name.startswith(prefix)}
    if spec.weights.head is None:
        skipped |= {name for name in folder.tensors if name.endswith(_HEAD)}
    return frozenset(skipped)


def _prefix(folder: SafetensorsFolder) -> str:
    for prefix in _PREFIXES:
        if f"{prefix}embed_tokens.weight" in folder.tensors:
            return prefix
    raise DamagedFileError(
        f"{folder.path} has no tensor {_PREFIXES[0]}embed_tokens.weight, the embedding."
    )


def _sizes(family: Family, config: HFConfig, vocab: int) -> Sizes:
    hidden, heads = config.get_int("hidden_size"), config.get_int("num_attention_heads")
    head_dim = config.get_int("head_dim", None)
    if head_dim is None:
        if heads < 1 or hidden % heads:
            raise contradiction(
                config.path, f"{hidden} hidden units do not divide into {heads} heads"
            )
        head_dim = hidden // heads
    scaling = scaling_section(config)
    base = config.get_float("rope_theta", family.rope_base)
    partial = config.get_float("partial_rotary_factor", 1.0)
    if scaling is not None:
        base = scaling.get_float("rope_theta", base)
        partial = scaling.get_float("partial_rotary_factor", partial)
    if not 0 < partial <= 1:
        raise contradiction(config.path, f"partial_rotary_factor is {partial:g}")
    return Sizes(
        path=config.path,
        layers=config.get_int("num_hidden_layers"),
        hidden=hidden,
        intermediate=config.get_int("intermediate_size"),
        heads=heads,
        kv_heads=config.get_int("num_key_value_heads", heads),
        head_dim=head_dim,
        vocab=vocab,
        native_context_len=config.get_int("max_position_embeddings"),
        rms_epsilon=config.get_float("rms_norm_eps", 1e-6),
        rope_base=base,
        rotated=int(head_dim * partial),
    ).check()


def _weights(
    family: Family, config: HFConfig, folder: SafetensorsFolder, sizes: Sizes, prefix: str
) -> DecoderWeights:
    head = None
    if not config.get_bool("tie_word_embeddings", family.tied):
        name = next((name for name in folder.tensors if name.endswith(_HEAD)), _HEAD)
        head = Matrix("head", name, 0, sizes.vocab, sizes.hidden)
    return DecoderWeights(
        embedding=Matrix("embedding", f"{prefix}embed_tokens.weight", 0, sizes.vocab, sizes.hidden),
        layers=tuple(
            _layer(family, folder, sizes, f"{prefix}layers.{index}.")
            for index in range(sizes.layers)
        ),
        output_norm=Vector(f"{prefix}norm.weight", sizes.hidden, family.folder_gain_offset),
        head=head,
    )


def _layer(family: Family, folder: SafetensorsFolder, sizes: Sizes, prefix: str) -> LayerWeights:
    q_width, kv_width = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    wide = sizes.intermediate
    widths = (q_width, kv_width, kv_width)
    roles: tuple[Role, Role, Role] = ("q", "k", "v")

    def matrix(role: Role, part: str, rows: int, width: int, first: int = 0) -> Matrix:
        return Matrix(role, f"{prefix}{part}.weight", first, rows, width)

    def gain(part: str, size: int = sizes.hidden) -> Vector:
        return Vector(f"{prefix}{part}.weight", size, family.folder_gain_offset)

    if family.fused:
        starts = (0, q_width, q_width + kv_width)
        q, k, v = (
            matrix(role, "self_attn.qkv_proj", rows, sizes.hidden, first)
            for role, rows, first in zip(roles, widths, starts, strict=True)
        )
        gate = matrix("gate", "mlp.gate_up_proj", wide, sizes.hidden)
        up = matrix("up", "mlp.gate_up_proj", wide, sizes.hidden, wide)
    else:
        q, k, v = (
            matrix(role, f"self_attn.{role}_proj", rows, sizes.hidden)
            for role, rows in zip(roles, widths, strict=True)
        )
        gate = matrix("gate", "mlp.gate_proj", wide, sizes.hidden)
        up = matrix("up", "mlp.up_proj", wide, sizes.hidden)
    has_bias = family.qkv_bias
    if has_bias is None:
        has_bias = f"{prefix}self_attn.q_proj.bias" in folder.tensors
    biases = [
        Vector(f"{prefix}self_attn.{role}_proj.bias", rows) if has_bias else None
        for role, rows in zip(roles, widths, strict=True)
    ]
    # Where there are norms behind attention, the name that others give to the MLP's is theirs.
    mlp_norm = "pre_feedforward_layernorm" if family.post_norms else "post_attention_layernorm"
    return LayerWeights(
        attention_norm=gain("input_layernorm"),
        q=q,
        k=k,
        v=v,
        q_bias=biases[0],
        k_bias=biases[1],
        v_bias=biases[2],
        q_norm=gain("self_attn.q_norm", sizes.head_dim) if family.qk_norm else None,
        k_norm=gain("self_attn.k_norm", sizes.head_dim) if family.qk_norm else None,
        o=matrix("o", "self_attn.o_proj", sizes.hidden, q_width),
        attention_post_norm=gain("post_attention_layernorm") if family.post_norms else None,
        mlp_norm=gain(mlp_norm),
        gate=gate,
        up=up,
        down=matrix("down", "mlp.down_proj", sizes.hidden, wide),
        mlp_post_norm=gain("post_feedforward_layernorm") if family.post_norms else None,
    )
