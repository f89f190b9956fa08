"""Normalization: LayerNorm with an explicit gradient, and RMSNorm.

Shapes: ... any leading axes, R all of them together, D hidden_dim.
"""

import keras
from keras import ops

from tfzoo.layers.keywords import LayerKeywords


@keras.saving.register_keras_serializable("tfzoo")
class LayerNorm(LayerKeywords, keras.layers.Layer):
    """Layer normalization over the last axis, with learned scale and offset.

    Computed in float32 regardless of the compute dtype. Results are those of
    `keras.layers.LayerNormalization`, whose graph broadcasts every statistic to the
    full shape and gives each broadcast its own gradient: in graph mode, twice as many
    passes over memory.

    Args:
        epsilon: Added to the variance; BERT uses 1e-12, GPT-2 1e-5.

    Call arguments:
        x: (..., D).

    Returns:
        (..., D).

    Source: Ba et al. 2016, section 3, https://arxiv.org/abs/1607.06450
    """

    def __init__(self, epsilon=1e-12, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # `x` may be more precise than the compute dtype
        self.epsilon = epsilon

    def build(self, x_shape):
        def weight(name, initializer):
            return self.add_weight(
                shape=(x_shape[-1],),
                initializer=initializer,
                autocast=False,  # the norm is computed in float32
                name=name,
            )

        self.gamma, self.beta = weight("gamma", "ones"), weight("beta", "zeros")

    def call(self, x):
        # A tensor: TensorFlow accepts no variables in a function with custom gradient.
        gamma = ops.cast(ops.reshape(self.gamma, (-1,)), "float32")
        scaled = ops.custom_gradient(self._scaled_and_gradient)
        y = scaled(ops.cast(x, "float32"), gamma) + ops.cast(self.beta, "float32")
        return ops.cast(y, self.compute_dtype)

    def _scaled_and_gradient(self, x, gamma):
        centered = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(centered * centered, axis=-1, keepdims=True)
        inverse = ops.rsqrt(variance + self.epsilon)  # (..., 1)
        normal = centered * inverse

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            along = upstream * normal
            # The gradient through the mean is the mean of `scaled` over D; through the
            # variance, it is the mean of `scaled * normal`.
            scaled = upstream * gamma
            drift = ops.mean(scaled, axis=-1, keepdims=True)
            stretch = ops.matmul(along, ops.expand_dims(gamma, -1)) / x.shape[-1]
            to_x = (scaled - drift - normal * stretch) * inverse
            return to_x, ops.sum(ops.reshape(along, (-1, x.shape[-1])), axis=0)

        return normal * gamma, gradient

    def compute_output_shape(self, x_shape):
        return x_shape


@keras.saving.register_keras_serializable("tfzoo")
class RMSNorm(LayerKeywords, keras.layers.Layer):
    """Root mean square normalization over the last axis, with a learned scale.

    Computed in float32 regardless of the compute dtype.

    Args:
        epsilon: Added to the mean square.

    Call arguments:
        x: (..., D).

    Returns:
        (..., D).

    Source: Zhang and Sennrich 2019, section 4, https://arxiv.org/abs/1910.07467
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # `x` may be more precise than the compute dtype
        self.epsilon = epsilon

    def build(self, x_shape):
        self.gamma = self.add_weight(
            shape=(x_shape[-1],),
            initializer="ones",
            autocast=False,  # the norm is computed in float32
            name="gamma",
        )

    def call(self, x):
        x = ops.cast(x, "float32")
        square = ops.mean(x * x, axis=-1, keepdims=True)
        # In bfloat16, published models round before they scale.
        normal = ops.cast(x * ops.rsqrt(square + self.epsilon), self.variable_dtype)
        return ops.cast(normal * self.gamma, self.compute_dtype)

    def compute_output_shape(self, x_shape):
        return x_shape
