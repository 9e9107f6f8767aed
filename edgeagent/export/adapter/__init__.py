"""LoRA adapters: read from PEFT folders and GGUF files, written for the runtime's `Adapters`."""

from __future__ import annotations

from edgeagent.export.adapter.adapter import Adapter
from edgeagent.export.adapter.package import adapted_decoder, check_adapters, write_adapters
from edgeagent.export.adapter.read import read_adapters

__all__ = ["Adapter", "adapted_decoder", "check_adapters", "read_adapters", "write_adapters"]
