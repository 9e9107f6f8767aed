"""What an export can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgeagent.config.spec import Spec

DEFAULT_CONTEXT_LEN = 8192
"""Cap on the context of a package: memory of an edge device, not of a server."""

PolicyName = Literal["exact", "compact", "auto", "int8", "mixed", "float"]


class ExportSettings(Spec):
    """Settings of one export; they are recorded in the manifest."""

    policy: PolicyName = "exact"
    """Precision of the package, see `edgeagent.export.pack.policy`."""
    calibrate: bool | None = None
    """Weight the errors of rounding by the inputs that a calibration text causes; `None`: where
    weights are rounded to 4 bits, which is where it was measured to help."""
    context_len: int | None = Field(default=None, ge=64, le=1 << 20)
    """Longest context in tokens; `None`: what the model has, at most 8,192, and for models with
    two sets of rotary factors at most the context of the first."""
    accuracy_level: Literal[1, 4] = 4
    """Of the runtime's block-quantized product: 4 rounds activations to 8 bits per block and is
    three to four times as fast as 1, which keeps them in float32."""
    verify: Literal["full", "load", "none"] = "full"
    """`full`: load, tokenize and compare logits with the source; `load`: without the logits."""
    verify_tokens: int = Field(default=1536, ge=64, le=1 << 16)
    """Positions of the sample text that are compared at most; large models compare fewer."""
    accept_low_fidelity: bool = False
    """Keep a package that misses the fidelity thresholds; the manifest records the figures."""
