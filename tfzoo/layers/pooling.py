"""Pooling of token vectors into one vector per text.

Shapes: B batch, S sequence, D hidden_dim.
"""

import keras
from keras import ops

from tfzoo.layers.keywords import LayerKeywords

POOLINGS = ("mean", "cls", "last")


@keras.saving.register_keras_serializable("tfzoo")
class SentencePooling(LayerKeywords, keras.layers.Layer):
    """Pools the token vectors of each text into one vector, in float32.

    Args:
        pooling: `"mean"` over the real tokens, including [CLS] and [SEP]; `"cls"`, the
            vector of the first token; or `"last"`, that of the last real token, the
            only one for which a decoder has read the whole text.
        normalize: Whether to scale the result to unit length.

    Call arguments:
        x: (B, S, D) sequence output of the backbone.
        padding_mask: (B, S), 1 for a token and 0 for padding.

    Returns:
        (B, D) float32. Except with `"cls"`, a row of padding only gives zeros.

    Source: Reimers & Gurevych 2019, section 3, https://arxiv.org/abs/1908.10084;
        `"last"`: Wang et al. 2024, section 3.2, https://arxiv.org/abs/2401.00368
    """

    def __init__(self, pooling="mean", *, normalize=True, **kwargs):
        # Sums over a sequence stay in float32 under mixed precision.
        super().__init__(**{**kwargs, "dtype": "float32"})
        if pooling not in POOLINGS:
            raise ValueError(
                f"pooling must be one of {POOLINGS}. Received: {pooling!r}"
            )
        self.pooling = pooling
        self.normalize = normalize

    def call(self, x, padding_mask):
        if self.pooling == "cls":
            pooled = ops.take(x, 0, axis=1)
        elif self.pooling == "last":
            numbers = ops.arange(1, ops.shape(x)[1] + 1, dtype="int32")
            numbers = numbers * ops.cast(ops.cast(padding_mask, "bool"), "int32")
            # 0 is padding; the sum is over one token, or none.
            last = ops.maximum(ops.max(numbers, axis=1, keepdims=True), 1)
            is_last = ops.expand_dims(ops.cast(numbers == last, x.dtype), -1)
            pooled = ops.sum(x * is_last, axis=1)
        else:
            real = ops.expand_dims(ops.cast(padding_mask, x.dtype), -1)
            count = ops.maximum(ops.sum(real, axis=1), 1e-9)
            pooled = ops.sum(x * real, axis=1) / count
        if not self.normalize:
            return pooled
        return ops.normalize(pooled, axis=-1, epsilon=1e-12)

    def compute_output_shape(self, x_shape, padding_mask_shape):
        return (x_shape[0], x_shape[-1])
