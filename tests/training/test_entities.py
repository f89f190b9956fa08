"""Entities in any tagging scheme are read as conlleval and seqeval read them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.training.entities import EntityMetrics, entity_spans

LABELS = ["O", "B-per", "I-per", "B-loc", "I-loc", "thing"]
BILOU_AS_BIOES = str.maketrans("LU", "ES")


def reference_spans(labels):
    """The rules of conlleval.pl one by one, with L read as E and U as S."""
    spans, before, kind_before = [], "O", ""
    for i, label in enumerate([*labels, "O"]):
        has_tag = label == "O" or label[1:2] == "-"
        tag, kind = (label[0], label[2:]) if has_tag else ("I", label)
        tag = tag.translate(BILOU_AS_BIOES)
        pair, other = before + tag, kind != kind_before
        ends = pair in {"BB", "BO", "IB", "IO", "BS", "IS"} or before in "ES"
        starts = tag in "BS" or pair in {"OI", "EE", "EI", "SE", "SI", "OE"}
        if before != "O" and (ends or other):
            spans[-1] = (*spans[-1], i - 1)
        if starts or (tag != "O" and other):
            spans.append((kind, i))
        before, kind_before = tag, kind
    return spans


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        ("O B-per I-per O", [("per", 1, 2)]),
        ("B-per B-per I-loc I-loc", [("per", 0, 0), ("per", 1, 1), ("loc", 2, 3)]),
        ("I-per O I-per I-per", [("per", 0, 0), ("per", 2, 3)]),
        ("thing thing O thing", [("thing", 0, 1), ("thing", 3, 3)]),
        ("O O", []),
        ("", []),
        # IOB1: a B only between entities of one type
        ("I-per I-per B-per I-per", [("per", 0, 1), ("per", 2, 3)]),
        # BIOES
        ("B-PER I-PER E-PER O S-LOC", [("PER", 0, 2), ("LOC", 4, 4)]),
        (
            "S-x S-x B-x E-x B-x E-x",
            [("x", 0, 0), ("x", 1, 1), ("x", 2, 3), ("x", 4, 5)],
        ),
        # BILOU
        ("B-x I-x L-x U-x U-y O", [("x", 0, 2), ("x", 3, 3), ("y", 4, 4)]),
        # of no scheme
        (
            "E-x E-x I-x S-x I-x E-x",
            [("x", 0, 0), ("x", 1, 1), ("x", 2, 2), ("x", 3, 3), ("x", 4, 5)],
        ),
        ("B-x E-y I-y", [("x", 0, 0), ("y", 1, 1), ("y", 2, 2)]),
        # tags without types, and types with dashes
        ("B I O S B E I-", [("_", 0, 1), ("_", 3, 3), ("_", 4, 5), ("_", 6, 6)]),
        ("B-a-b I-a-b I-a", [("a-b", 0, 1), ("a", 2, 2)]),
        ("B_per I_per O_x E_per", [("per", 0, 1), ("per", 3, 3)]),
        # names, not tags
        (
            "OTHER Base b-x Io",
            [("OTHER", 0, 0), ("Base", 1, 1), ("b-x", 2, 2), ("Io", 3, 3)],
        ),
    ],
)
def test_entities_begin_and_end_as_labeled(labels, spans):
    assert entity_spans(labels.split()) == spans


TAGGED = ["O", "thing", *(f"{tag}-{kind}" for tag in "BIESLU" for kind in "xy")]


@given(st.lists(st.sampled_from(TAGGED), max_size=12))
def test_any_sequence_of_tags_is_read_as_by_conlleval(labels):
    assert entity_spans(labels) == reference_spans(labels)


@given(st.lists(st.sampled_from(TAGGED), max_size=12))
def test_any_sequence_of_tags_is_read_as_by_seqeval(labels):
    scheme = pytest.importorskip("seqeval.metrics.sequence_labeling")
    # It supports L and U only in its strict mode, and no names without tags.
    labels = [x.translate(BILOU_AS_BIOES) for x in labels if x != "thing"]
    assert entity_spans(labels) == scheme.get_entities(labels)


ENTITIES = st.lists(
    st.tuples(st.sampled_from(["O", "x", "y"]), st.integers(1, 4)), max_size=6
)


@given(ENTITIES, st.sampled_from(["BIOES", "BILOU", "IOB2"]))
def test_labels_written_in_a_scheme_are_read_back(entities, scheme):
    last, alone = {"BIOES": "ES", "BILOU": "LU", "IOB2": "IB"}[scheme]
    labels, spans = [], []
    for kind, size in entities:
        if kind == "O":
            labels += ["O"] * size
            continue
        tags = alone if size == 1 else "B" + "I" * (size - 2) + last
        spans.append((kind, len(labels), len(labels) + size - 1))
        labels += [f"{tag}-{kind}" for tag in tags]
    assert entity_spans(labels) == spans


@pytest.mark.parametrize("as_graph", [False, True])
def test_the_metric_counts_the_entities_of_every_scheme(as_graph):
    rng = np.random.default_rng(0)
    true, found = rng.integers(0, len(TAGGED), (2, 60, 9))
    found = np.where(rng.random(true.shape) < 0.8, true, found)
    metric = EntityMetrics(TAGGED)
    update = tf.function(metric.update_state) if as_graph else metric.update_state
    update(true, np.eye(len(TAGGED), dtype="float32")[found])
    one, other = (
        {
            (i, *span)
            for i, row in enumerate(rows)
            for span in reference_spans([TAGGED[label] for label in row])
        }
        for rows in (true, found)
    )
    assert float(metric.result()["f1"]) == pytest.approx(
        2 * len(one & other) / (len(one) + len(other))
    )


def random_rows(seed, rows=40, length=12):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, len(LABELS), (rows, length))
    found = np.where(rng.random(true.shape) < 0.8, true, rng.integers(0, 6, true.shape))
    return true, found, rng.random(true.shape) < 0.7


def names_of(labels, is_word):
    rows = zip(labels, is_word, strict=True)
    return [[LABELS[i] for i in row[mask]] for row, mask in rows]


def test_metrics_count_whole_entities_over_words_only():
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


def test_an_entity_that_is_too_long_is_wrong():
    metric = EntityMetrics(LABELS)
    metric.update_state([[1, 0, 0]], np.eye(6)[[[1, 2, 0]]])
    assert float(metric.result()["f1"]) == 0.0
    assert float(metric.result()["accuracy"]) == pytest.approx(2 / 3)


def test_metrics_without_words_are_0():
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
    metric = EntityMetrics(LABELS[:-1])  # it expects labels with prefixes
    true, found = true % 5, found % 5
    metric.update_state(true, np.eye(5)[found], is_word)
    names = names_of(true, is_word), names_of(found, is_word)
    assert float(metric.result()["f1"]) == pytest.approx(metrics.f1_score(*names))
