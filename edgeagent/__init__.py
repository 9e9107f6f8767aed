"""On-device edge deployment of small language models: export, run as agents, profile honestly.

The public API is loaded on first use, so that `import edgeagent` stays light:

- `edgeagent.load(model)` opens a model as an assistant.
- `edgeagent.profile(model, ...)` measures the paradigms on a task suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeagent.api import Assistant, load, profile

__all__ = ["Assistant", "__version__", "load", "profile"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the public API on first use (PEP 562)."""
    if name in {"Assistant", "load", "profile"}:
        from edgeagent import api

        return getattr(api, name)
    raise AttributeError(f"module 'edgeagent' has no attribute {name!r}")
