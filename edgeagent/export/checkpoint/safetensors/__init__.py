"""Hugging Face folders: weights in safetensors files, hyperparameters in `config.json`."""

from edgeagent.export.checkpoint.safetensors.config import HFConfig
from edgeagent.export.checkpoint.safetensors.folder import SafetensorsFolder

__all__ = ["HFConfig", "SafetensorsFolder"]
