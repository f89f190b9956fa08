"""Ids to vectors.

Shapes: B batch, S sequence, V vocabulary_size, D hidden_dim, P max_sequence_length.
"""

import keras
from keras import ops

from tfzoo.layers.few_rows import inferred, product
from tfzoo.layers.initializers import truncated_normal
from tfzoo.layers.keywords import LayerKeywords


@keras.saving.register_keras_serializable("tfzoo")
class TokenEmbedding(LayerKeywords, keras.layers.Layer):
    """A vector for each id, and the way back that tied output layers use.

    Args:
        vocabulary_size: Number of ids V.
        hidden_dim: Width D of a vector.

    Call arguments:
        ids: (B, S) integers, 0 to V - 1.

    Returns:
        (B, S, D).

    Source: Press and Wolf 2017 for the tied way back, https://arxiv.org/abs/1608.05859
    """

    def __init__(self, vocabulary_size, hidden_dim, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim

    def build(self, ids_shape=None):
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, self.hidden_dim),
            initializer=truncated_normal(),
            autocast=False,  # the tied logits are float32
            name="embeddings",
        )

    def call(self, ids):
        # The reshape changes nothing but makes TensorFlow sum the gradient into one
        # dense tensor; the tied way back adds a dense gradient anyway, and merging it
        # with a sparse one copies the table once more.
        table = ops.reshape(
            ops.convert_to_tensor(self.embeddings),
            (self.vocabulary_size, self.hidden_dim),
        )
        return ops.cast(ops.take(table, ids, axis=0), self.compute_dtype)

    def step(self, ids, kernels=None):
        """What `call` computes; with `kernels` out of the table that `logits` reads.

        So a served model has it once. A column of it is read in pieces: that is as fast
        for few ids, and takes 20 microseconds more for each of many.

        Args:
            ids: Integers (B, T).
            kernels: As `step_kernels` gives them, or None.
        """
        transposed = (kernels or {}).get(self.embeddings.path)
        if transposed is None:
            return self(ids)
        batch, length = ops.shape(ids)
        columns = ops.take(transposed, ops.reshape(ids, (-1,)), axis=1)
        shape = inferred((batch, length, self.hidden_dim))
        return ops.cast(ops.reshape(ops.transpose(columns), shape), self.compute_dtype)

    def logits(self, x, kernels=None):
        """Scores of all ids, float32: (..., D) -> (..., V).

        Args:
            x: (..., D).
            kernels: As `step_kernels` gives them, or None.
        """
        x = ops.cast(x, "float32")
        transposed = (kernels or {}).get(self.embeddings.path)
        if transposed is None:
            return ops.matmul(x, ops.transpose(self.embeddings))
        *lead, width = ops.shape(x)
        scores = product(ops.reshape(x, (-1, width)), transposed)
        return ops.reshape(scores, inferred((*lead, self.vocabulary_size)))

    def step_kernels(self, transposed):
        """The table (D, V), which `logits` multiplies faster with few vectors.

        Args:
            transposed: As of the other layers; with four vectors and more the table is
                multiplied as it is, and the dict is empty.
        """
        if transposed:
            return {}
        return {self.embeddings.path: ops.transpose(self.embeddings)}

    def compute_output_shape(self, ids_shape):
        return (*ids_shape, self.hidden_dim)


@keras.saving.register_keras_serializable("tfzoo")
class PositionEmbedding(LayerKeywords, keras.layers.Layer):
    """A learned vector for each position.

    Args:
        max_sequence_length: Number of positions P.

    Call arguments:
        x: (B, S, D), S at most P; only its shape is read.
        positions: (B, S) integers, 0 to P - 1; None counts from 0.

    Returns:
        (B, S, D); without `positions` (S, D), which broadcasts over the batch.

    Source: Devlin et al. 2018, section 3, https://arxiv.org/abs/1810.04805
    """

    def __init__(self, max_sequence_length, **kwargs):
        super().__init__(**kwargs)
        self.max_sequence_length = max_sequence_length

    def build(self, x_shape, positions_shape=None):
        self.embeddings = self.add_weight(
            shape=(self.max_sequence_length, x_shape[-1]),
            initializer=truncated_normal(),
            name="embeddings",
        )

    def call(self, x, positions=None):
        if x.shape[1] is not None and x.shape[1] > self.max_sequence_length:
            raise ValueError(
                "A sequence must not be longer than max_sequence_length="
                f"{self.max_sequence_length}. Received: length {x.shape[1]}"
            )
        if positions is None:
            positions = ops.arange(ops.shape(x)[1])
        return ops.cast(
            ops.take(self.embeddings, positions, axis=0), self.compute_dtype
        )

    def compute_output_shape(self, x_shape, positions_shape=None):
        return x_shape[1:] if positions_shape is None else x_shape
