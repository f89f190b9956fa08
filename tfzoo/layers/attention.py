"""Multi-head attention.

Shapes: B batch, T queries, S keys, P keys of earlier calls, D hidden_dim, N heads,
H = D / N head size.
"""

import keras
from keras import ops

from tfzoo.layers.dropout import Dropout
from tfzoo.layers.few_rows import (
    few_rows,
    few_rows_of_several,
    inferred,
    step_kernels,
)
from tfzoo.layers.initializers import truncated_normal
from tfzoo.layers.keywords import LayerKeywords

# Added to the score of a hidden key: exp() of it is exactly 0 in float32, and a row
# whose keys are all hidden stays finite, which minus infinity would not.
HIDDEN = -1e9


@keras.saving.register_keras_serializable("tfzoo")
class Attention(LayerKeywords, keras.layers.Layer):
    """Scaled dot-product attention of a sequence to itself, or to `context`.

    Scores and softmax are float32 whatever the compute dtype is.

    Args:
        num_heads: Number of heads N; must divide D.
        dropout: Share of the attention weights zeroed while training, 0 to 1.
        output_stddev: Standard deviation with which the output projection begins.

    Call arguments:
        x: (B, T, D) queries.
        context: (B, S, D) keys and values. None attends to `x`.
        attention_mask: Boolean, broadcasts to (B, N, T, S); False hides a key. (Keras
            gives an argument named `mask` a meaning of its own.)

    Returns:
        (B, T, D).

    Source: Vaswani et al. 2017, section 3.2, https://arxiv.org/abs/1706.03762
    """

    def __init__(self, num_heads, dropout=0.0, output_stddev=0.02, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = dropout
        self.output_stddev = output_stddev
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, x_shape, context_shape=None):
        dim = x_shape[-1]
        if dim % self.num_heads:
            raise ValueError(
                "num_heads must divide hidden_dim. "
                f"Received: hidden_dim={dim}, num_heads={self.num_heads}"
            )
        self.head_dim = dim // self.num_heads

        def projection(name, stddev=0.02):
            return keras.layers.Dense(
                dim,
                kernel_initializer=truncated_normal(stddev),
                dtype=self.dtype_policy,
                name=name,
            )

        self.query, self.key = projection("query"), projection("key")
        self.value = projection("value")
        self.output_projection = projection("output", self.output_stddev)
        for layer in (self.query, self.output_projection):
            layer.build(x_shape)
        for layer in (self.key, self.value):
            layer.build(context_shape or x_shape)

    def call(self, x, context=None, attention_mask=None, training=None):
        context = x if context is None else context
        query = self._split(self.query(x) * self.head_dim**-0.5)  # (B, N, T, H)
        key = self._split(self.key(context))  # (B, N, S, H)
        value = self._split(self.value(context))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        weights = self._softmax(ops.cast(scores, "float32"), attention_mask)
        weights = self.dropout_layer(weights, training=training)
        return self.output_projection(self._join(ops.matmul(weights, value)))

    def state(self, rows, columns=0):
        """Keys and values (B, N, P, H) of B rows and P columns, all of them zero."""
        shape = (rows, self.num_heads, columns, self.head_dim)
        return tuple(ops.zeros(shape, self.compute_dtype) for _ in range(2))

    def step(self, x, past, mask, kernels=None):
        """Attends from a few positions to those before them and to one another.

        What `call` computes at these positions, without computing the others again.
        The past is read where it lies: neither written nor copied.

        Args:
            x: (B, T, D).
            past: Keys and values of the positions before, as of `state`.
            mask: Boolean, broadcasts to (B, N, T, P + T), past keys first; False
                hides a key.
            kernels: As `step_kernels` gives them, or None.

        Returns:
            A tuple of the output (B, T, D) and the state of `x` alone: keys and values
            (B, N, T, H).
        """
        past_keys, past_values = past
        layers = (self.query, self.key, self.value)
        query, keys, values = map(self._split, few_rows_of_several(layers, x, kernels))
        query = query * self.head_dim**-0.5
        # The past is the left factor, as XLA copies a right one that it must transpose.
        query = ops.transpose(query, (0, 1, 3, 2))  # (B, N, H, T)
        scores = [
            ops.transpose(ops.cast(ops.matmul(k, query), "float32"), (0, 1, 3, 2))
            for k in (past_keys, keys)
        ]
        weights = self._softmax(ops.concatenate(scores, axis=-1), mask)
        num_new = ops.shape(keys)[2]
        y = ops.matmul(weights[..., :-num_new], past_values)
        y = y + ops.matmul(weights[..., -num_new:], values)
        y = few_rows(self.output_projection, self._join(y), kernels)
        return y, (keys, values)

    def step_kernels(self, transposed):
        """The kernels in the form in which `step` multiplies fastest on a CPU.

        Made once, outside of the loop.

        Args:
            transposed: Whether for four rows (B times T) and more, or for fewer.
        """
        return {
            **step_kernels([self.query, self.key, self.value], transposed),
            **step_kernels([self.output_projection], transposed),
        }

    def _softmax(self, scores, mask):
        """Weights of float32 scores (B, N, T, S), in the compute dtype."""
        if mask is not None:
            scores = scores + (1.0 - ops.cast(mask, "float32")) * HIDDEN
        if scores.shape[-1] == 1:  # Keras warns of a softmax over one key
            return ops.ones_like(scores, dtype=self.compute_dtype)
        return ops.cast(ops.softmax(scores), self.compute_dtype)

    def _split(self, x):
        """(B, T, D) -> (B, N, T, H)."""
        batch, length, _ = ops.shape(x)
        shape = inferred((batch, length, self.num_heads, self.head_dim))
        x = ops.reshape(x, shape)
        return ops.transpose(x, (0, 2, 1, 3))

    def _join(self, x):
        """(B, N, T, H) -> (B, T, D)."""
        x = ops.transpose(x, (0, 2, 1, 3))
        batch, length, _, _ = ops.shape(x)
        shape = inferred((batch, length, self.num_heads * self.head_dim))
        return ops.reshape(x, shape)

    def compute_output_shape(self, x_shape, context_shape=None):
        return x_shape
