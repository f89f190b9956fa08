"""Converts targets of a classifier to arrays.

Shapes: N texts, B batch, C labels.
"""

import itertools
from collections.abc import Mapping, Set

import numpy as np
import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.inputs import array_of, is_missing, values_of
from tfzoo.tasks.labels import Labels, no_single_label
from tfzoo.tasks.numeric import numbers_of

TASKS = ("classification", "multi_label", "regression")


class Targets:
    """The targets of one kind of task.

    Args:
        task: `"classification"`, `"multi_label"` or `"regression"`.
        labels: Class names in order, a list or tuple; None for regression.
    """

    def __init__(self, task, labels=None):
        if task not in TASKS:
            raise ValueError(f"task must be one of {TASKS}. Received: {task!r}")
        if task == "regression":
            if labels is not None:
                raise ValueError(
                    f"labels must be None for regression. Received: labels={labels!r}"
                )
        else:
            labels = Labels(labels, least=2 if task == "classification" else 1)
        self.task = task
        self.labels = labels
        self.num_outputs = 1 if labels is None else len(self.labels)

    def encode(self, y, count):
        """Targets of `count` texts as an array.

        Args:
            y: Any container of N rows. For classification, names or integer indices;
                for multi_label, rows of names, or rows of C numbers 0 and 1; for
                regression, numbers. The columns of a data frame are matched with the
                labels by name.
            count: Number of texts N, or None if unknown.

        Returns:
            int32 (N,), float32 (N, C) or float32 (N,).

        Raises:
            ValueError: a target is invalid; the message gives its row.
        """
        if y is None:
            raise ValueError("Training on raw text requires targets. Received: y=None")
        if self.task == "multi_label":
            found = self._multi_hot(y)
        elif self.task == "regression":
            found = _finite(_one_axis(numbers_of(_not_bools(y), "y")))
        else:
            found = self._indices(y)
        if count is not None and len(found) != count:
            raise ValueError(
                f"x and y must have the same length. Received: {count} and {len(found)}"
            )
        return found

    def in_batch(self, y):
        """Targets of a batch in a form common to all batches, for `encode`.

        Returns:
            Names (N,), float32 (N, C) or float32 (N,).
        """
        if self.task != "classification":
            return self.encode(y, None)
        return np.array(self.labels)[self.encode(y, None)]

    def encode_graph(self, y, number, refusals):
        """As `encode`, for a batch inside `tf.data`.

        Args:
            y: Tensor (B, ...) of names or numbers, ragged if rows differ in length.
            number: Batch number, for error messages.
            refusals: `Refusals`.
        """

        def encode(y):
            return [self.encode(y, len(y))]

        return refusals.call(encode, number, [y], [self.spec(y.shape)])[0]

    def spec(self, shape):
        """The `tf.TensorSpec` of the targets of a batch, given the shape of y."""
        if self.task == "multi_label":
            return tf.TensorSpec([shape[0], self.num_outputs], tf.float32)
        kind = tf.int32 if self.task == "classification" else tf.float32
        return tf.TensorSpec(shape[:1], kind)

    def _indices(self, y):
        array = array_of(y)
        if array is not None and array.ndim == 2 and array.shape[1] > 1:
            raise ValueError(no_single_label(array[0].tolist()))
        indices = map(self.labels.index_of, values_of(y, "y"), itertools.count())
        return np.array([*indices], np.int32)

    def _multi_hot(self, y):
        rows = listed(self.in_order(y))
        hot = np.zeros((len(rows), self.num_outputs), np.float32)
        for number, row in enumerate(rows):
            if isinstance(row, str | bytes | Mapping | Set) or is_missing(row):
                raise ValueError(_no_labels(self.labels, row, number))
            row = values_of(row, f"y[{number}]")
            if all(isinstance(name, str | bytes) for name in row):
                hot[number, [self.labels.index_of(n, number) for n in row]] = 1.0
            elif len(row) == self.num_outputs and all(map(_is_binary, row)):
                hot[number] = row
            else:
                raise ValueError(_no_labels(self.labels, row, number))
        return hot

    def in_order(self, y):
        """`y`; the columns of a multi-label data frame are put in order."""
        columns = getattr(y, "columns", None)
        if columns is not None and self.task == "multi_label":
            names = list(columns)
            if sorted(map(str, names)) == sorted(self.labels):
                y = y[sorted(names, key=lambda name: self.labels.index(str(name)))]
            elif any(isinstance(name, str) for name in names) and len(names) > 1:
                raise ValueError(
                    f"The columns of y must be the labels {list(self.labels)[:20]}. "
                    f"Received: {names[:20]}"
                )
        return y


def listed(y):
    """Rows of a container (N,) of rows, or of an array (N, M), as a list."""
    array = None if isinstance(y, tf.RaggedTensor) else array_of(y)
    if array is None or array.ndim == 1:
        return values_of(y, "y")
    if array.shape[1:] == (1,) and array.dtype.kind == "O":
        rows = array[:, 0].tolist()
        if all(isinstance(row, list | tuple | np.ndarray) for row in rows):
            return rows  # a data frame column of rows
    return array.tolist()


def _no_labels(labels, row, number):
    return (
        f"A multi-label target must be a list of names, or {len(labels)} numbers "
        f"0 and 1 in the order of the labels {list(labels)[:20]}. Received: "
        f"{shown(row)} in row {number}"
    )


def _is_binary(value):
    return isinstance(value, int | float | np.number | np.bool_) and value in (0, 1)


def _not_bools(y):
    array = np.array(y[:1]) if isinstance(y, list | tuple) else array_of(y)
    if array is not None and array.dtype.kind == "b":
        raise ValueError(f"Regression targets must be numbers. Received: {shown(y)}")
    return y


def _one_axis(numbers):
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1:
        raise ValueError(
            "Regression targets must be one number per text. "
            f"Received: shape {numbers.shape}"
        )
    return numbers


def _finite(numbers):
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise ValueError(f"y must be finite. Received: {numbers[row]} in row {row}")
    return numbers
