"""Decoders: embeddings, causal layers, norm; and the steps of incremental decoding.

Shapes: B batch, S sequence, T new positions, P earlier positions, D hidden_dim,
N num_heads, H = D / N head size, V vocabulary_size.
"""

import keras
from keras import ops

from tfzoo.layers import (
    CausalMask,
    Dropout,
    NextTokenHead,
    PositionEmbedding,
    TokenEmbedding,
)
from tfzoo.layers.parts import copied
from tfzoo.models.backbone import Backbone, checked_policy
from tfzoo.models.decoding import Decoding


class Decoder(Decoding, Backbone):
    """Base class of decoders: embeddings, causal layers, final norm.

    Args:
        arguments: Dict of the constructor arguments of the class, which become
            attributes and config. They include `vocabulary_size`, `num_layers`,
            `hidden_dim` and `max_sequence_length`.
        block: Function of `name` and `dtype` that makes a layer with the interface of
            `TransformerLayer`.
        final_norm: Normalization layer; it is copied.
        learned_positions: Whether to add learned position embeddings to the token
            embeddings. Otherwise the positions are passed to the layers.
        embeddings_dropout: Fraction of the embeddings to drop during training.
        ties_output: Whether the output layer shares the token embeddings.
        dtype: Keras dtype policy. With "bfloat16", weights take half the memory and
            cannot be trained.
    """

    def __init__(
        self,
        arguments,
        *,
        block,
        final_norm,
        learned_positions=True,
        embeddings_dropout=0.0,
        ties_output=True,
        dtype=None,
        **kwargs,
    ):
        size = arguments.__getitem__
        policy = checked_policy(dtype, for_inference=["bfloat16"])
        dtype = policy.name  # a name, so that Keras can write the layers' configs

        # Layers
        def table(name):
            return TokenEmbedding(
                size("vocabulary_size"), size("hidden_dim"), dtype=dtype, name=name
            )

        token_embedding = table("token_embedding")
        position_embedding = None
        if learned_positions:
            position_embedding = PositionEmbedding(
                size("max_sequence_length"), dtype=dtype, name="position_embedding"
            )
        drop_embeddings = Dropout(
            embeddings_dropout, dtype=dtype, name="embeddings_dropout"
        )
        transformer_layers = [
            block(name=f"transformer_layer_{i}", dtype=dtype)
            for i in range(size("num_layers"))
        ]
        final_norm = copied(final_norm, "final_norm", policy)

        # Graph
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "padding_mask")
        }
        # Computed once for all layers
        seen = CausalMask(name="causal_mask")(inputs["padding_mask"])
        positions = ops.sum(ops.cast(seen, "int32"), axis=-1) - 1
        x = token_embedding(inputs["token_ids"])
        places = {"positions": positions}
        if learned_positions:
            x, places = x + position_embedding(x, positions), {}
        x = drop_embeddings(x)
        for layer in transformer_layers:
            x = layer(x, attention_mask=seen, **places)
        super().__init__(inputs, final_norm(x), **kwargs)
        self.describe(arguments, policy)
        self.token_embedding = token_embedding
        self.position_embedding = position_embedding
        self.transformer_layers = transformer_layers
        self.final_norm = final_norm
        self.ties_output = ties_output
        output_embedding = token_embedding
        if not ties_output:
            output_embedding = table("output_embedding")
            output_embedding.build((None, None))
        self.output_head = NextTokenHead(output_embedding, name="next_token_head")

    @property
    def decoder_layers(self):
        return self.transformer_layers

    def state(self, rows, columns=0):
        """An empty state for `step`.

        Args:
            rows: Batch size B.
            columns: Number of earlier positions P.

        Returns:
            A nest of zero tensors that only the layers interpret. The first axis of
            each is B, the third P.
        """
        return [layer.state(rows, columns) for layer in self.transformer_layers]

    def step(self, token_ids, positions, state, mask, kernels=None, *, alone=False):
        """Runs the decoder at a few new positions, given the state of the earlier ones.

        Computes what the model does at inference. With P = 0 it reads a whole prompt,
        and the state it returns is that of the next step.

        Args:
            token_ids: (B, T) integers.
            positions: (B, T) integers, 0 to `max_sequence_length` - 1.
            state: State of P positions, as returned by `state`.
            mask: Boolean, broadcasts to (B, N, T, P + T), past keys first; False
                masks a key. No causal mask is applied on top, not even among the T
                new positions.
            kernels: The result of `kernels_for`, or None.
            alone: Whether to read only the kernels, never the weights they are made
                from.

        Returns:
            A tuple of the hidden states (B, T, D) and the state of the T new positions
            only. The past is not modified.
        """
        x = self.token_embedding.step(token_ids, kernels if alone else None)
        if self.position_embedding is not None:
            x = x + self.position_embedding(x, positions)
        new = []
        for layer, past in zip(self.transformer_layers, state, strict=True):
            x, added = layer.step(x, past, mask, kernels, positions)
            new.append(added)
        return self.final_norm(x), new
