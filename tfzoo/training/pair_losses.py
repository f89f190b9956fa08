"""Losses of the vectors of two texts: how alike they ought to be.

Shapes: B batch of pairs, D width of a vector.
"""

import keras
from keras import ops

from tfzoo.training.losses import WeightedMean


@keras.saving.register_keras_serializable("tfzoo")
class InBatchNegatives(WeightedMean):
    """Of all second texts of the batch, each first text's own must be the likeliest.

    The cross-entropy of cosine similarities times `scale`: the second texts of the
    other pairs are the wrong answers, B - 1 for each, at no cost. Where one of the two
    texts of another pair is the same as in this pair, its second text is no wrong
    answer and is left out. Of replicas each has the negatives of its own share.

    Args:
        scale: What the cosines, -1 to 1, are multiplied with.
        name: Name of the loss.

    Call arguments:
        y_true: (B, 2) integers that name the texts: equal for equal texts.
        y_pred: (B, 2, D) vectors of any length.
        sample_weight: (B,). None weighs all alike.

    Source: Henderson et al. 2017, section 4, https://arxiv.org/abs/1705.00652; with
        cosines and scale as `MultipleNegativesRankingLoss` of sentence-transformers
    """

    def __init__(self, scale=20.0, name="in_batch_negatives"):
        super().__init__(name)
        self.scale = scale

    def call(self, y_true, y_pred):
        if "int" not in keras.backend.standardize_dtype(y_true.dtype):
            raise ValueError(
                "InBatchNegatives learns from pairs alone; for pairs with a number, "
                "compile(loss=tfzoo.training.CosineError()). Received: targets of "
                f"type {keras.backend.standardize_dtype(y_true.dtype)}"
            )
        first, second = _unit_pairs(y_pred)
        scores = self.scale * ops.matmul(first, ops.transpose(second))
        same = ops.equal(ops.expand_dims(y_true, 0), ops.expand_dims(y_true, 1))
        itself = ops.eye(ops.shape(scores)[0], dtype="bool")
        left_out = ops.any(same, axis=-1) & ~itself
        others = ops.logsumexp(ops.where(left_out, -1e9, scores), axis=-1)
        return others - self.scale * ops.sum(first * second, axis=-1)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("tfzoo")
class CosineError(WeightedMean):
    """Squared difference of the cosine similarity of two texts and what it ought to be.

    Call arguments:
        y_true: (B,) numbers, -1 to 1.
        y_pred: (B, 2, D) vectors of any length.
        sample_weight: (B,). None weighs all alike.

    Source: Reimers & Gurevych 2019, section 3 ("regression objective function"),
        https://arxiv.org/abs/1908.10084
    """

    def __init__(self, name="cosine_error"):
        super().__init__(name)

    def call(self, y_true, y_pred):
        if "int" in keras.backend.standardize_dtype(y_true.dtype):
            raise ValueError(
                "CosineError learns how alike the texts of each pair are, from y. "
                "Received: y=None"
            )
        first, second = _unit_pairs(y_pred)
        cosines = ops.sum(first * second, axis=-1)
        y_true = ops.reshape(ops.cast(y_true, "float32"), ops.shape(cosines))
        return ops.square(cosines - y_true)


def _unit_pairs(pairs):
    """The first and the second vectors (B, D) of pairs (B, 2, D), of length 1."""
    return ops.unstack(ops.normalize(pairs, axis=-1, epsilon=1e-12), axis=1)
