"""The least that a cell must read and compute, from the sizes of the model.

Bytes: stored weights as they lie in the package, once per native call, and the keys and values of
every position that is attended to, once. What a runtime reads on top (weights that it widened or
packed anew, activations, tables) is not counted, so a utilization of less than 100 % may also mean
that it reads more than it must.

Operations: a multiplication and an addition are two. Every weight of a matrix takes part once per
token; the head only where logits are computed. Attention adds, per query head and attended
position, two products of `head_dim` (Chowdhery et al., PaLM, 2022, appendix B, there without the
causal mask). Windows of models with local attention are not known here: beyond the window, both
figures are too high for them.
"""

from __future__ import annotations

from edgeagent.record.bench import Cell, Reading
from edgeagent.record.bench_run import ModelSizes


def attended_positions(first: int, tokens: int) -> int:
    """Return the positions that `tokens` tokens attend to together, the first of them at `first`.

    A token at position p attends to p + 1 positions.
    """
    return tokens * first + tokens * (tokens + 1) // 2


def matrix_parameters(sizes: ModelSizes) -> tuple[int, int]:
    """Return the weights of the blocks and of the head that take part in products.

    Norms and biases, far below 1 % of all weights, count as weights of the blocks.
    """
    head = sizes.vocab * sizes.hidden
    embedding = 0 if sizes.tied else head
    return max(0, sizes.parameters - head - embedding), head


def decode_bytes(sizes: ModelSizes, cell: Cell) -> float:
    """Return the bytes that one decode step reads on average over the cell's steps."""
    positions = attended_positions(cell.depth, cell.tokens) / cell.tokens
    return sizes.step_weight_bytes + sizes.kv_bytes_per_token * positions


def decode_ops(sizes: ModelSizes, cell: Cell) -> float:
    """Return the operations of one decode step on average over the cell's steps."""
    blocks, head = matrix_parameters(sizes)
    positions = attended_positions(cell.depth, cell.tokens) / cell.tokens
    return 2 * (blocks + head) + _attention_ops(sizes) * positions


def prefill_bytes(sizes: ModelSizes, cell: Cell, chunk_len: int) -> float:
    """Return the bytes that a prefill reads: the weights and the cache once per native call."""
    total = 0.0
    for start in range(0, cell.tokens, chunk_len):
        end = min(start + chunk_len, cell.tokens)
        total += sizes.step_weight_bytes + sizes.kv_bytes_per_token * (cell.depth + end)
    return total


def prefill_ops(sizes: ModelSizes, cell: Cell, chunk_len: int) -> float:
    """Return the operations of a prefill."""
    blocks, head = matrix_parameters(sizes)
    head_rows = cell.tokens if sizes.head_rows == "all" else -(-cell.tokens // chunk_len)
    attention = _attention_ops(sizes) * attended_positions(cell.depth, cell.tokens)
    return 2 * blocks * cell.tokens + 2 * head * head_rows + attention


def _attention_ops(sizes: ModelSizes) -> int:
    """Operations per attended position: scores and weighted sum, in all layers."""
    return 4 * sizes.layers * sizes.heads * sizes.head_dim


def measured_tokens(cell: Cell, readings: tuple[Reading, ...]) -> int:
    """Return the tokens that the repetitions of a cell ran."""
    if cell.kind == "prefill":
        return cell.tokens * len(readings)
    return sum(len(reading.step_ns) for reading in readings)


def measured_ns(cell: Cell, readings: tuple[Reading, ...]) -> int:
    """Return the time that they took, at least 1: of prompts until their logits were known."""
    if cell.kind == "prefill":
        return max(1, sum(reading.prefill_ns or 0 for reading in readings))
    return max(1, sum(sum(reading.step_ns) for reading in readings))
