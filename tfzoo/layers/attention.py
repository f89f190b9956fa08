"""Multi-head attention.

Shapes: B batch, T queries, S keys, P keys from earlier calls, D hidden_dim, N heads,
G key-value heads, H head size.
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
from tfzoo.layers.projection import Projection

# Added to the score of a masked key: its exp() is exactly 0 in float32, and a row whose
# keys are all masked stays finite, which it would not with minus infinity.
HIDDEN = -1e9


@keras.saving.register_keras_serializable("tfzoo")
class Attention(LayerKeywords, keras.layers.Layer):
    """Scaled dot-product attention over a sequence itself, or over `context`.

    Scores and softmax are computed in float32 regardless of the compute dtype.

    Args:
        num_heads: Number of heads N.
        dropout: Fraction of the attention weights to drop during training, in [0, 1).
        output_stddev: Standard deviation for initializing the output projection.
        num_key_value_heads: Number of key-value heads G, which must divide N; N / G
            query heads share one key-value head (grouped-query attention, Ainslie et
            al. 2023, https://arxiv.org/abs/2305.13245). Defaults to N.
        head_dim: Head size H. Defaults to D / N; N must then divide D.
        use_bias: Whether the query, key and value projections have a bias.
        output_bias: Whether the output projection has a bias. Defaults to `use_bias`.
        scale: Factor for the scores. Defaults to H^-1/2.
        head_norm: Normalization layer applied to the queries and keys of each head; it
            is copied, once for each (Dehghani et al. 2023, section 2). None for none.
        rotary: A `Rotary` applied to queries and keys. None for none.
        window: Number of most recent positions a query attends to, its own included.
            None for no limit.

    Call arguments:
        x: (B, T, D) queries.
        context: (B, S, D) keys and values. None for self-attention.
        attention_mask: Boolean, broadcasts to (B, N, T, S); False masks a key. (Not
            named `mask`, which Keras handles specially.)
        positions: (B, T) integer positions of the tokens of `x`, for `rotary` and
            `window`. None counts from 0.
        bias: Added to the scores; broadcasts to (B, N, T, S). None for none.

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
            raise ValueError(f"window must be >= 1. Received: window={window}")
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
            return Projection(
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

    def call(
        self,
        x,
        context=None,
        attention_mask=None,
        positions=None,
        bias=None,
        training=None,
    ):
        if context is None:
            context = x
        else:
            self._check_context()
        query = self._split(self.query(x))  # (B, N, T, H)
        key = self._split(self.key(context))  # (B, G, S, H)
        value = self._split(self.value(context))
        query, key = self._placed(query, key, positions)
        query = query * self._scale
        scores = ops.matmul(self._grouped(query), ops.transpose(key, (0, 1, 3, 2)))
        scores = self._by_head(scores)
        mask = attention_mask
        if self.window is not None:
            if positions is None:
                positions = ops.expand_dims(ops.arange(ops.shape(x)[1]), 0)
            near = self._near(positions, ops.expand_dims(positions, 1))
            mask = near if mask is None else ops.logical_and(mask, near)
        weights = self._softmax(_biased(ops.cast(scores, "float32"), bias), mask)
        weights = self.dropout_layer(weights, training=training)
        y = self._by_head(ops.matmul(self._grouped(weights), value))
        return self.output_projection(self._join(y))

    def state(self, rows, columns=0):
        """A zero state for `step`, for B rows and P columns.

        A tuple of keys and values (B, G, P, H) and, with a window, positions (B, 1, P).
        """
        shape = (rows, self.groups, columns, self.head_size)
        state = tuple(ops.zeros(shape, self.compute_dtype) for _ in range(2))
        if self.window is None:
            return state
        return (*state, ops.zeros((rows, 1, columns), "int32"))

    def step(self, x, past, mask, kernels=None, positions=None, bias=None):
        """Attends from a few new positions to the earlier ones and to each other.

        Computes what `call` computes at these positions, without recomputing the
        others. The past is read in place: neither written nor copied.

        Args:
            x: (B, T, D).
            past: State of the earlier positions, as returned by `state`.
            mask: Boolean, broadcasts to (B, N, T, P + T), past keys first; False
                masks a key.
            kernels: The result of `step_kernels`, or None.
            positions: (B, T) integers; required with `rotary` or `window`.
            bias: Broadcasts to (B, N, T, P + T), as in `call`.

        Returns:
            A tuple of the output (B, T, D) and the state of `x` only.

        Raises:
            ValueError: positions are required but None.
        """
        if positions is None and (self.rotary or self.window):
            raise ValueError(
                "positions must be given with rotary or window. Received: None"
            )
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
        scores = _biased(self._scores_of_step(query, past_keys, keys), bias)
        y = self._weighted(scores, mask, past_values, values)
        y = ops.cast(self._join(y), self.compute_dtype)
        y = few_rows(self.output_projection, y, kernels)
        return y, state

    def memory(self, context):
        """Keys and values (B, G, S, H) of a context (B, S, D), for `recall`."""
        self._check_context()
        keys, values = self._split(self.key(context)), self._split(self.value(context))
        if self.key_norm is not None:
            keys = self.key_norm(keys)
        return keys, values

    def recall(self, x, memory, mask=None, kernels=None):
        """Attends from a few positions to a context with precomputed keys and values.

        Computes what `call` does with `context`. A context may be shared by several
        adjacent rows of `x`, such as the beams of a source: its keys are read once.

        Args:
            x: (R, T, D), R a multiple of B.
            memory: The result of `memory`, of B contexts.
            mask: Boolean, broadcasts to (B, N, R / B * T, S); False masks a key.
            kernels: The result of `recall_kernels`, or None.

        Returns:
            (R, T, D).
        """
        keys, values = memory
        shape, shares = ops.shape(x), x.shape[0] is None or x.shape[0] != keys.shape[0]
        if shares:
            x = ops.reshape(x, (ops.shape(keys)[0], -1, shape[-1]))
        query = self._split(few_rows(self.query, x, kernels))
        if self.query_norm is not None:
            query = self.query_norm(query)
        scores = self._scores_of_step(query, keys)
        weights = self._grouped(self._softmax(scores, mask))
        y = self._join(self._by_head(ops.matmul(weights, values)))
        y = few_rows(self.output_projection, y, kernels)
        return ops.reshape(y, inferred(shape)) if shares else y

    def step_kernels(self, transposed):
        """The kernels in the layout that is fastest for `step` on a CPU.

        Compute them once, outside the decoding loop.

        Args:
            transposed: True for four or more rows (B times T), False for fewer.
        """
        return {
            **step_kernels([self.query, self.key, self.value], transposed),
            **step_kernels([self.output_projection], transposed),
        }

    def recall_kernels(self, transposed):
        """Like `step_kernels`, for `recall`."""
        return {
            **step_kernels([self.query], transposed),
            **step_kernels([self.output_projection], transposed),
        }

    def _check_context(self):
        if self.rotary or self.window:
            raise ValueError(
                "context must be None with rotary or window, which are for "
                "self-attention only. Received: a context"
            )

    def _placed(self, query, key, positions):
        """Queries and keys, normalized and rotated."""
        if self.query_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if self.rotary is not None:
            if positions is None:
                positions = ops.arange(ops.shape(query)[2])
            turns = self.rotary.turns(positions, self.head_size)
            query, key = (self.rotary.turn(x, turns) for x in (query, key))
        return query, key

    @property
    def _scale(self):
        return self.head_size**-0.5 if self.scale is None else self.scale

    def _scores_of_step(self, query, *keys):
        """Float32 scores (B, N, T, S) of a few queries with each of the `keys`, joined.

        The keys are the left factor: XLA would copy a right one to transpose it.
        """
        query = self._grouped(ops.cast(query, "float32") * self._scale)
        query = ops.transpose(query, (0, 1, 3, 2))  # (B, G, H, T N / G)
        scores = [ops.matmul(ops.cast(k, "float32"), query) for k in keys]
        scores = ops.concatenate(scores, axis=2) if len(scores) > 1 else scores[0]
        return self._by_head(ops.transpose(scores, (0, 1, 3, 2)))

    def _weighted(self, scores, mask, past, new):
        """Means (B, N, T, H) of earlier and new values, weighted by float32 scores.

        Computed in float32. As in fused kernels, the weights are rounded to the compute
        dtype, but not their sum, which divides the result.
        """
        scores = scores + (1.0 - ops.cast(mask, "float32")) * HIDDEN
        weights = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
        total = ops.sum(weights, axis=-1, keepdims=True)
        weights = ops.cast(ops.cast(weights, self.compute_dtype), "float32")
        weights, num_new = self._grouped(weights), ops.shape(new)[2]
        y = ops.matmul(weights[..., :-num_new], ops.cast(past, "float32"))
        y = y + ops.matmul(weights[..., -num_new:], ops.cast(new, "float32"))
        return self._by_head(y) / total

    def _near(self, positions, seen):
        """Mask (B, 1, T, S) of the keys, at positions (B, 1, S), within the window."""
        positions, seen = ops.cast(positions, "int32"), ops.cast(seen, "int32")
        distance = ops.expand_dims(positions, -1) - seen
        return ops.expand_dims(distance < self.window, 1)

    def _softmax(self, scores, mask):
        """Attention weights, in the compute dtype, of float32 scores (B, N, T, S)."""
        if mask is not None:
            scores = scores + (1.0 - ops.cast(mask, "float32")) * HIDDEN
        if scores.shape[-1] == 1:  # Keras warns about a softmax over one key
            return ops.ones_like(scores, dtype=self.compute_dtype)
        return ops.cast(ops.softmax(scores), self.compute_dtype)

    def _grouped(self, x):
        """(B, N, T, ...) -> (B, G, T N / G, ...): heads that share a key, together."""
        if self.groups == self.num_heads:
            return x
        batch, _, length, width = ops.shape(x)
        rows = length * (self.num_heads // self.groups)
        return ops.reshape(x, (batch, self.groups, rows, width))

    def _by_head(self, x):
        """The inverse of `_grouped`: (B, G, T N / G, ...) -> (B, N, T, ...)."""
        if self.groups == self.num_heads:
            return x
        batch, _, rows, width = ops.shape(x)
        length = rows // (self.num_heads // self.groups)
        return ops.reshape(x, (batch, self.num_heads, length, width))

    def _split(self, x):
        """(B, T, heads times H) -> (B, heads, T, H)."""
        batch, length, width = ops.shape(x)
        heads = width // self.head_size
        if x.shape[1] == 1:  # nothing to transpose
            return ops.reshape(x, inferred((batch, heads, 1, self.head_size)))
        shape = inferred((batch, length, heads, self.head_size))
        x = ops.reshape(x, shape)
        return ops.transpose(x, (0, 2, 1, 3))

    def _join(self, x):
        """(B, N, T, H) -> (B, T, N times H)."""
        batch, _, length, _ = ops.shape(x)
        if x.shape[2] != 1:
            x = ops.transpose(x, (0, 2, 1, 3))
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


def _biased(scores, bias):
    return scores if bias is None else scores + ops.cast(bias, "float32")
