"""One tiny checkpoint: its configuration, its weights, and the forms it is written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tiny_checkpoints.decoder import decoder_logits
from tiny_checkpoints.folder import Dtype, write_folder
from tiny_checkpoints.randomness import NamedStream
from tiny_checkpoints.vocabulary import Vocabulary
from tiny_checkpoints.weights import Weights, random_weights

_TOKENS = 40


@dataclass(frozen=True)
class TinyCheckpoint:
    """A random model of one family.

    Attributes:
        name: Key of `FAMILY_CHECKPOINTS`; the weights are seeded by it.
        vocabulary: Its tokens and chat template.
        config: Contents of config.json as transformers 5 writes it.
        published: The same in the words of the files on the Hub, which transformers 4 wrote:
            `rope_theta` and `rope_scaling` instead of `rope_parameters`.
        gguf_architecture: `general.architecture` of its GGUF, `None` where a GGUF cannot express
            the model.
        gguf_keeps_window: Whether its GGUF states the sliding window that the model has.
    """

    name: str
    vocabulary: Vocabulary
    config: Mapping[str, Any]
    published: Mapping[str, Any]
    gguf_architecture: str | None
    gguf_keeps_window: bool = True

    @property
    def tokens(self) -> list[int]:
        """The ids that the reference logits belong to: 40, longer than every sliding window."""
        stream = NamedStream(f"{self.name}/tokens")
        ids = stream.integers(len(self.vocabulary.base), _TOKENS)
        bos = self.vocabulary.bos_id
        return ids if bos is None else [bos, *ids[1:]]

    @cached_property
    def weights(self) -> Weights:
        """Every tensor by its name in transformers; exact in float32, bfloat16 and float16."""
        return random_weights(self.name, self.config)

    @property
    def gguf_config(self) -> Mapping[str, Any]:
        """The configuration as far as the GGUF expresses it: what its reader should compute."""
        if self.gguf_keeps_window:
            return self.config
        return {**self.config, "sliding_window": None}

    def write_folder(
        self,
        folder: Path,
        *,
        dtype: Dtype = "float32",
        shards: int = 1,
        style: Literal["current", "published"] = "current",
    ) -> Path:
        """Write a Hugging Face folder and return it.

        Args:
            folder: Created if it does not exist.
            dtype: How the weights are stored.
            shards: Weight files; more than one come with `model.safetensors.index.json`.
            style: Whether config.json is as transformers 5 or as transformers 4 writes it.
        """
        config = self.config if style == "current" else self.published
        write_folder(folder, config, self.weights, self.vocabulary, dtype=dtype, shards=shards)
        return folder

    def write_gguf(
        self,
        path: Path,
        *,
        kind: str = "F32",
        kinds: Mapping[str, str] | None = None,
        tensors_per_part: int = 0,
    ) -> Path:
        """Write the GGUF that llama.cpp's converter makes of this model.

        Args:
            path: The file.
            kind: ggml type of the matrices: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, and
                in a `wide` checkpoint Q4_K, Q5_K and Q6_K.
            kinds: Other types by tensor (`token_embd.weight`, `blk.0.attn_v.weight`) or by the
                part of the block (`attn_v`).
            tensors_per_part: Split the file after so many tensors, `STEM-00001-of-0000N.gguf`;
                0 writes one file.

        Returns:
            The file, or the first part.

        Raises:
            ValueError: A GGUF cannot express this model.
        """
        if self.gguf_architecture is None:
            raise ValueError(f"llama.cpp's converter loses what {self.name} computes")
        from tiny_checkpoints.gguf_form import write_gguf  # the environment of torch has no gguf

        return write_gguf(
            path,
            self.gguf_architecture,
            self.config,
            self.weights,
            self.vocabulary,
            kind=kind,
            kinds=kinds or {},
            tensors_per_part=tensors_per_part,
        )

    def gguf_weights(self, path: Path) -> Weights:
        """What a file that `write_gguf` wrote stores, by the names of transformers."""
        from tiny_checkpoints.gguf_form import read_gguf

        return read_gguf(path, self.config)

    def gguf_logits(self, path: Path) -> npt.NDArray[np.float64]:
        """The exact logits of the weights in a file that `write_gguf` wrote, however quantized."""
        return decoder_logits(self.gguf_config, self.gguf_weights(path), self.tokens)

    def wide(self) -> TinyCheckpoint:
        """A checkpoint whose rows fill blocks of 256; it has no recorded logits."""
        sizes = {
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_attention_heads": 2 * self.config["num_attention_heads"],
            "num_key_value_heads": 2 * self.config["num_key_value_heads"],
        }
        return replace(
            self,
            name=f"{self.name}-wide",
            config={**self.config, **sizes},
            published={**self.published, **sizes},
        )
