"""A head on every token.

Shapes: B batch, S sequence, C outputs.
"""

import keras

from tfzoo.layers import Dropout
from tfzoo.layers.initializers import truncated_normal


def token_outputs(backbone, num_outputs, dropout, *, name):
    """Applies a named dense layer to every token of a backbone: (B, S, C) float32."""
    x = backbone.output["sequence_output"]
    x = Dropout(dropout, dtype=backbone.dtype_name, name=f"{name}_dropout")(x)
    return keras.layers.Dense(
        num_outputs,
        kernel_initializer=truncated_normal(),
        dtype="float32",
        name=name,
    )(x)
