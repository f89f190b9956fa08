"""Loss and metrics of extractive question answering.

Shapes: B windows, S tokens. Logits (B, S, 2) score every token as the start and as the
end of the answer; targets (B, 2) are the start and end tokens.

Source: Devlin et al. 2018, section 4.2; Rajpurkar et al. 2016, section 6.1,
https://arxiv.org/abs/1606.05250, and its evaluate-v1.1.py
"""

import collections
import re
import string

import keras
from keras import ops

from tfzoo.training.losses import WeightedMean
from tfzoo.training.metrics import Figures

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


@keras.saving.register_keras_serializable("tfzoo")
class AnswerSpanLoss(WeightedMean):
    """Mean of the cross-entropies of the start and the end.

    Call arguments:
        y_true: (B, 2) integers, 0 to S - 1.
        y_pred: (B, S, 2) logits.
        sample_weight: (B,), or None for equal weights.
    """

    def __init__(self, name="answer_span"):
        super().__init__(name)

    def call(self, y_true, y_pred):
        losses = ops.sparse_categorical_crossentropy(
            ops.cast(y_true, "int32"),
            ops.transpose(y_pred, (0, 2, 1)),
            from_logits=True,
        )
        return ops.mean(losses, axis=-1)


@keras.saving.register_keras_serializable("tfzoo")
class AnswerSpanMetrics(Figures):
    """Accuracy of the most likely start, of the most likely end, and of both together.

    Args:
        prefix: Prefix of the result names.
        name: Name of the metric.

    Call arguments:
        y_true: (B, 2) integers.
        y_pred: (B, S, 2) logits.
        sample_weight: (B,); 0 ignores a window.
    """

    def __init__(self, prefix="", name="answer_span"):
        super().__init__(name, prefix)
        # Weights of correct starts, of correct ends, of both, and of all windows
        self.counts = self.add_variable((4,), "zeros", dtype="float32", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        found = ops.cast(ops.argmax(y_pred, axis=1), "int32")
        right = ops.cast(ops.equal(ops.cast(y_true, "int32"), found), "float32")
        start, end = ops.unstack(right, axis=1)
        weights = ops.ones_like(start)
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        counts = ops.stack([start, end, start * end, ops.ones_like(start)])
        self.counts.assign_add(ops.sum(counts * weights, axis=1))

    def result(self):
        start, end, both, total = ops.unstack(ops.convert_to_tensor(self.counts))
        return self._named(
            start_accuracy=ops.divide_no_nan(start, total),
            end_accuracy=ops.divide_no_nan(end, total),
            span_accuracy=ops.divide_no_nan(both, total),
        )


def exact_match_and_f1(answer, accepted):
    """SQuAD's exact match and F1 of an answer, each from 0 to 1.

    Case, punctuation and articles are ignored.

    Args:
        answer: A text; empty for no answer.
        accepted: List of correct answers; empty if there is none.

    Returns:
        (exact match, F1 over words), each the maximum over the correct answers.
    """
    words = _words(answer)
    scores = [_compare(words, _words(text)) for text in accepted or [""]]
    return tuple(max(column) for column in zip(*scores, strict=True))


def _words(text):
    text = text.lower().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", text).split()


def _compare(found, true):
    exact = float(found == true)
    common = sum((collections.Counter(found) & collections.Counter(true)).values())
    if not found or not true:
        return exact, exact
    return exact, 2 * common / (len(found) + len(true))
