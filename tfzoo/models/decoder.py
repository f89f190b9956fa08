"""Decoders: embed, causal layers, norm; and what decoding calls, step by step.

Shapes: B batch, S sequence, T new positions, P earlier positions, D hidden_dim,
N num_heads, H = D / N head size, V vocabulary_size.
"""

import typing

import keras
from keras import ops

from tfzoo.layers import CausalMask, Dropout, PositionEmbedding, TokenEmbedding
from tfzoo.layers.few_rows import ROWS_FOR_TRANSPOSED_KERNELS
from tfzoo.layers.parts import copied
from tfzoo.models.backbone import Backbone, policy_with_float32_weights


class LaidOut(typing.NamedTuple):
    """A decoder with its kernels laid out for a number of rows.

    Attributes:
        decoder: The `Decoder`.
        kernels: What its `kernels_for` gave.
        alone: Whether the weights that they are made of are not to be read.
    """

    decoder: keras.Model
    kernels: dict
    alone: bool = False

    @property
    def vocabulary_size(self):
        return self.decoder.vocabulary_size

    @property
    def max_sequence_length(self):
        return self.decoder.max_sequence_length

    def state(self, rows, columns=0):
        return self.decoder.state(rows, columns)

    def step(self, token_ids, positions, state, mask):
        return self.decoder.step(
            token_ids, positions, state, mask, self.kernels, alone=self.alone
        )

    def logits(self, hidden):
        return self.decoder.logits(hidden, self.kernels)


class Decoder(Backbone):
    """Base of the decoders: embeddings, causal layers, a norm.

    Args:
        arguments: Dict of the constructor arguments of the class, which become its
            attributes and its config. Among them are `vocabulary_size`, `num_layers`,
            `hidden_dim` and `max_sequence_length`.
        block: Function of `name` and `dtype` that makes a layer, as
            `TransformerLayer` is one.
        final_norm: A normalisation, which is copied.
        learned_positions: Whether positions have learned vectors, which are added to
            those of the tokens; they are given to the layers otherwise.
        embeddings_dropout: Share zeroed of the embeddings.
        ties_output: Whether the output layer is the embedding of the tokens.
        dtype: Keras dtype policy.
    """

    many_rows = ROWS_FOR_TRANSPOSED_KERNELS  # from which on the kernels' form is one

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
        policy = policy_with_float32_weights(dtype)
        dtype = policy.name  # of which Keras writes a layer's config by itself

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
        # Once for all layers, instead of once in each
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
        self.output_embedding = token_embedding
        if not ties_output:
            self.output_embedding = table("output_embedding")
            self.output_embedding.build((None, None))

    def logits(self, hidden, kernels=None):
        """Scores of the next token, float32: (..., D) -> (..., V).

        For tensors; in a functional graph, `NextTokenHead` is the layer that does it.

        Args:
            hidden: (..., D).
            kernels: As `kernels_for` gives them, or None.
        """
        return self.output_embedding.logits(hidden, kernels)

    def state(self, rows, columns=0):
        """What `step` needs to know of the columns before, none of them read yet.

        Args:
            rows: B.
            columns: P.

        Returns:
            A nest of tensors that none but the layers look into; B is the first axis
            of all of them, and P the third.
        """
        return [layer.state(rows, columns) for layer in self.transformer_layers]

    def step(self, token_ids, positions, state, mask, kernels=None, *, alone=False):
        """The decoder at a few positions, given the state of those before them.

        What the model computes there when it does not train. With P = 0 it reads a
        whole prompt, and what it returns is the state of the next step.

        Args:
            token_ids: (B, T) integers.
            positions: (B, T) integers, 0 to `max_sequence_length` - 1.
            state: Of P positions, as of `state`.
            mask: Boolean, broadcasts to (B, N, T, P + T), past keys first; False
                hides a key. It alone says what is seen, also among the T new ones.
            kernels: As `kernels_for` gives them, or None.
            alone: Whether the weights that these are made of are not to be read.

        Returns:
            A tuple of the hidden states (B, T, D) and the state of the T positions
            alone. The past is not written.
        """
        x = self.token_embedding.step(token_ids, kernels if alone else None)
        if self.position_embedding is not None:
            x = x + self.position_embedding(x, positions)
        new = []
        for layer, past in zip(self.transformer_layers, state, strict=True):
            x, added = layer.step(x, past, mask, kernels, positions)
            new.append(added)
        return self.final_norm(x), new

    def laid_out(self, kernels, *, alone=False):
        """This decoder with the `kernels_for` a number of rows, a `LaidOut`."""
        return LaidOut(self, kernels, alone)

    def kernels_for(self, rows):
        """The weights in the form in which `step` and `logits` multiply fastest.

        On a CPU, see `tfzoo.layers.few_rows`. They are copies: for few rows of the
        output table and a quarter of the layers' kernels; for `many_rows` and more,
        where they gain under XLA alone, of all kernels. Made once, outside of the loop.

        Args:
            rows: Of a step, B times T.

        Returns:
            A dict.
        """
        transposed = rows >= self.many_rows
        layers = (self.output_embedding, *self.transformer_layers)
        return {
            path: kernel
            for layer in layers
            for path, kernel in layer.step_kernels(transposed).items()
        }
