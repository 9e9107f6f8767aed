"""The check that a checkpoint holds exactly the tensors of a decoder, in their shapes."""

from __future__ import annotations

from collections.abc import Collection

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.protocol import TensorInfo, TensorSource
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.decoder.weights import Matrix
from edgeagent.export.pack.policy import Recipe
from edgeagent.export.pack.storage import CORRECTION_BLOCK, require_storable


def check_tensors(
    source: TensorSource, spec: DecoderSpec, recipe: Recipe, ignored: Collection[str]
) -> None:
    """Check names, shapes and block types of all tensors before anything is written.

    Args:
        source: The checkpoint.
        spec: The decoder that was read from it.
        recipe: How its matrices will be stored.
        ignored: Tensors that are not part of the graph.

    Raises:
        DamagedFileError: A tensor is missing or has the wrong shape.
        UnsupportedError: A block type cannot be stored, or the file holds a tensor that the graph
            would ignore, which means that the model computes something else.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for part in spec.weights.parts():
        if isinstance(part, Matrix):
            # A fused tensor is as long as the end of its last part.
            end = part.first_row + part.rows
            known = shapes.get(part.tensor, (0, part.in_features))
            shapes[part.tensor] = (max(end, known[0]), part.in_features)
        else:
            shapes[part.tensor] = (part.size,)
    for name, shape in shapes.items():
        _check_shape(source, name, shape)
    for matrix in spec.weights.matrices():
        _check_storage(source, matrix, recipe)
    extra = sorted(set(source.tensors) - set(shapes) - set(ignored))
    if extra:
        more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        raise UnsupportedError(
            f"{source.path} has the tensor {extra[0]}{more}, which a {spec.family} decoder"
            " does not use; the model is a variant that is not supported."
        )


def _check_shape(source: TensorSource, name: str, expected: tuple[int, ...]) -> None:
    tensor = source.tensors.get(name)
    if tensor is None:
        raise DamagedFileError(f"{source.path} has no tensor {name}, which this model needs.")
    if tensor.shape != expected:
        raise DamagedFileError(
            f"{source.path}: tensor {name} has shape {_times(tensor.shape)} where the"
            f" hyperparameters say {_times(expected)}."
        )
    _check_type(source, tensor)


def _check_type(source: TensorSource, tensor: TensorInfo) -> None:
    what = f"{source.path}: tensor {tensor.name}"
    if len(tensor.shape) > 1:
        require_storable(tensor.type, source=what)
    elif not tensor.type.is_float or tensor.type.name == "F64":
        raise UnsupportedError(
            f"{what} is stored as {tensor.type}; vectors must be F32, F16 or BF16."
        )


def _check_storage(source: TensorSource, matrix: Matrix, recipe: Recipe) -> None:
    storage = recipe.storage(matrix, source.tensors[matrix.tensor].type)
    multiple = max(storage.block_len, CORRECTION_BLOCK if storage.corrected else 1)
    if matrix.in_features % multiple:
        raise UnsupportedError(
            f"{source.path}: tensor {matrix.tensor} has rows of {matrix.in_features} weights,"
            f" which is not a multiple of the block of {multiple} that it would be stored in."
        )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
