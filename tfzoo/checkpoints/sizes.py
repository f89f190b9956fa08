"""Checks, before a model is built, that the file can hold weights of its sizes."""

import math

from tfzoo.errors import CheckpointError

# Allowed excess: a small model is built anyway, so that the error can name a tensor
_SMALL_MODEL = 16 << 20  # weights
_FEW_LAYERS = 32
_TENSORS_PER_LAYER = 12  # at least; GPT-2's


def refuse_larger_than(tensors, sizes, fields, path):
    """Raises `CheckpointError` if a model has far more weights than the file.

    Args:
        tensors: `Tensors` of the file.
        sizes: Constructor arguments of the backbone.
        fields: Dict of argument -> `Field`.
        path: The file that the sizes come from.
    """
    layers, width = sizes["num_layers"], sizes["hidden_dim"]
    rows = ("vocabulary_size", "max_sequence_length", "num_segments")
    needed = sum(sizes.get(name) or 0 for name in rows) * width
    needed += layers * (4 * width + 2 * sizes["intermediate_dim"]) * width
    there = sum(math.prod(tensors.shape(name)) for name in tensors.names)
    room = len(tensors.names) // _TENSORS_PER_LAYER
    if needed > there + _SMALL_MODEL or layers > room + _FEW_LAYERS:
        counts = (*rows, "num_layers", "hidden_dim", "intermediate_dim")
        received = ", ".join(
            f"{fields[name].name}={sizes[name]}" for name in counts if sizes.get(name)
        )
        raise CheckpointError(
            f"The sizes must match the file's {there} weights. Received: {received}.",
            path=path,
            fix="Use config.json and weights of the same model.",
        )
