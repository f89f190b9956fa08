"""What a classifier learns and answers, as users write it and as numbers.

Shapes: N texts, B batch, C labels.
"""

import re
from collections.abc import Mapping, Sequence, Set

import numpy as np
import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.inputs import array_of, is_missing, values_of
from tfzoo.tasks.numeric import numbers_of

TASKS = ("classification", "multi_label", "regression")
NOT_LEARNED = (-1, -100)  # targets of words that count for nothing


class Targets:
    """The targets of one kind of task.

    Args:
        task: `"classification"`, `"multi_label"` or `"regression"`.
        labels: Names of the classes in order, a list or tuple; None for regression.
    """

    def __init__(self, task, labels=None):
        if task not in TASKS:
            raise ValueError(f"task must be one of {TASKS}. Received: {task!r}")
        if task == "regression":
            if labels is not None:
                raise ValueError(
                    f"A regression has no labels. Received: labels={labels!r}"
                )
        else:
            labels = label_names(task, labels)
        self.task = task
        self.labels = labels
        self.num_outputs = 1 if labels is None else len(self.labels)
        self._index = {label: i for i, label in enumerate(self.labels or ())}
        # Labels "1" to "5" and the number 1: the name, or the second label?
        self._ambiguous = next(
            (
                label
                for label, i in self._index.items()
                if re.fullmatch(r"\s*[+-]?\d+(\.0*)?\s*", label) and float(label) != i
            ),
            None,
        )

    def encode(self, y, count):
        """Targets of `count` texts as an array.

        Args:
            y: In any container of N rows. For classification names, or indices as whole
                numbers; for multi_label rows of names, or rows of C numbers 0 and 1;
                for regression numbers. A data frame's columns that are the labels are
                taken by their names.
            count: Number of texts N; None: not known.

        Returns:
            int32 (N,), float32 (N, C) or float32 (N,).

        Raises:
            ValueError: a target is none of these; it is named with its row.
        """
        if y is None:
            raise ValueError("Raw texts are trained on with targets. Received: y=None")
        if self.task == "multi_label":
            found = self._multi_hot(y)
        elif self.task == "regression":
            found = _finite(_one_axis(numbers_of(_not_bools(y), "y")))
        else:
            found = self._indices(y)
        if count is not None and len(found) != count:
            raise ValueError(
                f"x and y must be of one length. Received: {count} and {len(found)}"
            )
        return found

    def in_batch(self, y):
        """Targets of a batch in a form that all batches have and `encode` takes.

        Returns:
            Names (N,), float32 (N, C) or float32 (N,).
        """
        if self.task != "classification":
            return self.encode(y, None)
        return np.array(self.labels)[self.encode(y, None)]

    def encode_graph(self, y, number, refusals):
        """The same of a batch within `tf.data`.

        Args:
            y: Tensor (B, ...) of names or numbers, ragged where rows differ.
            number: The number of the batch, for the errors.
            refusals: `Refusals`.
        """

        def encode(number, y):
            try:
                return [self.encode(y, len(y))]
            except ValueError as e:
                raise ValueError(f"{e}, batch {number}") from None

        return refusals.call(encode, [number, y], [self.spec(y.shape)])[0]

    def spec(self, shape):
        """The `tf.TensorSpec` of the targets of a batch, from the shape of y."""
        if self.task == "multi_label":
            return tf.TensorSpec([shape[0], self.num_outputs], tf.float32)
        kind = tf.int32 if self.task == "classification" else tf.float32
        return tf.TensorSpec(shape[:1], kind)

    def encode_words(self, y, sentences):
        """Targets of words, int32 (words of all sentences,), -1 where none is learned.

        Args:
            y: For each sentence the labels of its words, by name or index; -1 and -100
                stand for words that are not learned.
            sentences: List of lists of words.
        """
        if y is None:
            raise ValueError("Raw words are trained on with targets. Received: y=None")
        rows = listed(y)
        if len(rows) != len(sentences):
            raise ValueError(
                f"x and y must be of one length. Received: {len(sentences)} and "
                f"{len(rows)}"
            )
        found = []
        for row, (labels, words) in enumerate(zip(rows, sentences, strict=True)):
            labels = values_of(labels, f"y[{row}]")
            if len(labels) != len(words):
                raise ValueError(
                    f"Every word must have one label. Received: {len(words)} words and "
                    f"{len(labels)} labels in row {row}"
                )
            found += [self._of_word(label, row) for label in labels]
        return np.array(found, np.int32)

    def of_tokens(self, y, shape):
        """Targets of tokens, int32, -1 where none is learned.

        Args:
            y: Indices of that shape, in any container; -1 and -100 as in
                `encode_words`.
            shape: (N, S).
        """
        found = array_of(y)
        if found is None:
            found = _of_rows(values_of(y, "y"), shape)
        if found.shape != tuple(shape):
            raise ValueError(
                f"y must have a label for every token, shape {tuple(shape)}. "
                f"Received: shape {found.shape}"
            )
        if found.dtype.kind == "O":  # such values cannot be sorted
            values, first, places = found.ravel(), range(found.size), slice(None)
        else:
            values, first, places = np.unique(
                found, return_index=True, return_inverse=True
            )
        indices = [
            self._of_word(value, place // shape[1])
            for value, place in zip(values.tolist(), first, strict=True)
        ]
        return np.array(indices, np.int32)[places].reshape(shape)

    def _of_word(self, label, row):
        number = isinstance(label, int | np.integer) and not isinstance(label, bool)
        if not number or int(label) not in NOT_LEARNED:
            return self._one(label, row)
        if str(label) in self.labels:
            raise ValueError(
                f"Where {str(label)!r} is a label, the number may be that label or a "
                f"word that is not learned: give the name. Received: {label} in "
                f"row {row}"
            )
        return -1

    def index_of(self, label):
        """The index of a label by its name or number."""
        return self._one(label, 0)

    def _indices(self, y):
        array = array_of(y)
        if array is not None and array.ndim == 2 and array.shape[1] > 1:
            raise ValueError(_no_rows(array[0].tolist()))
        values = values_of(y, "y")
        return np.array([self._one(v, row) for row, v in enumerate(values)], np.int32)

    def _one(self, label, row):
        """The index of a label by its name or number."""
        if isinstance(label, bytes):
            label = label.decode("utf-8", "replace")
        if isinstance(label, str):
            index = self._index.get(label)
        else:
            index = self._number(label, row)
        if index is None:
            raise ValueError(
                f"A target must be one of the labels {list(self.labels)[:20]} or its "
                f"index. Received: {shown(label)} in row {row}"
            )
        return index

    def _number(self, label, row):
        if isinstance(label, list | tuple | np.ndarray) and np.size(label) == 1:
            label = np.asarray(label).item()  # of (N, 1)
        if isinstance(label, Sequence | np.ndarray):
            raise ValueError(_no_rows(list(label), row))
        if isinstance(label, bool | np.bool_):
            raise ValueError(
                "A target must be a label or its index; of booleans give "
                f"y.astype(int). Received: {label} in row {row}"
            )
        if not isinstance(label, int | float | np.number) or label != label // 1:
            return None
        if not 0 <= label < self.num_outputs:
            return None
        if self._ambiguous is not None:
            raise ValueError(
                f"Where labels are numbers, as {self._ambiguous!r} is here, targets "
                "must be their names, such as str(label), since an index would be "
                f"another label. Received: {shown(label)} in row {row}"
            )
        return int(label)

    def _multi_hot(self, y):
        rows = listed(self.in_order(y))
        hot = np.zeros((len(rows), self.num_outputs), np.float32)
        for number, row in enumerate(rows):
            if isinstance(row, str | bytes | Mapping | Set) or is_missing(row):
                raise ValueError(_no_labels(self.labels, row, number))
            row = values_of(row, f"y[{number}]")
            if all(isinstance(name, str | bytes) for name in row):
                hot[number, [self._one(name, number) for name in row]] = 1.0
            elif len(row) == self.num_outputs and all(map(_is_binary, row)):
                hot[number] = row
            else:
                raise ValueError(_no_labels(self.labels, row, number))
        return hot

    def in_order(self, y):
        """`y`, with the columns of a data frame of several labels in their order."""
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


def label_names(task, labels):
    """The names of the classes as a tuple, checked.

    Raises:
        ValueError: they have no order, are too few, or not all different strings.
    """
    least = 2 if task == "classification" else 1
    ordered = labels is None or isinstance(labels, Sequence)
    ordered = ordered or array_of(labels) is not None
    if isinstance(labels, str | bytes | Mapping | Set) or not ordered:
        raise ValueError(
            "labels must be a list or tuple, whose order is that of the classes. "
            f"Received: {type(labels).__name__} {shown(labels)}"
        )
    names = () if labels is None else tuple(values_of(labels, "labels"))
    if len(names) < least or len(set(map(str, names))) < len(names):
        raise ValueError(
            f"labels must be {least} or more different names. Received: {names[:20]!r}"
        )
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise ValueError(f"labels must be strings. Received: {wrong[0]!r}")
    return tuple(map(str, names))


def listed(y):
    """Rows of a container (N,) of rows, or of an array (N, M), as a list."""
    array = None if isinstance(y, tf.RaggedTensor) else array_of(y)
    if array is None or array.ndim == 1:
        return values_of(y, "y")
    if array.shape[1:] == (1,) and array.dtype.kind == "O":
        rows = array[:, 0].tolist()
        if all(isinstance(row, list | tuple | np.ndarray) for row in rows):
            return rows  # a frame's column of rows
    return array.tolist()


def _of_rows(rows, shape):
    """Rows of labels as an array (N, S) of objects.

    Raises:
        ValueError: a row is too long or too short.
    """
    rows = [values_of(labels, f"y[{row}]") for row, labels in enumerate(rows)]
    for row, labels in enumerate(rows):
        if len(labels) != shape[1]:
            raise ValueError(
                f"Every token must have one label. Received: {shape[1]} tokens and "
                f"{len(labels)} labels in row {row}"
            )
    found = np.empty((len(rows), shape[1]), object)
    for row, labels in enumerate(rows):
        found[row, :] = labels
    return found


def _no_rows(row, number=0):
    return (
        "A target of a classification is one label; of one-hot rows give "
        "y.argmax(-1), for several labels a text task='multi_label'. Received: "
        f"{shown(row)} in row {number}"
    )


def _no_labels(labels, row, number):
    return (
        f"A target of several labels must be a list of names, or {len(labels)} numbers "
        f"0 and 1 in the order of the labels {list(labels)[:20]}. Received: "
        f"{shown(row)} in row {number}"
    )


def _is_binary(value):
    return isinstance(value, int | float | np.number | np.bool_) and value in (0, 1)


def _not_bools(y):
    array = np.array(y[:1]) if isinstance(y, list | tuple) else array_of(y)
    if array is not None and array.dtype.kind == "b":
        raise ValueError(f"A regression learns numbers. Received: {shown(y)}")
    return y


def _one_axis(numbers):
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1:
        raise ValueError(
            f"A regression learns one number a text. Received: shape {numbers.shape}"
        )
    return numbers


def _finite(numbers):
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise ValueError(f"y must be finite. Received: {numbers[row]} in row {row}")
    return numbers
