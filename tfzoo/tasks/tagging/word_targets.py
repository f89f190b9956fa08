"""Converts labels of words to training targets.

Shapes: N sentences, S tokens.
"""

import numpy as np
import tensorflow as tf

from tfzoo.errors import is_whole
from tfzoo.tasks.inputs import array_of, values_of
from tfzoo.tasks.labels import Labels
from tfzoo.tasks.targets import listed

NOT_LEARNED = (-1, -100)  # targets of ignored words


class WordTargets:
    """Targets of a token classifier.

    Args:
        labels: Class names in order, a list or tuple.
    """

    def __init__(self, labels):
        self.labels = Labels(labels, least=2)

    @property
    def num_outputs(self):
        return len(self.labels)

    def encode(self, y, sentences):
        """Targets of words, int32 (words of all sentences,), -1 for ignored words.

        Args:
            y: For each sentence the labels of its words, by name or index; -1 and -100
                mark words to ignore.
            sentences: List of lists of words.

        Raises:
            ValueError: a target is invalid; the message gives its row.
        """
        if y is None:
            raise ValueError("Training on raw words requires targets. Received: y=None")
        rows = listed(y)
        if len(rows) != len(sentences):
            raise ValueError(
                f"x and y must have the same length. Received: {len(sentences)} and "
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

    def encode_graph(self, y, words, number, refusals):
        """As `encode`, for a batch inside `tf.data`.

        Args:
            y: Ragged labels (N, None).
            words: Ragged words (N, None).
            number: Batch number, for error messages.
            refusals: The `Refusals` of the task.
        """

        def encode(lengths, y):
            return [self.encode(y, [range(n) for n in lengths])]

        spec = tf.TensorSpec([None], tf.int32)
        return refusals.call(encode, number, [words.row_lengths(), y], [spec])[0]

    def of_tokens(self, y, shape):
        """Targets of tokens, int32 (N, S), -1 for ignored tokens.

        Args:
            y: Indices (N, S) in any container; -1 and -100 as in `encode`.
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
        if not is_whole(label) or int(label) not in NOT_LEARNED:
            return self.labels.index_of(label, row)
        if str(label) in self.labels:
            raise ValueError(
                f"If {str(label)!r} is a label, it must be given by name, because the "
                f"number could also mean an ignored word. Received: {label} in "
                f"row {row}"
            )
        return -1


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
