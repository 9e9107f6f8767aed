"""What every session checks before it runs a prompt, and where it cuts a prompt into chunks."""

from __future__ import annotations

from collections.abc import Sequence

from edgeagent.errors import EngineError, ResourceError


def check_appended(
    token_ids: Sequence[int], held_len: int, max_context_len: int, vocab_size: int
) -> None:
    """Check that tokens can be appended.

    Args:
        token_ids: What is to be appended.
        held_len: Tokens that the session holds.
        max_context_len: Most tokens that it can hold.
        vocab_size: Width of the logits; the runtime runs ids beyond it without complaint.

    Raises:
        ResourceError: They do not fit.
        EngineError: A token is not in the vocabulary.
    """
    if len(token_ids) > max_context_len - held_len:
        raise ResourceError(
            f"{len(token_ids)} more tokens do not fit the context of {max_context_len} that "
            f"already holds {held_len}."
        )
    if any(not 0 <= token < vocab_size for token in token_ids):
        raise EngineError(
            f"A token id is outside the model's vocabulary of {vocab_size}; the tokenizer is not "
            "the model's own."
        )


def check_rewound(length: int, held_len: int) -> None:
    """Check that a session of `held_len` tokens can be rewound to `length`.

    Raises:
        ValueError: It cannot.
    """
    if not 0 <= length <= held_len:
        raise ValueError(f"cannot rewind to {length} of {held_len} tokens")


def chunk_end(start: int, total: int, chunk_len: int) -> int:
    """Return where the chunk that begins at `start` of `total` tokens ends.

    A single token takes another kernel, which rounds differently: no chunk leaves one over, so
    logits do not depend on where a prompt is cut. Chunks do not get longer instead, as the runtime
    cuts long ones into blocks itself.
    """
    end = min(start + chunk_len, total)
    return end - 1 if total - end == 1 and end - start > 2 else end


def common_prefix_len(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two conversations begin with alike."""
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))
