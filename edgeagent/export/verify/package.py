"""The package computed by onnxruntime, part by part, with the memory of one part.

The parts are built by the same code and read the same bytes of the weights file as the whole; that
they compute the same is checked against the logits of the whole in onnxruntime-genai.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgeagent.errors import VerificationError
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.graph.stored import StoredDecoder, StoredLayer
from edgeagent.privacy import disable_dependency_telemetry

if TYPE_CHECKING:
    from onnx import ModelProto

Floats = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]

_PART_BYTES = 192 << 20
"""Stored weights of the blocks that are loaded at a time; a larger block is a part of its own."""


class PackageDecoder:
    """Runs the weights that were written for a package."""

    def __init__(
        self, folder: Path, spec: DecoderSpec, stored: StoredDecoder, accuracy_level: int
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            folder: Of the weights file.
            spec: What the package computes.
            stored: Its weights.
            accuracy_level: Of its block-quantized products.
        """
        self._folder = folder
        self._spec = spec
        self._stored = stored
        self._accuracy_level = accuracy_level

    def hidden_states(
        self, windows: Sequence[Tokens], on_layers: Callable[[int], None] = lambda _count: None
    ) -> list[Floats]:
        """Run windows of tokens.

        Args:
            windows: Each `(tokens,)`, run on its own from position 0.
            on_layers: Told the number of blocks after each part.

        Returns:
            Final states, normed, `(tokens, hidden)` float32 of every window.

        Raises:
            VerificationError: onnxruntime refuses a part.
        """
        from edgeagent.export.graph.decoder import blocks_part, embedding_part

        session = self._load(embedding_part(self._spec, self._stored, self._accuracy_level))
        states = [_run(session, input_ids=tokens[None, :]) for tokens in windows]
        del session
        for layers in self._parts():
            model = blocks_part(self._spec, self._stored, self._accuracy_level, layers)
            session = self._load(model)
            for at, state in enumerate(states):
                mask = np.ones((1, len(state[0])), dtype=np.int64)
                named = dict(zip(("residual", "delta"), state, strict=False))
                states[at] = _run(session, attention_mask=mask, **named)
            del session
            on_layers(len(layers))
        return [hidden for (hidden,) in states]

    def head(self, start: int, stop: int) -> Callable[[Floats], Floats]:
        """The head for some tokens: `(positions, hidden)` to `(positions, stop - start)`.

        Raises:
            VerificationError: onnxruntime refuses it.
        """
        from edgeagent.export.graph.decoder import head_part

        stored = self._stored.with_head_rows(start, stop)
        session = self._load(head_part(self._spec, stored, self._accuracy_level))
        return lambda hidden: _run(session, hidden=hidden[None])[0][0]

    def _parts(self) -> Iterator[range]:
        start, size = 0, 0
        for index, layer in enumerate(self._stored.layers):
            own = self._layer_bytes(layer)
            if size and size + own > _PART_BYTES:
                yield range(start, index)
                start, size = index, 0
            size += own
        yield range(start, len(self._stored.layers))

    def _layer_bytes(self, layer: StoredLayer) -> int:
        linears = (*layer.qkv, layer.attention_output, layer.gate, layer.up, layer.down)
        names = [name for linear in linears for name in linear.matrix.arrays()]
        return sum(self._stored.arrays[name].region.nbytes for name in names)

    def _load(self, model: ModelProto) -> Any:
        disable_dependency_telemetry()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(self._folder)
        )
        # The check shares the machine with whatever the user does: no spinning between runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Buffers of a run are large and few: return them instead of keeping an arena.
        options.enable_cpu_mem_arena = False
        try:
            return onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's exceptions have no common base
            raise VerificationError(f"onnxruntime cannot load the new package: {error}") from error


def _run(session: Any, **inputs: npt.NDArray[Any]) -> list[Floats]:
    values: list[Floats] = session.run(None, inputs)
    return values
