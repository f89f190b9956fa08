"""What a classifier learns and answers, as users write it and as numbers.

Shapes: N texts, B batch, C labels.
"""

import numpy as np
import tensorflow as tf

TASKS = ("classification", "multi_label", "regression")
THRESHOLD = 0.5  # of a probability, from which on a label of several is given


class Targets:
    """The targets of one kind of task.

    Args:
        task: `"classification"`, `"multi_label"` or `"regression"`.
        labels: Names of the classes in order; None for regression.
    """

    def __init__(self, task, labels=None):
        if task not in TASKS:
            raise ValueError(f"task must be one of {TASKS}. Received: {task!r}")
        if task == "regression":
            if labels is not None:
                raise ValueError(
                    f"A regression has no labels. Received: labels={list(labels)!r}"
                )
        else:
            _check_labels(task, labels)
        self.task = task
        self.labels = None if labels is None else tuple(labels)
        self.num_outputs = 1 if labels is None else len(self.labels)
        self._index = {label: i for i, label in enumerate(self.labels or ())}

    def encode(self, y, count):
        """Targets of `count` texts as an array.

        Args:
            y: Labels by name or index (N,); lists of names, or 0 and 1 (N, C), for
                multi_label; numbers (N,) for regression; None where nothing is known.
            count: Number of texts N.

        Returns:
            int32 (N,), float32 (N, C) or float32 (N,).
        """
        if y is None:
            raise ValueError("Raw texts are trained on with targets. Received: y=None")
        if len(y) != count:
            raise ValueError(
                f"x and y must be of one length. Received: {count} and {len(y)}"
            )
        if self.task == "multi_label":
            return self._multi_hot(y)
        if self.task == "regression":
            numbers = np.asarray(y, np.float32).reshape(count)
            if not np.isfinite(numbers).all():
                row = int(np.argmin(np.isfinite(numbers)))
                raise ValueError(f"y must be finite. Received: y[{row}]={y[row]!r}")
            return numbers
        return np.array([self._one(label) for label in y], np.int32)

    def encode_words(self, y, sentences):
        """Targets of words, int32 (words of all sentences,).

        Args:
            y: For each sentence the labels of its words, by name or index.
            sentences: List of lists of words.
        """
        if y is None:
            raise ValueError("Raw words are trained on with targets. Received: y=None")
        if len(y) != len(sentences):
            raise ValueError(
                f"x and y must be of one length. Received: {len(sentences)} and "
                f"{len(y)}"
            )
        for row, (labels, words) in enumerate(zip(y, sentences, strict=True)):
            if len(labels) != len(words):
                raise ValueError(
                    f"Every word must have one label. Received: {len(words)} words and "
                    f"{len(labels)} labels in row {row}"
                )
        return np.array([self._one(label) for row in y for label in row], np.int32)

    def _one(self, label):
        if isinstance(label, bytes):
            label = label.decode("utf-8", "replace")
        index = self._index.get(label) if isinstance(label, str) else int(label)
        if index is None or not 0 <= index < self.num_outputs:
            raise ValueError(
                f"A target must be one of the labels {list(self.labels)[:20]} or its "
                f"index. Received: {label!r}"
            )
        return index

    def _multi_hot(self, y):
        if isinstance(y, np.ndarray) and y.ndim == 2 and y.dtype.kind in "biuf":
            if y.shape[1] != self.num_outputs or not np.isin(y, (0, 1)).all():
                raise ValueError(
                    f"y must hold 0 and 1, {self.num_outputs} columns. Received: "
                    f"shape {y.shape}, values from {y.min()} to {y.max()}"
                )
            return y.astype(np.float32)
        hot = np.zeros((len(y), self.num_outputs), np.float32)
        for row, names in enumerate(y):
            for name in names:
                hot[row, self._one(name)] = 1.0
        return hot

    def encode_graph(self, y):
        """A batch of targets, in TensorFlow operations: names (B,) become indices."""
        if self.task == "classification" and y.dtype == tf.string:
            table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    tf.constant(self.labels),
                    tf.range(len(self.labels), dtype=tf.int32),
                ),
                default_value=-1,
            )
            y = table.lookup(y)
        if self.task == "classification":
            y = tf.cast(y, tf.int32)
            inside = tf.reduce_all((y >= 0) & (y < self.num_outputs))
            check = tf.debugging.Assert(
                inside, [f"Every target must be one of the labels {self.labels}."]
            )
            with tf.control_dependencies([check]):
                return tf.identity(y)
        return tf.cast(y, tf.float32)

    def answer(self, logits):
        """The answer to one text, a dict, out of its logits (C,)."""
        if self.task == "regression":
            return {"score": float(logits[0])}
        logits = logits.astype(np.float64)
        if self.task == "multi_label":
            probabilities = 1.0 / (1.0 + np.exp(-logits))
            scores = dict(zip(self.labels, map(float, probabilities), strict=True))
            given = [label for label, score in scores.items() if score >= THRESHOLD]
            return {"labels": given, "scores": scores}
        exponentials = np.exp(logits - logits.max())
        best = int(logits.argmax())
        score = float(exponentials[best] / exponentials.sum())
        return {"label": self.labels[best], "score": score}


def _check_labels(task, labels):
    names = [] if labels is None else list(labels)
    least = 2 if task == "classification" else 1
    if len(names) < least or len(set(names)) < len(names):
        raise ValueError(
            f"labels must be {least} or more different names. Received: {names[:20]!r}"
        )
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise ValueError(f"labels must be strings. Received: {wrong[0]!r}")
