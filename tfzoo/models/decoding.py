"""What decoding needs of a model besides its `state` and `step`.

Shapes: D hidden_dim, V vocabulary_size.
"""

import typing

import keras

from tfzoo.layers.few_rows import ROWS_FOR_TRANSPOSED_KERNELS


class LaidOut(typing.NamedTuple):
    """A decoder with its kernels laid out for a given number of rows.

    Attributes:
        decoder: The `Decoder` or `EncoderDecoder`.
        kernels: The result of its `kernels_for`.
        alone: Whether to read only the kernels, never the weights they are made from.
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

    def step(self, token_ids, positions, state, mask, **memory):
        return self.decoder.step(
            token_ids, positions, state, mask, self.kernels, alone=self.alone, **memory
        )

    def logits(self, hidden):
        return self.decoder.logits(hidden, self.kernels)


class Decoding:
    """Mixin for a model with the methods `state` and `step` of `Decoder`.

    A model defines `decoder_layers`, a list of layers, and `output_head`, the
    `NextTokenHead` after them.
    """

    many_rows = ROWS_FOR_TRANSPOSED_KERNELS  # one layout for this many rows or more

    @property
    def output_embedding(self):
        """The `TokenEmbedding` whose table is the output layer."""
        return self.output_head.token_embedding

    def logits(self, hidden, kernels=None):
        """Float32 logits of the next token: (..., D) -> (..., V).

        For tensors; in a functional model, use the layer `output_head`.

        Args:
            hidden: (..., D).
            kernels: The result of `kernels_for`, or None.
        """
        return self.output_head.logits(hidden, kernels)

    def laid_out(self, kernels, *, alone=False):
        """Combines this decoder with the result of `kernels_for` in a `LaidOut`."""
        return LaidOut(self, kernels, alone)

    def kernels_for(self, rows):
        """The weights in the layout that is fastest for `step` and `logits` on a CPU.

        See `tfzoo.layers.few_rows`. They are copies: for few rows, of the output table
        and a quarter of the layers' kernels; for `many_rows` or more, which only gains
        under XLA, of all kernels. Compute them once, outside the decoding loop.
        Weights in bfloat16, which are to take little memory, are not copied.

        Args:
            rows: Number of rows of a step, B times T.

        Returns:
            A dict of path -> kernel.
        """
        if self.dtype_policy.variable_dtype == "bfloat16":
            return {}
        transposed = rows >= self.many_rows
        layers = (self.output_embedding, *self.decoder_layers)
        return {
            path: kernel
            for layer in layers
            for path, kernel in layer.step_kernels(transposed).items()
        }
