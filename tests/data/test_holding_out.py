"""Validation rows held out of a table."""

import collections
import random

import pytest

from tfzoo.data.examples import read_examples
from tfzoo.data.holding_out import held_out_rows
from tfzoo.errors import DataError


@pytest.fixture
def examples(tmp_path):
    def read(rows, **options):
        path = tmp_path / "a.tsv"
        path.write_text("\n".join(f"{text}\t{label}" for text, label in rows))
        return read_examples(
            path, text_column=1, label_column=2, header=False, **options
        )

    return read


def by_label(rows, period=10, **options):
    """Number of held-out rows for each label, and their indices."""
    texts, labels = zip(*rows, strict=True)
    chosen = held_out_rows(texts, [(label,) for label in labels], period, **options)
    return collections.Counter(labels[i] for i in chosen), chosen


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_rows_with_alternating_classes_are_held_out_from_each_class(examples, classes):
    table = examples([(f"t{i}", f"y{i % classes}") for i in range(100)])
    train, held_out = table.split_every(10)
    share = 10 // classes
    assert collections.Counter(held_out.labels) == {
        f"y{c}": share for c in range(classes)
    }
    assert sorted(train.texts + held_out.texts) == sorted(table.texts)
    for part in (train, held_out):
        lines = [place.number for place in part.locations]
        assert lines == [int(text[1:]) + 1 for text in part.texts]


def test_sorted_rows_are_held_out_from_each_class():
    rows = [(f"t{i}", "a" if i < 900 else "b" if i < 990 else "c") for i in range(1000)]
    assert by_label(rows)[0] == {"a": 90, "b": 9, "c": 1}


def test_a_class_keeps_its_only_row_for_training(examples, capsys):
    rows = [("t0", "rare"), *((f"t{i}", f"y{i % 2}") for i in range(1, 40))]
    for seed in range(20):
        train, held_out = examples(rows).split_every(10, seed=seed)
        assert "rare" in train.labels
        assert set(held_out.labels) == {"y0", "y1"}
    told = capsys.readouterr().out.splitlines()
    assert len(set(told)) == 1
    assert told[0].endswith(
        "a.tsv: held out 4 of 40 examples, of 2 of 3 classes; too few texts for 'rare'."
    )


def test_equal_texts_stay_together():
    texts = [f"t{i % 60}" for i in range(180)]
    _, chosen = by_label([(text, f"y{i % 2}") for i, text in enumerate(texts)])
    held_out = {texts[i] for i in chosen}
    assert 4 <= len(held_out) <= 6
    assert chosen == [i for i, text in enumerate(texts) if text in held_out]


def test_a_text_with_two_labels_leaves_both_for_training():
    rows = [("same", "a"), ("same", "b"), *((f"t{i}", "c") for i in range(30))]
    for seed in range(20):
        held_out, _ = by_label(rows, seed=seed)
        assert set(held_out) == {"c"}


def test_the_order_of_the_rows_changes_nothing_and_the_seed_does():
    rows = [(f"t{i % 300}", f"y{i % 7 == 0}") for i in range(1000)]
    _, chosen = by_label(rows)
    mixed = list(range(1000))
    random.Random(0).shuffle(mixed)
    _, others = by_label([rows[i] for i in mixed])
    assert sorted(mixed[i] for i in others) == chosen
    assert by_label(rows, seed=1)[1] != chosen
    assert by_label(rows)[1] == chosen


def test_the_rarest_label_of_a_row_decides():
    labels = [("often", "rare") if i % 50 == 0 else ("often",) for i in range(100)]
    for seed in range(10):
        chosen = held_out_rows([f"t{i}" for i in range(100)], labels, 10, seed)
        held_out = [labels[i] for i in chosen]
        assert len(held_out) == 10
        assert sum("rare" in names for names in held_out) == 1


def test_regression_rows_are_held_out_by_hash_only(examples):
    table = examples([(f"t{i}", i) for i in range(35)], task="regression")
    train, held_out = table.split_every(10)
    assert (len(train), len(held_out)) == (32, 3)
    assert held_out.labels == [float(text[1:]) for text in held_out.texts]


def test_holding_out_a_single_class_is_reported(examples, capsys):
    rows = [("a b", "x"), *((f"t{i}", "y") for i in range(30))]
    examples(rows).split_every(10)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "all held-out examples are of one class, 'y'" in line
    assert "--validation" in line


def test_texts_that_occur_too_often_are_held_out_with_a_warning(examples, capsys):
    rows = [(("good", "bad")[i % 2], f"y{i % 2}") for i in range(40)]
    train, held_out = examples(rows).split_every(10)
    assert collections.Counter(held_out.labels) == {"y0": 2, "y1": 2}
    assert len(train) == 36
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "are also in the training data" in line and "--validation" in line


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ([(f"t{i}", "x") for i in range(9)], "at least 10 examples .* Received: 9"),
        (
            [(f"t{i}", f"y{i}") for i in range(20)],
            "20 examples, none of which can be held",
        ),
    ],
)
def test_if_nothing_can_be_held_out_the_error_names_the_fix(examples, rows, rule):
    with pytest.raises(DataError, match=rf"a\.tsv: .*{rule}.*--validation"):
        examples(rows).split_every(10)


@pytest.mark.parametrize("period", [1, 0, -3, 2.5, None])
def test_a_period_that_holds_out_all_or_nothing_is_refused(examples, period):
    with pytest.raises(ValueError, match=f">= 2. Received: {period}"):
        examples([("a", "x"), ("b", "y")]).split_every(period)
