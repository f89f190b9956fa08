import keras
import numpy as np
import pytest

from tfzoo.training.entities import EntityMetrics, entity_spans

LABELS = ["O", "B-per", "I-per", "B-loc", "I-loc", "thing"]


def reference_spans(labels):
    """conlleval's rule, by looking at each word and the one before it."""
    kinds = [None if x == "O" else x.split("-", 1)[-1] for x in labels]
    begins = [
        i
        for i, kind in enumerate(kinds)
        if kind and (i == 0 or labels[i][:2] == "B-" or kinds[i - 1] != kind)
    ]
    ends = [
        next(
            j
            for j in range(i, len(labels))
            if j + 1 == len(labels) or kinds[j + 1] != kinds[i] or j + 1 in begins
        )
        for i in begins
    ]
    return [(kinds[i], i, j) for i, j in zip(begins, ends, strict=True)]


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        ("O B-per I-per O", [("per", 1, 2)]),
        ("B-per B-per I-loc I-loc", [("per", 0, 0), ("per", 1, 1), ("loc", 2, 3)]),
        ("I-per O I-per I-per", [("per", 0, 0), ("per", 2, 3)]),
        ("thing thing O thing", [("thing", 0, 1), ("thing", 3, 3)]),
        ("O O", []),
        ("", []),
    ],
)
def test_entities_begin_and_end_as_the_labels_say(labels, spans):
    assert entity_spans(labels.split()) == spans


def random_rows(seed, rows=40, length=12):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, len(LABELS), (rows, length))
    found = np.where(rng.random(true.shape) < 0.8, true, rng.integers(0, 6, true.shape))
    return true, found, rng.random(true.shape) < 0.7


def names_of(labels, is_word):
    rows = zip(labels, is_word, strict=True)
    return [[LABELS[i] for i in row[mask]] for row, mask in rows]


def test_figures_are_those_of_whole_entities_of_the_words_alone():
    metric = EntityMetrics(LABELS)
    right = true_count = found_count = same = words = 0
    for seed in range(5):
        true, found, is_word = random_rows(seed)
        metric.update_state(true, np.eye(6)[found], is_word * 0.5)
        for a, b in zip(names_of(true, is_word), names_of(found, is_word), strict=True):
            assert entity_spans(a) == reference_spans(a)
            one, other = set(reference_spans(a)), set(reference_spans(b))
            right += len(one & other)
            true_count, found_count = true_count + len(one), found_count + len(other)
            same += sum(x == y for x, y in zip(a, b, strict=True))
            words += len(a)
    figures = {k: float(v) for k, v in metric.result().items()}
    assert figures == pytest.approx(
        {
            "accuracy": same / words,
            "precision": right / found_count,
            "recall": right / true_count,
            "f1": 2 * right / (true_count + found_count),
        }
    )
    assert 0.2 < figures["f1"] < figures["accuracy"]


def test_an_entity_that_goes_on_too_long_is_wrong():
    metric = EntityMetrics(LABELS)
    metric.update_state([[1, 0, 0]], np.eye(6)[[[1, 2, 0]]])
    assert float(metric.result()["f1"]) == 0.0
    assert float(metric.result()["accuracy"]) == pytest.approx(2 / 3)


def test_no_words_have_figures_of_0():
    metric = EntityMetrics(LABELS)
    metric.update_state(np.zeros((2, 3)), np.zeros((2, 3, 6)), np.zeros((2, 3)))
    assert {float(v) for v in metric.result().values()} == {0.0}


def test_a_copy_counts_the_same():
    true, found, is_word = random_rows(9)
    metric = EntityMetrics(LABELS)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )
    for each in (metric, copy):
        each.update_state(true, np.eye(6)[found], is_word)
    assert {k: float(v) for k, v in metric.result().items()} == {
        k: float(v) for k, v in copy.result().items()
    }


def test_seqeval_finds_the_same_f1():
    metrics = pytest.importorskip("seqeval.metrics")
    true, found, is_word = random_rows(3)
    metric = EntityMetrics(LABELS[:-1])  # which knows no labels without prefix
    true, found = true % 5, found % 5
    metric.update_state(true, np.eye(5)[found], is_word)
    names = names_of(true, is_word), names_of(found, is_word)
    assert float(metric.result()["f1"]) == pytest.approx(metrics.f1_score(*names))
