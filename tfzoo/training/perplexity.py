"""Metrics of next-token prediction.

Shapes: B batch, S sequence, V vocabulary_size.
"""

import keras
from keras import ops

from tfzoo.training.losses import cross_entropy
from tfzoo.training.metrics import is_right


@keras.saving.register_keras_serializable("tfzoo")
class NextTokenMetrics(keras.metrics.Metric):
    """Accuracy and perplexity (e to the mean cross-entropy in nats) per token.

    Pass it to `compile(weighted_metrics=...)`: only there does Keras pass sample
    weights. If the loss is `SparseCategoricalCrossentropy`, the cross-entropy is not
    computed again: TensorFlow merges identical operations in a graph.

    Args:
        one_pass: As in the loss.
        name: Name of the metric.

    Call arguments:
        y_true: (B, S) ids.
        y_pred: (B, S, V) logits.
        sample_weight: (B, S); 0 ignores a token.
    """

    def __init__(self, one_pass=False, name="next_token"):
        super().__init__(name=name)
        self.one_pass = one_pass
        # Sums over many millions of tokens, too large for the precision of float32
        self.sums = self.add_variable((3,), "zeros", dtype="float64", name="sums")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = ops.cast(y_pred, "float32")
        y_true = ops.reshape(y_true, ops.shape(y_pred)[:-1])
        nats = cross_entropy(y_true, y_pred, one_pass=self.one_pass)
        right = is_right(y_true, y_pred)
        weights = ops.ones_like(nats)
        if sample_weight is not None:
            weights = weights * ops.cast(sample_weight, "float32")
        sums = [ops.sum(x * weights) for x in (nats, right, ops.ones_like(nats))]
        self.sums.assign_add(ops.cast(ops.stack(sums), "float64"))

    def result(self):
        nats, right, tokens = ops.unstack(ops.convert_to_tensor(self.sums))
        return {
            "accuracy": ops.cast(ops.divide_no_nan(right, tokens), "float32"),
            "perplexity": ops.cast(ops.exp(ops.divide_no_nan(nats, tokens)), "float32"),
        }

    def get_config(self):
        return {"name": self.name, "one_pass": self.one_pass}
