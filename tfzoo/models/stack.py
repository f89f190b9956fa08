"""One side of an encoder-decoder: embeddings, layers, norm.

Shapes: B batch, S sequence, T new positions, D hidden_dim, N num_heads.
"""

from keras import ops

from tfzoo.layers import Dropout, RelativePositionBias
from tfzoo.layers.parts import copied


class Stack:
    """The layers of one side, whose names start with `"encoder"` or `"decoder"`.

    Args:
        side: `"encoder"` or `"decoder"`.
        token_embedding: A `TokenEmbedding`, which both sides may share.
        layers: List of layers with the interface of `TransformerLayer`.
        policy: Dtype policy.
        embedding_scale: Factor for the token embeddings.
        positions: Layer with the interface of `PositionEmbedding`, which is copied, to
            add to the token embeddings; None for none.
        position_offset: Added to the positions.
        relative_bias: Dict of the arguments of a `RelativePositionBias` that all layers
            share; None for none.
        embeddings_norm: Normalization layer for the sum of embeddings, which is copied;
            None for none.
        final_norm: Normalization layer after the last layer, which is copied; None for
            none.
        dropout: Fraction of the embeddings to drop during training.
        final_dropout: Fraction of the result to drop, likewise.
    """

    def __init__(
        self,
        side,
        token_embedding,
        layers,
        policy,
        *,
        embedding_scale=1.0,
        positions=None,
        position_offset=0,
        relative_bias=None,
        embeddings_norm=None,
        final_norm=None,
        dropout=0.0,
        final_dropout=0.0,
    ):
        self.token_embedding = token_embedding
        self.layers = layers
        self.embedding_scale = embedding_scale
        self.position_offset = position_offset

        def part(layer, name):
            return copied(layer, f"{side}_{name}", policy)

        self.position_embedding = part(positions, "position_embedding")
        self.embeddings_norm = part(embeddings_norm, "embeddings_norm")
        self.embeddings_dropout = part(Dropout(dropout), "embeddings_dropout")
        self.final_norm = part(final_norm, "final_norm")
        self.final_dropout = part(Dropout(final_dropout), "final_dropout")
        self.relative_bias = None
        if relative_bias is not None:
            self.relative_bias = RelativePositionBias(
                **relative_bias,
                bidirectional=side == "encoder",
                dtype=policy.name,
                name=f"{side}_relative_bias",
            )

    def __call__(self, token_ids, attention_mask, **context):
        """The functional graph of a whole sequence.

        Args:
            token_ids: (B, S) integers.
            attention_mask: As in `TransformerLayer`.
            **context: `context` and `context_mask` of layers with cross-attention.

        Returns:
            (B, S, D).
        """
        positions = None
        if self.position_offset:
            positions = ops.cumsum(ops.ones_like(token_ids), axis=1) - 1
        x = self._embedded(self.token_embedding(token_ids), positions)
        if self.relative_bias is not None:
            context["bias"] = self.relative_bias(x)
        for layer in self.layers:
            x = layer(x, attention_mask=attention_mask, **context)
        return self.normed(x)

    def step_embedded(self, token_ids, positions, kernels):
        """The embeddings (B, T, D) of new tokens (B, T) at these positions."""
        x = self.token_embedding.step(token_ids, kernels)
        return self._embedded(x, positions)

    def normed(self, x):
        """The result, given that of the last layer."""
        if self.final_norm is not None:
            x = self.final_norm(x)
        return self.final_dropout(x)

    def _embedded(self, x, positions):
        if self.embedding_scale != 1:
            x = x * self.embedding_scale
        if self.position_embedding is not None:
            if self.position_offset:
                positions = positions + self.position_offset
            x = x + self.position_embedding(x, positions)
        if self.embeddings_norm is not None:
            x = self.embeddings_norm(x)
        return self.embeddings_dropout(x)
