"""The Transformer block: encoder, decoder, and decoder with cross-attention.

Shapes: B batch, T sequence, S context, P earlier positions, D hidden_dim, N heads,
H = D / N head size.
"""

import keras
from keras import ops

from tfzoo.layers.attention import Attention
from tfzoo.layers.dropout import Dropout
from tfzoo.layers.feed_forward import FeedForward
from tfzoo.layers.keywords import LayerKeywords
from tfzoo.layers.normalization import LayerNorm
from tfzoo.layers.parts import copied, part_of, with_parts


@keras.saving.register_keras_serializable("tfzoo")
class TransformerLayer(LayerKeywords, keras.layers.Layer):
    """Attention and feed-forward, each with dropout, residual and normalization.

    The short form is `TransformerLayer(num_heads, intermediate_dim)`; with other parts:

        TransformerLayer(
            Attention(8, num_key_value_heads=2, rotary=Rotary(), use_bias=False),
            GatedFeedForward(2048, "silu", use_bias=False),
            norm=RMSNorm(),
            norm_first=True,
        )

    Args:
        num_heads: Number of attention heads, which must divide D; or an `Attention`,
            which is copied and has its own dropout: leave out `attention_dropout`.
        intermediate_dim: Size of the feed-forward network's inner layer; or a
            `FeedForward`, which is copied and has its own activation: leave out
            `activation`. With both, leave out `output_stddev`, too.
        norm: Normalization layer, copied for each place; then leave out
            `layer_norm_epsilon`. None for a `LayerNorm`.
        dropout: Fraction of each sublayer's output to drop during training, in [0, 1).
        attention_dropout: Fraction of the attention weights to drop. Defaults to
            `dropout`.
        activation: `"gelu"` (error function, BERT), `"gelu_tanh"` (GPT-2), `"relu"` or
            `"silu"`.
        norm_first: Normalize the input of each sublayer (pre-norm, GPT-2) instead of
            the sum after it (post-norm, BERT).
        causal: Mask all later positions.
        cross_attention: Attend to `context` between the two sublayers.
        layer_norm_epsilon: Added to the variance; BERT uses 1e-12, GPT-2 1e-5.
        output_stddev: Standard deviation for initializing the two projections into the
            residual stream; GPT-2 uses 0.02 / sqrt(2 num_layers).

    Call arguments:
        x: (B, T, D).
        attention_mask: Boolean or integer, (B, T) or (B, T, T); 0 masks a key.
        context: (B, S, D); required with `cross_attention`.
        context_mask: (B, S) or (B, T, S); 0 masks a key of the context.
        positions: (B, T) integers, as for `Attention`.
        bias: Added to the scores of self-attention, as for `Attention`.

    Returns:
        (B, T, D).

    Source: Vaswani et al. 2017, section 3.1, https://arxiv.org/abs/1706.03762;
        pre-norm: Radford et al. 2019, section 2.3 (GPT-2).
    """

    parts = ("num_heads", "intermediate_dim", "norm")

    def __init__(
        self,
        num_heads,
        intermediate_dim,
        *,
        norm=None,
        dropout=0.1,
        attention_dropout=None,
        activation="gelu",
        norm_first=False,
        causal=False,
        cross_attention=False,
        layer_norm_epsilon=1e-12,
        output_stddev=0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation = activation
        self.norm_first = norm_first
        self.causal = causal
        self.cross_attention = cross_attention
        self.layer_norm_epsilon = layer_norm_epsilon
        self.output_stddev = output_stddev
        policy = self.dtype_policy

        given = dict(num_heads=num_heads, intermediate_dim=intermediate_dim, norm=norm)
        self.given = tuple(
            name for name, part in given.items() if isinstance(part, keras.layers.Layer)
        )
        for part, name, value, default in (
            ("num_heads", "attention_dropout", attention_dropout, None),
            ("intermediate_dim", "activation", activation, "gelu"),
            ("norm", "layer_norm_epsilon", layer_norm_epsilon, 1e-12),
        ):
            if part in self.given and value != default:
                raise ValueError(
                    f"{name} must be left out when {part} is a layer, which has its "
                    f"own. Received: {name}={value!r}"
                )
        if {"num_heads", "intermediate_dim"} <= {*self.given} and output_stddev != 0.02:
            raise ValueError(
                "output_stddev must be left out when num_heads and intermediate_dim "
                "are layers, which have their own. "
                f"Received: output_stddev={output_stddev!r}"
            )

        def new_norm(name):
            if norm is not None:
                return copied(norm, name, policy)
            return LayerNorm(layer_norm_epsilon, dtype=policy, name=name)

        def new_attention(name):
            if "num_heads" in self.given:
                return copied(num_heads, name, policy)
            return Attention(
                num_heads,
                dropout=dropout if attention_dropout is None else attention_dropout,
                output_stddev=output_stddev,
                dtype=policy,
                name=name,
            )

        self.self_attention = new_attention("self_attention")
        self.self_attention_norm = new_norm("self_attention_norm")
        if cross_attention:
            self.context_attention = new_attention("cross_attention")
            self.context_attention_norm = new_norm("cross_attention_norm")
        if "intermediate_dim" in self.given:
            self.feed_forward = copied(intermediate_dim, "feed_forward", policy)
        else:
            self.feed_forward = FeedForward(
                intermediate_dim,
                activation=activation,
                output_stddev=output_stddev,
                dtype=policy,
                name="feed_forward",
            )
        self.feed_forward_norm = new_norm("feed_forward_norm")
        self.num_heads = self.self_attention.num_heads
        self.intermediate_dim = self.feed_forward.intermediate_dim
        self.dropout_layer = Dropout(dropout, dtype=policy, name="dropout")

    def build(self, x_shape, context_shape=None):
        if self.cross_attention and context_shape is None:
            raise ValueError(
                "A layer with cross_attention=True must be called with context=. "
                "Received: context=None"
            )
        self.self_attention.build(x_shape)
        self.self_attention_norm.build(x_shape)
        if self.cross_attention:
            self.context_attention.build(x_shape, context_shape)
            self.context_attention_norm.build(x_shape)
        self.feed_forward.build(x_shape)
        self.feed_forward_norm.build(x_shape)

    def call(
        self,
        x,
        attention_mask=None,
        context=None,
        context_mask=None,
        positions=None,
        bias=None,
        training=None,
    ):
        seen = self._self_attention_mask(x, attention_mask)
        seen_of_context = _for_heads(context_mask)

        def attend(y):
            return self.self_attention(
                y,
                attention_mask=seen,
                positions=positions,
                bias=bias,
                training=training,
            )

        def attend_context(y):
            return self.context_attention(
                y, context, attention_mask=seen_of_context, training=training
            )

        x = self._sublayer(x, attend, self.self_attention_norm, training)
        if self.cross_attention:
            x = self._sublayer(x, attend_context, self.context_attention_norm, training)

        def feed_forward(y):
            return self.feed_forward(y, training=training)

        return self._sublayer(x, feed_forward, self.feed_forward_norm, training)

    def state(self, rows, columns=0):
        """An empty state for `step`.

        Args:
            rows: Batch size B.
            columns: Number of earlier positions P.

        Returns:
            A nest of zero tensors whose first axis is B and third axis P.
        """
        return self.self_attention.state(rows, columns)

    def memory(self, context):
        """Precomputes a context (B, S, D) for `step`; only with `cross_attention`.

        A nest of tensors whose first axis is B, computed once for all steps.
        """
        return self.context_attention.memory(context)

    def step(
        self,
        x,
        past,
        mask,
        kernels=None,
        positions=None,
        bias=None,
        memory=None,
        memory_mask=None,
    ):
        """Runs the layer at a few new positions, given the state of the earlier ones.

        Computes what `call` does at inference.

        Args:
            x: (B, T, D).
            past: State of the earlier positions, as returned by `state`.
            mask: Boolean, broadcasts to (B, N, T, P + T), past keys first; False
                masks a key. `causal` is not applied on top of it.
            kernels: The result of `step_kernels`, or None.
            positions: (B, T) integers, as for `Attention.step`.
            bias: Added to the scores of self-attention, as for `Attention.step`.
            memory: The result of `memory`; required with `cross_attention`. Several
                adjacent rows of `x` may share a context, as in `Attention.recall`.
            memory_mask: (B, S) or (B, T, S); 0 masks a key of the context.

        Returns:
            A tuple of the output (B, T, D) and the state of the T new positions only;
            the past is not modified.

        Raises:
            ValueError: there is cross-attention without a memory, or a memory without
                cross-attention.
        """
        if self.cross_attention != (memory is not None):
            raise ValueError(
                "memory must be given if and only if cross_attention=True. "
                f"Received: cross_attention={self.cross_attention}, "
                f"memory={'None' if memory is None else 'a memory'}"
            )
        seen_of_memory = _for_heads(memory_mask)
        new = []

        def attend(y):
            y, state = self.self_attention.step(y, past, mask, kernels, positions, bias)
            new.append(state)
            return y

        def recall(y):
            return self.context_attention.recall(y, memory, seen_of_memory, kernels)

        def feed_forward(y):
            return self.feed_forward.step(y, kernels)

        x = self._sublayer(x, attend, self.self_attention_norm, training=False)
        if self.cross_attention:
            x = self._sublayer(x, recall, self.context_attention_norm, training=False)
        x = self._sublayer(x, feed_forward, self.feed_forward_norm, training=False)
        return x, *new

    def step_kernels(self, transposed):
        """The kernels in the layout that is fastest for `step` on a CPU.

        Compute them once, outside the decoding loop.

        Args:
            transposed: True for four or more rows (B times T), False for fewer.
        """
        kernels = {
            **self.self_attention.step_kernels(transposed),
            **self.feed_forward.step_kernels(transposed),
        }
        if self.cross_attention:
            kernels |= self.context_attention.recall_kernels(transposed)
        return kernels

    def _sublayer(self, x, function, norm, training):
        if self.norm_first:
            return x + self.dropout_layer(function(norm(x)), training=training)
        return norm(x + self.dropout_layer(function(x), training=training))

    def _self_attention_mask(self, x, mask):
        mask = _for_heads(mask)
        if not self.causal:
            return mask
        positions = ops.arange(ops.shape(x)[1])
        earlier = ops.expand_dims(positions, 1) >= ops.expand_dims(positions, 0)
        earlier = ops.reshape(earlier, (1, 1, *ops.shape(earlier)))
        return earlier if mask is None else ops.logical_and(mask, earlier)

    def get_config(self):
        names = (
            *("dropout", "attention_dropout", "activation", "norm_first", "causal"),
            *("cross_attention", "layer_norm_epsilon", "output_stddev"),
        )
        parts = {
            "num_heads": self.self_attention,
            "intermediate_dim": self.feed_forward,
            "norm": self.self_attention_norm,
        }
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            **{name: part_of(parts[name]) for name in self.given},
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config):
        return with_parts(cls, config)

    def compute_output_shape(self, x_shape, context_shape=None):
        return x_shape


def _for_heads(mask):
    """(B, S) or (B, T, S) of any dtype -> boolean (B, 1, 1, S) or (B, 1, T, S)."""
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    if len(mask.shape) == 2:
        mask = ops.expand_dims(mask, 1)
    return ops.expand_dims(mask, 1)
