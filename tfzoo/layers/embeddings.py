"""Token and position embeddings.

Shapes: B batch, S sequence, V vocabulary_size, D hidden_dim, P max_sequence_length.
"""

import keras
import numpy as np
from keras import ops

from tfzoo.layers.few_rows import in_float32, inferred, product
from tfzoo.layers.initializers import truncated_normal
from tfzoo.layers.keywords import LayerKeywords


@keras.saving.register_keras_serializable("tfzoo")
class TokenEmbedding(LayerKeywords, keras.layers.Layer):
    """Maps ids to vectors, and vectors back to logits for tied output layers.

    Args:
        vocabulary_size: Number of ids V.
        hidden_dim: Size D of a vector.

    Call arguments:
        ids: (B, S) integers, 0 to V - 1.

    Returns:
        (B, S, D).

    Source: Press and Wolf 2017 (tied output), https://arxiv.org/abs/1608.05859
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
        # The reshape is a no-op that makes TensorFlow sum the gradient into one dense
        # tensor: the tied output adds a dense gradient anyway, and merging that with a
        # sparse one would copy the table once more.
        table = ops.reshape(
            ops.convert_to_tensor(self.embeddings),
            (self.vocabulary_size, self.hidden_dim),
        )
        return ops.cast(ops.take(table, ids, axis=0), self.compute_dtype)

    def step(self, ids, kernels=None):
        """Computes what `call` does; with `kernels`, from the table `logits` reads.

        A served model then holds only one table. Its columns are not contiguous: for
        few ids reading them is as fast, for many it takes 20 microseconds more per id.

        Args:
            ids: (B, T) integers.
            kernels: The result of `step_kernels`, or None.
        """
        transposed = (kernels or {}).get(self.embeddings.path)
        if transposed is None:
            return self(ids)
        batch, length = ops.shape(ids)
        columns = ops.take(transposed, ops.reshape(ids, (-1,)), axis=1)
        shape = inferred((batch, length, self.hidden_dim))
        return ops.cast(ops.reshape(ops.transpose(columns), shape), self.compute_dtype)

    def logits(self, x, kernels=None):
        """Float32 logits over all ids: (..., D) -> (..., V).

        Those of a table in bfloat16 are rounded to bfloat16, as in published models.

        Args:
            x: (..., D).
            kernels: The result of `step_kernels`, or None.
        """
        x = ops.cast(x, "float32")
        transposed = (kernels or {}).get(self.embeddings.path)
        if transposed is None:
            table = self.embeddings
            if self.variable_dtype != "float32":
                table = in_float32(ops.convert_to_tensor(table), x)
            scores = ops.matmul(x, ops.transpose(table))
            return ops.cast(ops.cast(scores, self.variable_dtype), "float32")
        *lead, width = ops.shape(x)
        scores = product(ops.reshape(x, (-1, width)), transposed)
        return ops.reshape(scores, inferred((*lead, self.vocabulary_size)))

    def step_kernels(self, transposed):
        """The table transposed to (D, V), which makes `logits` faster for few vectors.

        Args:
            transposed: As for the other layers. For four or more vectors the table is
                used as it is, and the dict is empty.
        """
        if transposed:
            return {}
        return {self.embeddings.path: ops.transpose(self.embeddings)}

    def compute_output_shape(self, ids_shape):
        return (*ids_shape, self.hidden_dim)


@keras.saving.register_keras_serializable("tfzoo")
class PositionEmbedding(LayerKeywords, keras.layers.Layer):
    """Learned position embeddings.

    Args:
        max_sequence_length: Number of positions P.

    Call arguments:
        x: (B, S, D), S at most P; only its shape is used.
        positions: (B, S) integers, 0 to P - 1. None counts from 0.

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
                "The sequence length must be at most max_sequence_length="
                f"{self.max_sequence_length}. Received: length {x.shape[1]}"
            )
        if positions is None:
            positions = ops.arange(ops.shape(x)[1])
        return ops.cast(
            ops.take(self.embeddings, positions, axis=0), self.compute_dtype
        )

    def compute_output_shape(self, x_shape, positions_shape=None):
        return x_shape[1:] if positions_shape is None else x_shape


@keras.saving.register_keras_serializable("tfzoo")
class SinusoidalPositions(LayerKeywords, keras.layers.Layer):
    """Positions as sines and cosines of geometrically growing wavelengths.

    The first D / 2 numbers are the sines, the others the cosines. (The paper alternates
    them, which only permutes the columns.)

    Args:
        max_wavelength: The wavelengths grow from 2 pi to 2 pi times this.

    Call arguments:
        x: (B, S, D), D even; only its shape is used.
        positions: (B, S) integers. None counts from 0.

    Returns:
        (B, S, D); without `positions` (S, D), which broadcasts over the batch.

    Source: Vaswani et al. 2017, section 3.5, https://arxiv.org/abs/1706.03762
    """

    def __init__(self, max_wavelength=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.max_wavelength = max_wavelength

    def build(self, x_shape, positions_shape=None):
        if x_shape[-1] % 2:
            raise ValueError(
                f"hidden_dim must be even. Received: hidden_dim={x_shape[-1]}"
            )

    def call(self, x, positions=None):
        if positions is None:
            positions = ops.arange(ops.shape(x)[1])
        half = x.shape[-1] // 2
        rates = np.exp(np.arange(half) * (-np.log(self.max_wavelength) / half))
        angles = ops.expand_dims(ops.cast(positions, "float32"), -1)
        angles = angles * rates.astype(np.float32)
        table = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
        return ops.cast(table, self.compute_dtype)

    def compute_output_shape(self, x_shape, positions_shape=None):
        return x_shape[1:] if positions_shape is None else x_shape
