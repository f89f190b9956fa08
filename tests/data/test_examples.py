"""Texts and labels for fine-tuning."""

import collections
import json

import numpy as np
import pytest

from tfzoo.data.examples import known_labels, label_list, read_examples
from tfzoo.errors import DataError


def read(path, **options):
    options = {"text_column": "text", "label_column": "label", **options}
    return read_examples(path, **options)


@pytest.fixture
def tsv(tmp_path):
    def write(*rows, name="a.tsv"):
        path = tmp_path / name
        path.write_text("\n".join("\t".join(row) for row in rows))
        return path

    return write


def test_texts_pairs_and_labels_are_columns(tsv):
    path = tsv(["text", "other", "label"], ["a", "b", "x"], ["", "d", " y "])
    examples = read(path, text_pair_column="other")
    assert examples.texts == ["a", ""]
    assert examples.text_pairs == ["b", "d"]
    assert examples.labels == ["x", "y"]
    assert [place.number for place in examples.locations] == [2, 3]
    alone = read_examples(path, text_column=2)
    assert (alone.texts, alone.text_pairs, alone.labels) == (["b", "d"], None, None)


def test_json_labels_may_be_strings_integers_and_booleans(tmp_path):
    path = tmp_path / "a.jsonl"
    labels = ["x", 3, True, False]
    path.write_text("\n".join(json.dumps({"text": "", "label": y}) for y in labels))
    assert read(path).labels == ["x", "3", "true", "false"]


def test_labels_are_sorted_and_given_by_name(tsv):
    path = tsv(["text", "label"], ["a", "spam"], ["b", "ham"], ["c", "spam"])
    examples = read(path)
    assert label_list(examples) == ["ham", "spam"]
    assert known_labels(examples, ("ham", "spam")) == ["spam", "ham", "spam"]
    bare = read_examples(path, text_column="text")
    with pytest.raises(ValueError, match="must have labels"):
        known_labels(bare, ["ham", "spam"])


def test_a_label_never_seen_in_training_is_named_with_its_line(tsv):
    path = tsv(["text", "label"], ["a", "spam"], ["b", "eggs"])
    with pytest.raises(DataError) as error:
        known_labels(read(path), ["ham", "spam"])
    assert str(error.value) == (
        f"{path}:3: The label must be one of those in training: 'ham', 'spam'. "
        "Received: 'eggs'."
    )


def test_one_class_is_not_enough(tsv):
    path = tsv(["text", "label"], ["a", "x"], ["b", "x"])
    with pytest.raises(
        DataError, match=r"at least 2 different labels\. Received: \['x'\]"
    ):
        label_list(read(path))


def test_multi_label_cells_are_split(tsv, tmp_path):
    path = tsv(["text", "label"], ["a", "y; x"], ["b", ""], ["c", "y"])
    examples = read(path, task="multi_label", label_separator=";")
    assert examples.labels == [["y", "x"], [], ["y"]]
    assert label_list(examples) == ["x", "y"]
    assert known_labels(examples, ["x", "y"]) == examples.labels
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": ["y", 1]}\n{"text": "b", "label": []}')
    assert read(path, task="multi_label").labels == [["y", "1"], []]
    with pytest.raises(DataError, match=r"a\.jsonl:1: .*in training: '1'.*: 'y'"):
        known_labels(read(path, task="multi_label"), ["1"])


def test_regression_labels_are_finite_numbers(tsv, tmp_path):
    examples = read(
        tsv(["text", "label"], ["a", "1.5"], ["b", "-2e1"]), task="regression"
    )
    array = known_labels(examples)
    assert array.dtype == np.float32
    assert array.tolist() == [1.5, -20.0]
    wrongs = ["", " ", "x", "nan", "-NaN", "inf", "-inf", "-Infinity", "1e39", "-1e39"]
    wrongs += [
        "1e400",
        "1,5",
        "1_000",
        "\uff11\uff12",
        "\u0663",
        "0x10",
        "1e",
        "1 2",
        "--1",
    ]
    for wrong in wrongs:
        with pytest.raises(DataError) as error:
            read(tsv(["text", "label"], ["a", "1"], ["b", wrong]), task="regression")
        assert ":3: The label in column 'label' must be a finite" in str(error.value)
        assert repr(wrong) in str(error.value)
    path = tmp_path / "a.jsonl"
    for wrong in ("NaN", "Infinity", "null", "true", "[1]", "1e400"):
        path.write_text(f'{{"text": "a", "label": {wrong}}}')
        with pytest.raises(DataError, match=r"a\.jsonl:1: .* must be a finite number"):
            read(path, task="regression")


@pytest.mark.parametrize("wrong", ["", "  ", "NaN", "nan"])
def test_an_empty_or_nan_label_is_named_with_its_line(tsv, wrong):
    path = tsv(["label", "text"], ["x", "a"], [wrong, "b"])
    with pytest.raises(DataError, match=r"a\.tsv:3: The label .* not be empty or NaN"):
        read(path)


@pytest.mark.parametrize("wrong", ["null", "NaN", "1.5", "[]", "{}"])
def test_other_json_values_are_refused_as_labels(tmp_path, wrong):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "a", "label": {wrong}}}')
    with pytest.raises(
        DataError, match=r"a\.jsonl:1: The label in column 'label' must"
    ):
        read(path)


def test_a_value_that_is_not_text_is_named_with_its_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": null, "label": 1}')
    with pytest.raises(DataError, match=r"a\.jsonl:2: Column 'text' must be text"):
        read(path)


def test_a_lone_header_is_no_example(tsv):
    with pytest.raises(DataError, match="There must be at least one example"):
        read(tsv(["text", "label"]))


def test_a_wrong_task_is_refused(tsv):
    with pytest.raises(ValueError, match="Received: 'ranking'"):
        read(tsv(["text"]), task="ranking")


def test_real_tasks_have_the_classes_they_are_known_to_have(shared_data):
    sms = read_examples(
        shared_data / "sms_spam/sms.tsv.gz", text_column=2, label_column=1, header=False
    )
    assert label_list(sms) == ["ham", "spam"]
    news = read_examples(
        shared_data / "ag_news/test.csv.gz", text_column=3, label_column=1, header=False
    )
    assert sorted(
        collections.Counter(known_labels(news, label_list(news))).values()
    ) == ([1900] * 4)
    cola = read_examples(
        shared_data / "cola/in_domain_train.tsv.gz",
        text_column=4,
        label_column=2,
        header=False,
    )
    assert len(cola) == 8551
