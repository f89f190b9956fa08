"""Metrics for classification, multi-label classification and regression.

Each metric computes several results in one pass; `fit` logs each under its own name.
Pass them to `compile(weighted_metrics=...)`: only there does Keras pass sample weights.

Shapes: B batch, C classes or labels.
"""

import keras
import numpy as np
from keras import ops


class Figures(keras.metrics.Metric):
    """Base class for metrics whose result is a dict, with a prefix for its names.

    Keras flattens the dict without the output's name, so models with several outputs
    need a prefix for each.
    """

    def __init__(self, name, prefix):
        super().__init__(name=name)
        self.prefix = prefix

    def _named(self, **figures):
        return {f"{self.prefix}{name}": value for name, value in figures.items()}

    def get_config(self):
        return {"name": self.name, "prefix": self.prefix}


@keras.saving.register_keras_serializable("tfzoo")
class Accuracy(keras.metrics.MeanMetricWrapper):
    """Fraction of positions whose most likely class is correct; for vocabularies.

    Replaces `keras.metrics.SparseCategoricalAccuracy`, whose `argmax` on TensorFlow
    makes eight passes over all logits to tell 0.0 from -0.0, and is a slow loop under
    XLA.

    Call arguments:
        y_true: (B, ...) class indices.
        y_pred: (B, ..., C) logits; a tie for the largest counts as wrong.
        sample_weight: (B,) or (B, ...).
    """

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(_is_right, name=name, **kwargs)

    def get_config(self):
        return {"name": self.name}


def is_right(y_true, y_pred):
    """1.0 where every other class has a smaller logit than the correct one, else 0.0.

    A model whose logits are all equal, or NaN, is therefore never right.

    Args:
        y_true: (...) integers.
        y_pred: (..., C) logits.

    Returns:
        (...) float32.
    """
    y_true = ops.expand_dims(ops.cast(y_true, "int32"), -1)
    right = ops.take_along_axis(y_pred, y_true, axis=-1)
    as_large = ops.sum(ops.cast(y_pred >= right, "int32"), axis=-1)
    return ops.cast(ops.equal(as_large, 1), "float32")


def _is_right(y_true, y_pred):
    return is_right(ops.reshape(y_true, ops.shape(y_pred)[:-1]), y_pred)


