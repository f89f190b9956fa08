"""Position-wise feed-forward networks, plain and gated, and their activations.

Shapes: B batch, S sequence, D hidden_dim, F intermediate_dim.
"""

import keras
from keras import ops

from tfzoo.layers.dropout import Dropout
from tfzoo.layers.few_rows import few_rows, few_rows_of_several, step_kernels
from tfzoo.layers.initializers import truncated_normal
from tfzoo.layers.keywords import LayerKeywords
from tfzoo.layers.projection import Projection


def gelu(x):
    """Gaussian error linear unit, `x * P(X <= x)`, with the exact error function.

    Written out because `keras.ops.gelu` exports to an invalid ONNX node, and with its
    gradient because in graph mode each array the backward pass needs is a pass over
    memory, and this needs one instead of five.

    Source: Hendrycks and Gimpel 2016, section 2, https://arxiv.org/abs/1606.08415
    """
    return ops.custom_gradient(_gelu_and_gradient)(x)


def _gelu_and_gradient(x):
    below = 0.5 + 0.5 * ops.erf(x * 0.5**0.5)  # P(X <= x)
    density = ops.exp(-0.5 * x * x) * 0.3989422804014327  # 1 / sqrt(2 pi)
    slope = below + x * density

    def gradient(*args, upstream=None):
        return (args[0] if upstream is None else upstream) * slope

    return x * below, gradient


def gelu_tanh(x):
    """The tanh approximation of `gelu`, which GPT-2 was trained with.

    Same source; written with its gradient for the same reason.
    """
    return ops.custom_gradient(_gelu_tanh_and_gradient)(x)


def _gelu_tanh_and_gradient(x):
    square = 0.044715 * x * x
    tanh = ops.tanh(0.7978845608028654 * x * (1.0 + square))  # sqrt(2 / pi)
    below = 0.5 + 0.5 * tanh  # about P(X <= x)
    # 2 * below * (1 - below) is half of 1 - tanh ** 2
    inner_slope = 0.7978845608028654 + 2.3936536824085963 * square
    slope = below + 2.0 * x * below * (1.0 - below) * inner_slope

    def gradient(*args, upstream=None):
        return (args[0] if upstream is None else upstream) * slope

    return x * below, gradient


def silu(x):
    """Sigmoid linear unit, `x` times its logistic function, rounded once.

    Source: Hendrycks and Gimpel 2016, section 2, https://arxiv.org/abs/1606.08415
    """
    return ops.cast(ops.silu(ops.cast(x, "float32")), x.dtype)


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": ops.relu,
    "silu": silu,
}


def activation_named(name):
    """Returns the activation of that name; the `ValueError` lists the valid names."""
    if name not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {sorted(ACTIVATIONS)}. Received: {name!r}"
        )
    return ACTIVATIONS[name]


@keras.saving.register_keras_serializable("tfzoo")
class FeedForward(LayerKeywords, keras.layers.Layer):
    """Two dense layers with an activation in between, applied at every position.

    Args:
        intermediate_dim: Size F of the layer in between.
        activation: `"gelu"` (error function), `"gelu_tanh"`, `"relu"` or `"silu"`.
        output_stddev: Standard deviation for initializing the second layer's kernel.
        use_bias: Whether the layers have a bias.
        dropout: Fraction of the layer in between to drop during training, in [0, 1).

    Call arguments:
        x: (B, S, D).

    Returns:
        (B, S, D).

    Source: Vaswani et al. 2017, section 3.3, https://arxiv.org/abs/1706.03762
    """

    inner_names = ("intermediate",)

    def __init__(
        self,
        intermediate_dim,
        activation="gelu",
        output_stddev=0.02,
        use_bias=True,
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dropout = dropout
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.intermediate_dim = intermediate_dim
        self.use_bias = use_bias
        self.activation = activation
        self.activation_function = activation_named(activation)
        self.output_stddev = output_stddev

    def build(self, x_shape):
        def dense(units, name, stddev=0.02):
            return Projection(
                units,
                use_bias=self.use_bias,
                kernel_initializer=truncated_normal(stddev),
                dtype=self.dtype_policy,
                name=name,
            )

        for name in self.inner_names:
            layer = dense(self.intermediate_dim, name)
            layer.build(x_shape)
            setattr(self, name, layer)
        self.output_projection = dense(x_shape[-1], "output", self.output_stddev)
        self.output_projection.build((*x_shape[:-1], self.intermediate_dim))

    @property
    def inner(self):
        """The layers that map D to F."""
        return [getattr(self, name) for name in self.inner_names]

    def call(self, x, training=None):
        x = self.combined(*(f(x) for f in self.inner))
        return self.output_projection(self.dropout_layer(x, training=training))

    def step(self, x, kernels=None):
        """Computes what `call` does, for few positions; see `few_rows`."""
        x = self.combined(*few_rows_of_several(self.inner, x, kernels))
        return few_rows(self.output_projection, x, kernels)

    def combined(self, intermediate):
        """The input of the output projection, from the outputs of `inner`."""
        return self.activation_function(intermediate)

    def step_kernels(self, transposed):
        """The kernels in the layout that `step` takes; see `tfzoo.layers.few_rows`."""
        return {
            **step_kernels(self.inner, transposed),
            **step_kernels([self.output_projection], transposed),
        }

    def compute_output_shape(self, x_shape):
        return x_shape


@keras.saving.register_keras_serializable("tfzoo")
class GatedFeedForward(FeedForward):
    """A feed-forward network with two layers into F; one, activated, gates the other.

    Arguments and shapes are those of `FeedForward`. Llama uses `activation="silu"` and
    `use_bias=False`; T5 v1.1 uses `"gelu_tanh"`.

    Source: Shazeer 2020, section 2, https://arxiv.org/abs/2002.05202
    """

    inner_names = ("gate", "intermediate")

    def combined(self, gate, intermediate):
        return self.activation_function(gate) * intermediate
