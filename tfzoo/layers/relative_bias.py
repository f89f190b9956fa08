"""Biases of attention scores that depend on the distance between two positions.

Shapes: B batch, T queries, S keys, N heads, K num_buckets.
"""

import keras
import numpy as np
from keras import ops

from tfzoo.layers.initializers import truncated_normal
from tfzoo.layers.keywords import LayerKeywords


@keras.saving.register_keras_serializable("tfzoo")
class RelativePositionBias(LayerKeywords, keras.layers.Layer):
    """A learned number per head and bucket of distances, shared by all layers.

    Half of the buckets have one distance each, the others a range that grows
    logarithmically up to `max_distance`; the last one has all distances beyond.

    Args:
        num_heads: Number of heads N.
        num_buckets: K, even; if bidirectional, half of them for each direction.
        max_distance: First distance of the last bucket.
        bidirectional: Whether later keys have buckets of their own (in an encoder).
            Otherwise they share that of distance 0, since they are masked.

    Call arguments:
        x: (B, S, ...); only its shape is used.

    Returns:
        (1, N, S, S) float32, a row for each query.

    Source: Raffel et al. 2020, section 2.1, https://arxiv.org/abs/1910.10683;
        buckets: mesh_tensorflow `_relative_position_bucket`
    """

    def __init__(
        self,
        num_heads,
        num_buckets=32,
        max_distance=128,
        bidirectional=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        least = 4 if bidirectional else 2
        if num_buckets < least or num_buckets % least:
            raise ValueError(
                f"num_buckets must be a multiple of {least}. "
                f"Received: num_buckets={num_buckets}"
            )
        if max_distance <= num_buckets // least:
            raise ValueError(
                "max_distance must be above the number of exact distances, "
                f"{num_buckets // least}. Received: max_distance={max_distance}"
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional

    def build(self, x_shape=None):
        self.embeddings = self.add_weight(
            shape=(self.num_buckets, self.num_heads),
            initializer=truncated_normal(),
            autocast=False,  # scores are float32
            name="embeddings",
        )

    def call(self, x):
        positions = ops.expand_dims(ops.arange(ops.shape(x)[1]), 0)
        return self.between(positions, positions)

    def between(self, positions, seen):
        """Biases (B, N, T, S) of queries (B, T) and keys (B, S) at these positions."""
        positions, seen = ops.cast(positions, "int32"), ops.cast(seen, "int32")
        earlier = ops.expand_dims(positions, 2) - ops.expand_dims(seen, 1)  # (B, T, S)
        farthest = self.max_distance
        least = -farthest if self.bidirectional else 0
        places = ops.clip(earlier, least, farthest) - least
        buckets = _buckets(self.num_buckets, farthest, self.bidirectional)
        by_place = ops.take(self.embeddings, buckets, axis=0)
        bias = ops.take(ops.cast(by_place, "float32"), places, axis=0)
        return ops.transpose(bias, (0, 3, 1, 2))

    def compute_output_spec(self, x):
        length = x.shape[1]
        return keras.KerasTensor((1, self.num_heads, length, length), "float32")


def _buckets(num_buckets, max_distance, bidirectional):
    """Buckets of all distances, int32: from -max_distance, or 0, to max_distance.

    Computed in float32 as in the published code, where the borders would otherwise be
    others.
    """
    distances = np.arange(max_distance + 1)
    later = 0
    if bidirectional:
        num_buckets, later = num_buckets // 2, num_buckets // 2
    exact = num_buckets // 2
    ratios = np.maximum(distances, 1).astype(np.float32) / np.float32(exact)
    share = np.log(ratios) / np.float32(np.log(max_distance / exact))
    large = exact + (share * np.float32(num_buckets - exact)).astype(np.int32)
    buckets = np.where(distances < exact, distances, np.minimum(large, num_buckets - 1))
    if bidirectional:
        buckets = np.concatenate([buckets[:0:-1] + later, buckets])
    return buckets.astype(np.int32)
