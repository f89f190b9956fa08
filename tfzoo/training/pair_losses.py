"""Losses on the vectors of text pairs, for learning text similarity.

Shapes: B batch of pairs, D size of a vector.
"""

import keras
from keras import ops

from tfzoo.training.losses import WeightedMean


@keras.saving.register_keras_serializable("tfzoo")
class InBatchNegatives(WeightedMean):
    """Each first text must be closest to its own second text, among all in the batch.

    The cross-entropy of cosine similarities times `scale`: the second texts of the
    other pairs are negatives, B - 1 for each, at no extra cost. If another pair has the
    same first or the same second text as this pair, its second text is not a negative
    and is left out. With several replicas, each uses the negatives of its own share.

    Args:
        scale: Factor for the cosines, which are in [-1, 1].
        name: Name of the loss.

    Call arguments:
        y_true: (B, 2) integers that identify the texts: equal for equal texts.
        y_pred: (B, 2, D) vectors of any length.
        sample_weight: (B,), or None for equal weights.

    Source: Henderson et al. 2017, section 4, https://arxiv.org/abs/1705.00652; with
        cosines and scale as `MultipleNegativesRankingLoss` of sentence-transformers
    """

    def __init__(self, scale=20.0, name="in_batch_negatives"):
        super().__init__(name)
        self.scale = scale

    def call(self, y_true, y_pred):
        if "int" not in keras.backend.standardize_dtype(y_true.dtype):
            raise ValueError(
                "InBatchNegatives is for pairs without scores; for pairs with scores, "
                "use compile(loss=tfzoo.training.CosineError()). Received: targets of "
                f"dtype {keras.backend.standardize_dtype(y_true.dtype)}"
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
    """Squared error of the cosine similarity of two texts.

    Call arguments:
        y_true: (B,) target similarities, in [-1, 1].
        y_pred: (B, 2, D) vectors of any length.
        sample_weight: (B,), or None for equal weights.

    Source: Reimers & Gurevych 2019, section 3 ("regression objective function"),
        https://arxiv.org/abs/1908.10084
    """

    def __init__(self, name="cosine_error"):
        super().__init__(name)

    def call(self, y_true, y_pred):
        if "int" in keras.backend.standardize_dtype(y_true.dtype):
            raise ValueError(
                "CosineError requires y, the similarity of each pair. Received: y=None"
            )
        first, second = _unit_pairs(y_pred)
        cosines = ops.sum(first * second, axis=-1)
        y_true = ops.reshape(ops.cast(y_true, "float32"), ops.shape(cosines))
        return ops.square(cosines - y_true)


def _unit_pairs(pairs):
    """The first and second vectors (B, D) of pairs (B, 2, D), scaled to unit length."""
    return ops.unstack(ops.normalize(pairs, axis=-1, epsilon=1e-12), axis=1)
