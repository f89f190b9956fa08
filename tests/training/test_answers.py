import collections
import re
import string

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.training.answers import (
    AnswerSpanLoss,
    AnswerSpanMetrics,
    exact_match_and_f1,
)


def squad_script(answer, accepted):
    """SQuAD's evaluate-v2.0.py, shortened."""

    def normalized(text):
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    def f1(gold, found):
        gold, found = normalized(gold).split(), normalized(found).split()
        same = sum((collections.Counter(gold) & collections.Counter(found)).values())
        if not gold or not found:
            return int(gold == found)
        if same == 0:
            return 0
        precision, recall = same / len(found), same / len(gold)
        return 2 * precision * recall / (precision + recall)

    exact = max(int(normalized(g) == normalized(answer)) for g in accepted or [""])
    return exact, max(f1(g, answer) for g in accepted or [""])


TEXTS = st.lists(
    st.sampled_from(["the", "A", "cat", "cat's", "sat,", "U.S.", "  ", "an", "\n", "é"])
).map(" ".join)


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_exact_match_and_f1_are_those_of_squads_script(answer, accepted):
    assert exact_match_and_f1(answer, accepted) == pytest.approx(
        squad_script(answer, accepted)
    )


@pytest.mark.parametrize(
    ("answer", "accepted", "figures"),
    [
        ("the Cat!", ["a cat"], (1, 1)),
        ("black cat", ["dog", "cat"], (0, 2 / 3)),
        ("", [], (1, 1)),
        ("cat", [], (0, 0)),
    ],
)
def test_answers_are_compared_word_by_word(answer, accepted, figures):
    assert exact_match_and_f1(answer, accepted) == pytest.approx(figures)


def spans(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 7, (5, 2)), rng.normal(size=(5, 7, 2)).astype("float32")


def test_the_loss_is_the_weighted_mean_of_start_and_end():
    y_true, logits = spans()
    weights = np.array([1, 0, 2, 0.5, 1])
    log = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    each = [-(log[i, s, 0] + log[i, e, 1]) / 2 for i, (s, e) in enumerate(y_true)]
    loss = AnswerSpanLoss()
    expected = (each * weights).sum() / weights.sum()
    assert float(loss(y_true, logits, weights)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(y_true, logits)) == pytest.approx(np.mean(each), rel=1e-5)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert float(copy(y_true, logits)) == float(loss(y_true, logits))


def test_accuracies_of_starts_ends_and_spans():
    y_true, logits = spans()
    found = logits.argmax(axis=1)
    y_true[:3, 0], y_true[1:4, 1] = found[:3, 0], found[1:4, 1]
    y_true[3:, 0], y_true[[0, 4], 1] = (
        (found[3:, 0] + 1) % 7,
        (found[[0, 4], 1] + 1) % 7,
    )
    metric = AnswerSpanMetrics()
    metric.update_state(y_true, logits, np.array([1, 1, 1, 1, 0]))
    figures = {name: float(value) for name, value in metric.result().items()}
    assert figures == {
        "start_accuracy": 0.75,
        "end_accuracy": 0.75,
        "span_accuracy": 0.5,
    }