@keras.saving.register_keras_serializable("tfzoo")
class ClassificationMetrics(Figures):
    """Accuracy, precision, recall, F1 and Matthews correlation from class logits.

    With two classes, precision, recall and F1 are those of class 1; otherwise they are
    macro averages over the classes that occur in the targets or predictions. A ratio
    with a zero denominator is 0. (scikit-learn's conventions.)

    Args:
        num_classes: Number of classes C, at least 2.
        prefix: Prefix of the result names.
        name: Name of the metric.

    Call arguments:
        y_true: (B,) class indices.
        y_pred: (B, C) logits.
        sample_weight: (B,); 0 ignores an example.
    """

    def __init__(self, num_classes, prefix="", name="classification"):
        super().__init__(name, prefix)
        if num_classes < 2:
            raise ValueError(
                f"num_classes must be >= 2. Received: num_classes={num_classes}"
            )
        self.num_classes = num_classes
        self.confusion = self.add_variable(
            (num_classes, num_classes), "zeros", dtype="float32", name="confusion"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth = ops.one_hot(ops.reshape(y_true, (-1,)), self.num_classes)
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
            truth = truth * weights
        found = ops.one_hot(ops.argmax(y_pred, axis=-1), self.num_classes)
        self.confusion.assign_add(ops.matmul(ops.transpose(truth), found))

    def result(self):
        confusion = ops.convert_to_tensor(self.confusion)  # (true, predicted)
        correct = ops.diagonal(confusion)
        true, predicted = ops.sum(confusion, axis=1), ops.sum(confusion, axis=0)
        figures = _precision_recall_f1(correct, true, predicted)
        if self.num_classes == 2:
            figures = {name: values[1] for name, values in figures.items()}
        else:
            occurs = ops.cast(true + predicted > 0, "float32")
            figures = {
                name: ops.divide_no_nan(ops.sum(values * occurs), ops.sum(occurs))
                for name, values in figures.items()
            }
        total = ops.sum(confusion)
        return self._named(
            accuracy=ops.divide_no_nan(ops.sum(correct), total),
            **figures,
            matthews=_matthews(correct, true, predicted, total),
        )

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


def _precision_recall_f1(correct, true, predicted):
    return {
        "precision": ops.divide_no_nan(correct, predicted),
        "recall": ops.divide_no_nan(correct, true),
        "f1": ops.divide_no_nan(2 * correct, true + predicted),
    }


def _matthews(correct, true, predicted, total):
    """Multi-class form (Gorodkin 2004), with normalized counts for float32 accuracy."""
    correct, true, predicted = (
        ops.divide_no_nan(count, total) for count in (correct, true, predicted)
    )
    covariance = ops.sum(correct) - ops.sum(true * predicted)
    spread = (1 - ops.sum(true * true)) * (1 - ops.sum(predicted * predicted))
    return ops.divide_no_nan(covariance, ops.sqrt(ops.maximum(spread, 0.0)))


@keras.saving.register_keras_serializable("tfzoo")
class MultiLabelMetrics(Figures):
    """Accuracy, precision, recall and F1 of multi-label classification from logits.

    A label is predicted if its logit is positive. Accuracy is the fraction of examples
    whose labels are all correct; precision, recall and F1 are means over the labels.

    Args:
        num_labels: Number of labels C.
        prefix: Prefix of the result names.
        name: Name of the metric.

    Call arguments:
        y_true: (B, C) of 0 and 1.
        y_pred: (B, C) logits.
        sample_weight: (B,); 0 ignores an example.
    """

    def __init__(self, num_labels, prefix="", name="multi_label"):
        super().__init__(name, prefix)
        self.num_labels = num_labels
        # Rows: correct, true, predicted
        self.counts = self.add_variable(
            (3, num_labels), "zeros", dtype="float32", name="counts"
        )
        # Weight of the examples that are entirely correct, and of all examples
        self.examples = self.add_variable(
            (2,), "zeros", dtype="float32", name="examples"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth = ops.cast(y_true, "float32")
        found = ops.cast(y_pred > 0, "float32")
        weights = ops.ones_like(truth[:, 0])
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        counts = ops.stack([truth * found, truth, found])
        self.counts.assign_add(ops.einsum("kbc,b->kc", counts, weights))
        right = ops.cast(ops.all(truth == found, axis=-1), "float32")
        self.examples.assign_add(
            ops.stack([ops.sum(right * weights), ops.sum(weights)])
        )

    def result(self):
        correct, true, predicted = ops.unstack(ops.convert_to_tensor(self.counts))
        right, total = ops.unstack(ops.convert_to_tensor(self.examples))
        figures = _precision_recall_f1(correct, true, predicted)
        return self._named(
            accuracy=ops.divide_no_nan(right, total),
            **{name: ops.mean(values) for name, values in figures.items()},
        )

    def get_config(self):
        return {**super().get_config(), "num_labels": self.num_labels}


@keras.saving.register_keras_serializable("tfzoo")
class RegressionMetrics(Figures):
    """Mean squared error and Pearson correlation of one number per example.

    Spearman correlation needs all examples at once: see `spearman`.

    Args:
        prefix: Prefix of the result names.
        name: Name of the metric.

    Call arguments:
        y_true: (B,) or (B, 1).
        y_pred: (B, 1).
        sample_weight: (B,); 0 ignores an example.
    """

    def __init__(self, prefix="", name="regression"):
        super().__init__(name, prefix)
        # Weighted sums of 1, x, y, xx, yy, xy; float64, since differences cancel
        self.sums = self.add_variable((6,), "zeros", dtype="float64", name="sums")

    def update_state(self, y_true, y_pred, sample_weight=None):
        x = ops.reshape(ops.cast(y_true, "float64"), (-1,))
        y = ops.reshape(ops.cast(y_pred, "float64"), (-1,))
        weights = ops.ones_like(x)
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, "float64"), (-1,))
        terms = ops.stack([ops.ones_like(x), x, y, x * x, y * y, x * y])
        self.sums.assign_add(ops.sum(terms * weights, axis=-1))

    def result(self):
        total, *sums = ops.unstack(ops.convert_to_tensor(self.sums))
        x, y, xx, yy, xy = (ops.divide_no_nan(s, total) for s in sums)
        spread = ops.maximum(xx - x * x, 0.0) * ops.maximum(yy - y * y, 0.0)
        figures = self._named(
            mean_squared_error=xx - 2 * xy + yy,
            pearson=ops.divide_no_nan(xy - x * y, ops.sqrt(spread)),
        )
        return {name: ops.cast(value, "float32") for name, value in figures.items()}


def pearson(x, y):
    """Pearson correlation of two arrays (N,); NaN if one is constant."""
    x, y = _pair(x, y)
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / spread) if spread > 0 else float("nan")


def spearman(x, y):
    """Spearman rank correlation of two arrays (N,); ties share their mean rank."""
    x, y = _pair(x, y)
    return pearson(_ranks(x), _ranks(y))


def _pair(x, y):
    x, y = np.ravel(np.asarray(x, "float64")), np.ravel(np.asarray(y, "float64"))
    if x.size != y.size or x.size < 2:
        raise ValueError(
            "x and y must have the same size, at least 2. "
            f"Received: sizes {x.size} and {y.size}"
        )
    return x, y


def _ranks(values):
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]
