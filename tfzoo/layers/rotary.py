"""Rotary position embeddings.

Shapes: B batch, N heads, T positions, H head size, even.
"""

import math

import keras
from keras import ops

from tfzoo.layers.keywords import LayerKeywords


@keras.saving.register_keras_serializable("tfzoo")
class Rotary(LayerKeywords, keras.layers.Layer):
    """Rotates feature pairs (i, i + H / 2) by an angle that grows with position.

    The dot product of a query and a key then depends only on their distance. Computed
    in float32 regardless of the compute dtype.

    Args:
        theta: Base of the wavelengths; the slowest pair rotates by theta^(2 / H - 1)
            radians per position.

    Call arguments:
        x: (B, N, T, H).
        positions: (B, T) integers, or (T,) for all rows.

    Returns:
        As `x`.

    Source: Su et al. 2021, section 3.2, https://arxiv.org/abs/2104.09864; the pairing:
        Touvron et al. 2023, as in `transformers` (`rotate_half`)
    """

    def __init__(self, theta=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.theta = theta

    def call(self, x, positions):
        half, odd = divmod(x.shape[-1], 2)
        if odd:
            raise ValueError(f"The head size must be even. Received: {x.shape[-1]}")
        powers = ops.arange(half, dtype="float32") / half
        frequencies = ops.exp(-powers * math.log(self.theta))
        angles = ops.expand_dims(ops.cast(positions, "float32"), -1) * frequencies
        if len(angles.shape) == 3:
            angles = ops.expand_dims(angles, 1)  # the same for all heads
        cosine, sine = ops.cos(angles), ops.sin(angles)
        first, second = ops.split(ops.cast(x, "float32"), 2, axis=-1)
        turned = [first * cosine - second * sine, second * cosine + first * sine]
        return ops.cast(ops.concatenate(turned, axis=-1), x.dtype)

    def compute_output_shape(self, x_shape, positions_shape=None):
        return x_shape
