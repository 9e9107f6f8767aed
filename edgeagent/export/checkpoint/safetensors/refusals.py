"""What looks like a checkpoint and cannot be exported: the errors that say what to do instead."""

from __future__ import annotations

from pathlib import Path

from edgeagent.errors import SourceError, UnsupportedError
from edgeagent.export.checkpoint.safetensors.config import HFConfig

CONFIG_NAME = "config.json"

_ADAPTER_NAMES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
_PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
_OTHER_FRAMEWORKS = frozenset({".h5", ".msgpack", ".tflite", ".onnx"})
_QUANTIZATION_KEYS = ("quantization_config", "compression_config")
_QUANTIZATION_FILES = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
"""Written by AutoGPTQ, AutoAWQ and ModelOpt where the configuration itself says nothing."""

_CONVERT = (
    "such files hold programs that run when they are loaded, so they are never opened; convert"
    " them to safetensors on a machine that you trust (save_pretrained of transformers does), or"
    " take a repository that has them"
)


def refuse_folder_without_weights(folder: Path) -> SourceError | UnsupportedError:
    """The error for a folder that has neither `model.safetensors` nor its index."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.isprintable())
    if any(name in _ADAPTER_NAMES for name in names):
        return _adapter(folder)
    if {"snapshots", "blobs"} <= set(names):
        return SourceError(
            f"{folder} is a repository in a download cache; give one of the folders in its"
            " snapshots folder."
        )
    for suffix, refusal in ((".gguf", _only_gguf), (".safetensors", _only_other_safetensors)):
        found = [name for name in names if name.lower().endswith(suffix)]
        if found:
            return refusal(folder, found[0])
    return _without_any(folder, names)


def _only_gguf(folder: Path, name: str) -> SourceError:
    return SourceError(f"{folder} holds GGUF files; give the path of one, such as {folder / name}.")


def _only_other_safetensors(folder: Path, name: str) -> SourceError:
    return SourceError(
        f"{folder} has {name} and neither model.safetensors nor model.safetensors.index.json; give"
        " the path of the file itself if it holds the weights under their Hugging Face names."
    )


def _without_any(folder: Path, names: list[str]) -> SourceError | UnsupportedError:
    suffixes = {Path(name).suffix.lower() for name in names}
    if suffixes & _PICKLE_SUFFIXES:
        return UnsupportedError(f"{folder} has its weights as PyTorch files only; {_CONVERT}.")
    if suffixes & _OTHER_FRAMEWORKS:
        return UnsupportedError(
            f"{folder} has its weights in the format of another framework; take a repository that"
            " has safetensors or a GGUF file."
        )
    if CONFIG_NAME in names:
        return SourceError(
            f"{folder} has a {CONFIG_NAME} and no model.safetensors; complete the download."
        )
    return SourceError(
        f"{folder} is not a checkpoint: it has neither model.safetensors nor"
        " model.safetensors.index.json."
    )


def refuse_other_file(path: Path) -> SourceError | UnsupportedError:
    """The error for a file that is neither GGUF nor safetensors."""
    if path.suffix.lower() in _PICKLE_SUFFIXES:
        return UnsupportedError(f"{path} is a PyTorch file; {_CONVERT}.")
    return SourceError(
        f"{path} is neither a GGUF file nor a .safetensors file; give one of those, or a Hugging"
        " Face folder with model.safetensors."
    )


def refuse_without_config(folder: Path) -> SourceError | UnsupportedError:
    """The error for weight files without a `config.json` beside them."""
    if any((folder / name).exists() for name in _ADAPTER_NAMES):
        return _adapter(folder)
    return SourceError(
        f"{folder} has no {CONFIG_NAME}, which says what the weights mean; complete the download."
    )


def refuse_quantized(config: HFConfig) -> None:
    """Refuse checkpoints whose weights were quantized by another tool.

    Raises:
        UnsupportedError: The configuration or a file beside it says so.
    """
    sections = [config, config.section("text_config", None)]
    for section in sections:
        for key in _QUANTIZATION_KEYS:
            if section is not None and section.section(key, None) is not None:
                method = section.section(key).get_str("quant_method", "an unnamed method")
                raise _quantized(config.path.parent, method[:40])
    for name in _QUANTIZATION_FILES:
        if (config.path.parent / name).exists():
            raise _quantized(config.path.parent, f"the method that {name} describes")


def _quantized(folder: Path, method: str) -> UnsupportedError:
    return UnsupportedError(
        f"{folder} is quantized already, by {method}; quantizing twice would cost quality, so"
        " export the original checkpoint (fp32, fp16 or bf16) that it was made from, or a GGUF"
        " file."
    )


def _adapter(folder: Path) -> UnsupportedError:
    return UnsupportedError(
        f"{folder} is an adapter (LoRA) and not a model; export its base model with"
        f" --adapter NAME={folder}."
    )
