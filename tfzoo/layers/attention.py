"""Multi-head attention.

Shapes: B batch, T queries, S keys, P keys of earlier calls, D hidden_dim, N heads, G
key-value heads, H head size.
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
from tfzoo.layers.parts import copied, part_of, with_parts

# Added to the score of a hidden key: exp() of it is exactly 0 in float32, and a row
# whose keys are all hidden stays finite, which minus infinity would not.
HIDDEN = -1e9


@keras.saving.register_keras_serializable("tfzoo")
class Attention(LayerKeywords, keras.layers.Layer):
    """Scaled dot-product attention of a sequence to itself, or to `context`.

    Scores and softmax are float32 whatever the compute dtype is.

    Args:
        num_heads: Number of heads N.
        dropout: Share of the attention weights zeroed while training, 0 to 1.
        output_stddev: Standard deviation with which the output projection begins.
        num_key_value_heads: G, must divide N: as many queries share a key and a value
            (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245). None: N.
        head_dim: H; None: D / N, which N must divide.
        use_bias: Whether the projections of queries, keys and values add a bias.
        output_bias: Whether the output projection does; None: as `use_bias`.
        scale: What scores are multiplied with; None: H^-1/2.
        head_norm: A normalisation of which queries and keys of every head get one each
            (Dehghani et al. 2023, section 2); None for none.
        rotary: A `Rotary` that turns queries and keys; None for none.
        window: How many positions back a key may lie, its own one included; None: any.

    Call arguments:
        x: (B, T, D) queries.
        context: (B, S, D) keys and values. None attends to `x`.
        attention_mask: Boolean, broadcasts to (B, N, T, S); False hides a key. (Keras
            gives an argument named `mask` a meaning of its own.)
        positions: Integers (B, T) of the tokens of `x`, for `rotary` and `window`;
            None counts from 0.

    Returns:
        (B, T, D).

    Source: Vaswani et al. 2017, section 3.2, https://arxiv.org/abs/1706.03762
    """

    parts = ("head_norm", "rotary")

    def __init__(
        self,
        num_heads,
        dropout=0.0,
        output_stddev=0.02,
        *,
        num_key_value_heads=None,
        head_dim=None,
        use_bias=True,
        output_bias=None,
        scale=None,
        head_norm=None,
        rotary=None,
        window=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = dropout
        self.output_stddev = output_stddev
        self.num_key_value_heads = num_key_value_heads
        self.head_dim = head_dim
        self.use_bias = use_bias
        self.output_bias = output_bias
        self.scale = scale
        self.window = window
        shared = num_heads if num_key_value_heads is None else num_key_value_heads
        if shared < 1 or num_heads % shared:
            raise ValueError(
                "num_key_value_heads must divide num_heads. Received: "
                f"num_heads={num_heads}, num_key_value_heads={num_key_value_heads}"
            )
        if window is not None and window < 1:
            raise ValueError(f"window must be 1 or more. Received: {window}")
        policy = self.dtype_policy
        self.dropout_layer = Dropout(dropout, dtype=policy, name="dropout")
        self.rotary = copied(rotary, "rotary", policy)
        self.query_norm = copied(head_norm, "query_norm", policy)
        self.key_norm = copied(head_norm, "key_norm", policy)

    def build(self, x_shape, context_shape=None):
        dim = x_shape[-1]
        if self.head_dim is None and dim % self.num_heads:
            raise ValueError(
                "num_heads must divide hidden_dim. "
                f"Received: hidden_dim={dim}, num_heads={self.num_heads}"
            )
        self.head_size = self.head_dim or dim // self.num_heads
        self.groups = self.num_key_value_heads or self.num_heads

        def projection(name, units, use_bias, stddev=0.02):
            return keras.layers.Dense(
                units,
                use_bias=use_bias,
                kernel_initializer=truncated_normal(stddev),
                dtype=self.dtype_policy,
                name=name,
            )

        inner, shared = (n * self.head_size for n in (self.num_heads, self.groups))
        output_bias = self.use_bias if self.output_bias is None else self.output_bias
        self.query = projection("query", inner, self.use_bias)
        self.key = projection("key", shared, self.use_bias)
        self.value = projection("value", shared, self.use_bias)
        self.output_projection = projection(
            "output", dim, output_bias, self.output_stddev
        )
        self.query.build(x_shape)
        self.output_projection.build((*x_shape[:-1], inner))
        for layer in (self.key, self.value):
            layer.build(context_shape or x_shape)
        if self.query_norm is not None:
            self.query_norm.build((None, self.num_heads, None, self.head_size))
            self.key_norm.build((None, self.groups, None, self.head_size))

    def call(self, x, context=None, attention_mask=None, positions=None, training=None):
        if context is None:
            context = x
        else:
            self._check_context()
        query = self._split(self.query(x))  # (B, N, T, H)
        key = self._split(self.key(context))  # (B, G, S, H)
        value = self._split(self.value(context))
        query, key = self._placed(query, key, positions)
        scores = ops.matmul(self._grouped(query), ops.transpose(key, (0, 1, 3, 2)))
        scores = self._by_head(scores)
        mask = attention_mask
        if self.window is not None:
            if positions is None:
                positions = ops.expand_dims(ops.arange(ops.shape(x)[1]), 0)
            near = self._near(positions, ops.expand_dims(positions, 1))
            mask = near if mask is None else ops.logical_and(mask, near)
        weights = self._softmax(ops.cast(scores, "float32"), mask)
        weights = self.dropout_layer(weights, training=training)
        y = self._by_head(ops.matmul(self._grouped(weights), value))
        return self.output_projection(self._join(y))

    def state(self, rows, columns=0):
        """What `step` reads of P columns of B rows, all of it zero.

        A tuple of keys and values (B, G, P, H) and, with a window, positions (B, 1, P).
        """
        shape = (rows, self.groups, columns, self.head_size)
        state = tuple(ops.zeros(shape, self.compute_dtype) for _ in range(2))
        if self.window is None:
            return state
        return (*state, ops.zeros((rows, 1, columns), "int32"))

    def step(self, x, past, mask, kernels=None, positions=None):
        """Attends from a few positions to those before them and to one another.

        What `call` computes at these positions, without computing the others again.
        The past is read where it lies: neither written nor copied.

        Args:
            x: (B, T, D).
            past: The state of the positions before, as of `state`.
            mask: Boolean, broadcasts to (B, N, T, P + T), past keys first; False
                hides a key.
            kernels: As `step_kernels` gives them, or None.
            positions: Integers (B, T), needed with `rotary` or `window`.

        Returns:
            A tuple of the output (B, T, D) and the state of `x` alone.
        """
        past_keys, past_values, *past_positions = past
        layers = (self.query, self.key, self.value)
        query, keys, values = map(self._split, few_rows_of_several(layers, x, kernels))
        query, keys = self._placed(query, keys, positions)
        state = (keys, values)
        if self.window is not None:
            here = ops.expand_dims(ops.cast(positions, "int32"), 1)  # (B, 1, T)
            seen = ops.concatenate([*past_positions, here], axis=-1)
            mask = ops.logical_and(mask, self._near(positions, seen))
            state = (*state, here)
        scores = self._scores_of_step(query, past_keys, keys)
        weights = self._softmax(ops.concatenate(scores, axis=-1), mask)
        weights = self._grouped(weights)
        num_new = ops.shape(keys)[2]
        y = ops.matmul(weights[..., :-num_new], past_values)
        y = y + ops.matmul(weights[..., -num_new:], values)
        y = few_rows(self.output_projection, self._join(self._by_head(y)), kernels)
        return y, state

    def memory(self, context):
        """What `recall` reads of a context (B, S, D): keys and values (B, G, S, H)."""
        self._check_context()
        keys, values = self._split(self.key(context)), self._split(self.value(context))
        if self.key_norm is not None:
            keys = self.key_norm(keys)
        return keys, values

    def recall(self, x, memory, mask=None, kernels=None):
        """Attends from a few positions to a context whose keys were made before.

        What `call` computes there with `context`.

        Args:
            x: (B, T, D).
            memory: As of `memory`.
            mask: Boolean, broadcasts to (B, N, T, S); False hides a key.
            kernels: As `recall_kernels` gives them, or None.

        Returns:
            (B, T, D).
        """
        keys, values = memory
        query = self._split(few_rows(self.query, x, kernels))
        if self.query_norm is not None:
            query = self.query_norm(query)
        (scores,) = self._scores_of_step(query * self._scale, keys)
        weights = self._grouped(self._softmax(scores, mask))
        y = self._join(self._by_head(ops.matmul(weights, values)))
        return few_rows(self.output_projection, y, kernels)

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

    def recall_kernels(self, transposed):
        """As `step_kernels`, for `recall`."""
        return {
            **step_kernels([self.query], transposed),
            **step_kernels([self.output_projection], transposed),
        }

    def _check_context(self):
        if self.rotary or self.window:
            raise ValueError(
                "rotary and window are of a sequence that attends to itself. "
                "Received: context"
            )

    def _placed(self, query, key, positions):
        """Queries and keys as scores are made of them: normalised, turned, scaled."""
        if self.query_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if self.rotary is not None:
            if positions is None:
                positions = ops.arange(ops.shape(query)[2])
            query, key = self.rotary(query, positions), self.rotary(key, positions)
        return query * self._scale, key

    @property
    def _scale(self):
        return self.head_size**-0.5 if self.scale is None else self.scale

    def _scores_of_step(self, query, *keys):
        """float32 scores (B, N, T, S) of a few queries and each of the keys.

        The keys are the left factor, as XLA copies a right one that it must transpose.
        """
        query = ops.transpose(self._grouped(query), (0, 1, 3, 2))  # (B, G, H, T N / G)
        return [
            self._by_head(
                ops.transpose(ops.cast(ops.matmul(k, query), "float32"), (0, 1, 3, 2))
            )
            for k in keys
        ]

    def _near(self, positions, seen):
        """Which keys at positions (B, 1, S) are within the window, (B, 1, T, S)."""
        positions, seen = ops.cast(positions, "int32"), ops.cast(seen, "int32")
        distance = ops.expand_dims(positions, -1) - seen
        return ops.expand_dims(distance < self.window, 1)

    def _softmax(self, scores, mask):
        """Weights of float32 scores (B, N, T, S), in the compute dtype."""
        if mask is not None:
            scores = scores + (1.0 - ops.cast(mask, "float32")) * HIDDEN
        if scores.shape[-1] == 1:  # Keras warns of a softmax over one key
            return ops.ones_like(scores, dtype=self.compute_dtype)
        return ops.cast(ops.softmax(scores), self.compute_dtype)

    def _grouped(self, x):
        """(B, N, T, ...) -> (B, G, T N / G, ...): those that share a key together."""
        if self.groups == self.num_heads:
            return x
        batch, _, length, width = ops.shape(x)
        rows = length * (self.num_heads // self.groups)
        return ops.reshape(x, (batch, self.groups, rows, width))

    def _by_head(self, x):
        """The way back: (B, G, T N / G, ...) -> (B, N, T, ...)."""
        if self.groups == self.num_heads:
            return x
        batch, _, rows, width = ops.shape(x)
        length = rows // (self.num_heads // self.groups)
        return ops.reshape(x, (batch, self.num_heads, length, width))

    def _split(self, x):
        """(B, T, heads times H) -> (B, heads, T, H)."""
        batch, length, width = ops.shape(x)
        heads = width // self.head_size
        shape = inferred((batch, length, heads, self.head_size))
        x = ops.reshape(x, shape)
        return ops.transpose(x, (0, 2, 1, 3))

    def _join(self, x):
        """(B, N, T, H) -> (B, T, N times H)."""
        x = ops.transpose(x, (0, 2, 1, 3))
        batch, length, _, _ = ops.shape(x)
        shape = inferred((batch, length, self.num_heads * self.head_size))
        return ops.reshape(x, shape)

    def get_config(self):
        names = (
            *("num_heads", "dropout", "output_stddev", "num_key_value_heads"),
            *("head_dim", "use_bias", "output_bias", "scale", "window"),
        )
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "head_norm": part_of(self.query_norm),
            "rotary": part_of(self.rotary),
        }

    @classmethod
    def from_config(cls, config):
        return with_parts(cls, config)

    def compute_output_shape(self, x_shape, context_shape=None):
        return x_shape
