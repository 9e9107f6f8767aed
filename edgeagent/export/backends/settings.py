"""What a backend can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field

from edgeagent.config.spec import Spec

Precision: TypeAlias = Literal["int4", "int8", "fp16", "bf16", "fp32"]
Ep: TypeAlias = Literal["cpu", "cuda", "dml", "webgpu", "NvTensorRtRtx"]


class BackendSettings(Spec):
    """Settings of one export by a backend; all but the interpreter go into the manifest."""

    precision: Precision = "int4"
    """Of the weights; activations follow the execution provider."""
    ep: Ep = "cpu"
    """Execution provider that the graph is made for, by the model builder's names."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the tool from the backend's list, such as `block_size`; others are refused."""
    python: Path | None = None
    """An interpreter of the user's that has the packages; `None`: edgeagent's environment."""
    create_environment: bool = False
    """Create the environment if it is not there: downloads packages from the package index."""
