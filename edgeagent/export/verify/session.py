"""The package's logits at every position, from onnxruntime without the generation loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.errors import VerificationError
from edgeagent.export.shape import DecoderShape
from edgeagent.privacy import disable_dependency_telemetry


class PackageSession:
    """Runs the variant of the decoder that returns the logits of all positions."""

    def __init__(self, model: Path, shape: DecoderShape) -> None:
        """Load a model.

        Raises:
            VerificationError: onnxruntime refuses it.
        """
        disable_dependency_telemetry()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # The check shares the machine with whatever the user does: no spinning between runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Buffers of a run are large and few: return them instead of keeping an arena.
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's exceptions have no common base
            raise VerificationError(f"onnxruntime cannot load the new package: {error}") from error
        self._shape = shape
        self._cache: dict[str, npt.NDArray[np.float32]] = {}
        self._past = 0

    def reset(self) -> None:
        """Forget the context."""
        self._cache, self._past = {}, 0

    def logits(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Append tokens to the context and return their logits, `(tokens, vocab)` float32."""
        feeds: dict[str, npt.NDArray[Any]] = dict(self._cache or self._empty_cache())
        total = self._past + len(tokens)
        feeds["input_ids"] = tokens[None, :]
        feeds["attention_mask"] = np.ones((1, total), dtype=np.int64)
        names = [output.name for output in self._session.get_outputs()]
        values = dict(zip(names, self._session.run(names, feeds), strict=True))
        logits: npt.NDArray[np.float32] = values.pop("logits")[0]
        self._cache = {
            name.replace("present", "past_key_values"): value for name, value in values.items()
        }
        self._past = total
        return logits

    def _empty_cache(self) -> dict[str, npt.NDArray[np.float32]]:
        empty = np.zeros((1, self._shape.kv_heads, 0, self._shape.head_dim), dtype=np.float32)
        layers = range(self._shape.layers)
        return {
            f"past_key_values.{index}.{part}": empty
            for index in layers
            for part in ("key", "value")
        }
