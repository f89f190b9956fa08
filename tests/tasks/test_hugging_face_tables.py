"""Tables of Hugging Face's `datasets` are read like lists, and class labels by name.

With that library if it is installed, and with classes that have what tfzoo uses of it.
"""

import keras
import numpy as np
import pytest

from tfzoo.data.examples import read_examples
from tfzoo.data.pretraining import open_pretraining_data
from tfzoo.data.running_text import RunningText
from tfzoo.data.whole_text import WholeText
from tfzoo.errors import DataError
from tfzoo.tasks import QuestionAnswerer, TextClassifier, TokenClassifier

LABELS = ["no", "yes"]


class ClassLabel:
    def __init__(self, names):
        self.names = names


class List:
    def __init__(self, feature):
        self.feature = feature


class Column:
    """A lazy column, as of version 4."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def __getitem__(self, key):
        return self.values[key]


class Dataset:
    def __init__(self, columns, features, format=None):
        self.columns_there, self.features, self.format = columns, features, format

    @classmethod
    def from_list(cls, rows, features):
        return cls({name: [row[name] for row in rows] for name in rows[0]}, features)

    column_names = property(lambda self: list(self.columns_there))

    def with_format(self, format):
        return Dataset(self.columns_there, self.features, format)

    def __len__(self):
        return len(next(iter(self.columns_there.values())))

    def __iter__(self):
        for row in zip(*map(self.__getitem__, self.column_names), strict=True):
            yield dict(zip(self.column_names, row, strict=True))

    def __getitem__(self, name):
        values = self.columns_there[name]
        return Column([*map(np.asarray, values)] if self.format else values)

    def to_iterable_dataset(self):
        return IterableDataset(self)


class IterableDataset:
    def __init__(self, table):
        self.table, self.column_names = table, table.column_names
        self.features = table.features

    def with_format(self, format):
        return IterableDataset(self.table.with_format(format))

    def select_columns(self, names):
        columns = {name: self.table.columns_there[name] for name in names}
        return IterableDataset(Dataset(columns, self.table.features))

    def __iter__(self):
        return iter(self.table)

    def batch(self, size):
        rows = list(self)
        for i in range(0, len(rows), size):
            part = rows[i : i + size]
            yield {name: [row[name] for row in part] for name in self.column_names}


class DatasetDict(dict):
    column_names = property(lambda self: {n: t.column_names for n, t in self.items()})

    def with_format(self, format):
        return DatasetDict({n: t.with_format(format) for n, t in self.items()})


def stand_in(columns, **class_names):
    """A table; for some columns the names of their classes, in a list for lists."""
    features = {name: None for name in columns}
    for name, names in class_names.items():
        is_nested = isinstance(names[0], list)
        features[name] = ClassLabel(names[0] if is_nested else names)
        features[name] = List(features[name]) if is_nested else features[name]
    return Dataset(columns, features)


def of_the_library(columns, **class_names):
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(columns)
    for name, names in class_names.items():
        is_nested = isinstance(names[0], list)
        feature = datasets.ClassLabel(names=names[0] if is_nested else names)
        table = table.cast_column(
            name, datasets.List(feature) if is_nested else feature
        )
    return table


@pytest.fixture(params=[stand_in, of_the_library], scope="module")
def make(request):
    return request.param


@pytest.fixture(scope="module")
def x(texts):
    return texts[0][:8]


@pytest.fixture(scope="module")
def y(texts):
    return texts[1][:8]


@pytest.fixture(scope="module")
def classifier(small_encoder, whole_words):
    task = TextClassifier(small_encoder(), whole_words, LABELS)
    task.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return task


@pytest.fixture
def table(make, x, y):
    """The labels are numbered in another order than the classifier's."""
    numbers = [["yes", "no"].index(label) for label in y]
    columns = {"idx": [*range(8)], "text": x, "label": numbers}
    return make(columns, label=["yes", "no"])


def test_a_dataset_is_evaluated_fitted_and_predicted_like_lists(
    classifier, table, x, y
):
    want = classifier.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(classifier.evaluate(table, verbose=0), want, atol=1e-6)
    history = classifier.fit(table, verbose=0, validation_data=table).history
    assert history["val_loss"][0] == pytest.approx(want[0], abs=1e-6)
    np.testing.assert_allclose(
        classifier.predict(table, verbose=0),
        classifier.predict(x, verbose=0),
        atol=1e-6,
    )


def test_values_are_the_same_in_every_format(classifier, table, x, y):
    for format in (None, "numpy"):
        formatted = table.with_format(format)
        assert classifier.raw_input(formatted) == (x, None)
        assert classifier.given_targets(formatted, None) == y


def test_only_the_columns_that_a_task_needs_are_read(classifier, x, y, monkeypatch):
    asked = []
    get = Dataset.__getitem__
    monkeypatch.setattr(
        Dataset, "__getitem__", lambda self, name: asked.append(name) or get(self, name)
    )
    classifier.evaluate(stand_in({"image": x, "text": x, "label": y}), verbose=0)
    assert {*asked} == {"text", "label"}


def test_class_names_that_the_task_lacks_are_refused(classifier, make, x):
    table = make({"text": x, "label": [0] * 7 + [1]}, label=["no", "maybe"])
    with pytest.raises(ValueError, match="'yes'.*Received: 'maybe' in row 7"):
        classifier.evaluate(table, verbose=0)
    index = classifier.evaluate(table["text"], table["label"], verbose=0)
    want = classifier.evaluate(x, ["no"] * 7 + ["yes"], verbose=0)
    np.testing.assert_allclose(index, want, atol=1e-6)


def test_a_missing_column_is_named_with_how_to_rename_one(
    classifier, make, x, small_encoder, whole_words, make_encoder, tokenizer
):
    table = make({"sentence": x, "label": [0] * 8})
    tagger = TokenClassifier(small_encoder(), whole_words, ["O", "B-pet"])
    answerer = QuestionAnswerer(make_encoder(pooler=False), tokenizer)
    for task, name in ((classifier, "text"), (tagger, "text"), (answerer, "question")):
        rule = (
            rf"column '{name}'.*rename_column\(NAME, .*the columns 'sentence', 'label'"
        )
        for call in (task.evaluate, task.predict):
            with pytest.raises(ValueError, match=rule):
                call(table, verbose=0)


def test_texts_without_labels_are_predicted_but_not_evaluated(classifier, make, x):
    table = make({"text": x, "label": [-1] * 8}, label=LABELS)
    np.testing.assert_array_equal(
        classifier.predict(table, verbose=0), classifier.predict(x, verbose=0)
    )
    with pytest.raises(ValueError, match="Received: -1 in row 0"):
        classifier.evaluate(table, verbose=0)


def test_several_labels_of_a_text_are_named(make, small_encoder, whole_words, x):
    task = TextClassifier(
        small_encoder(), whole_words, ["a", "b", "c"], task="multi_label"
    )
    table = make({"text": x, "labels": [[0, 2]] * 8}, labels=[["c", "b", "a"]])
    targets = task.targets_of_raw(
        task.raw_input(table), task.given_targets(table, None)
    )
    np.testing.assert_array_equal(targets, [[1, 0, 1]] * 8)


def test_words_of_sentences_of_one_length_are_tagged(make, small_encoder, whole_words):
    task = TokenClassifier(small_encoder(), whole_words, ["O", "B-pet"])
    words = [["the", "cat"], ["a", "dog"], ["the", "mat"]]
    tags = [[1, 0], [1, 0], [1, -100]]
    table = make({"text": words, "label": tags}, label=[["B-pet", "O"]])
    assert task.raw_input(table) == words
    targets = task.targets_of_raw(words, task.given_targets(table, None))
    np.testing.assert_array_equal(targets, [0, 1, 0, 1, 0, -1])


def test_questions_are_read(make, make_encoder, tokenizer):
    answers = [{"text": ["cat"], "answer_start": [4]}, {"text": [], "answer_start": []}]
    columns = {
        "id": ["a", "b"],
        "question": ["what sat?", "what ran?"],
        "context": ["the cat sat", "a dog sat"],
        "answers": answers,
    }
    task = QuestionAnswerer(make_encoder(pooler=False), tokenizer)
    for format in (None, "numpy"):
        found = task.raw_input(make(columns).with_format(format))
        assert found == (columns["question"], columns["context"], answers)


def test_splits_and_streams_are_refused_with_what_to_pass(
    classifier, make, table, x, y
):
    stream = table.to_iterable_dataset()
    splits = DatasetDict(train=table, test=table)
    if make is of_the_library:
        splits = pytest.importorskip("datasets").DatasetDict(splits)
    for call in (classifier.fit, classifier.evaluate, classifier.predict):
        with pytest.raises(ValueError, match=r"such as x\['train'\].*'train', 'test'"):
            call(splits, verbose=0)
        with pytest.raises(
            ValueError, match=r"from_list\(list\(x\).*iter\(x\.select_col"
        ):
            call(stream, verbose=0)
    read = type(table).from_list(list(stream), features=stream.features)
    assert classifier.raw_input(read) == (x, None)
    assert classifier.given_targets(read, None) == y
    batches = iter(stream.select_columns(["text", "label"]).batch(3))
    numbers = [["yes", "no"].index(label) for label in y]
    assert next(batches) == {"text": x[:3], "label": numbers[:3]}


def test_data_functions_read_a_dataset(table, make, x, y):
    found = read_examples(table, text_column="text", label_column="label")
    assert (found.spec, found.texts, found.labels) == ("Dataset", x, y)
    for text in (RunningText([table]), WholeText([table])):
        (batch,) = text.batches(progress=False)
        assert batch == (x, [*range(8)])
        other = make({"text": [*x[:7], "another"]})
        assert text.contents() != type(text)([other]).contents()
    rule = r"^Dataset: record 1: Column 'text' must be text\. Received: None"
    with pytest.raises(DataError, match=rule):
        read_examples(make({"text": ["a", None]}), text_column="text")
    with pytest.raises(DataError, match="must be one of 'idx', 'text', 'label'"):
        read_examples(table, text_column="sentence")
    with pytest.raises(ValueError, match="paths must be a list of files"):
        RunningText(table)
    with pytest.raises(ValueError, match="paths must be a list of files"):
        open_pretraining_data(table, None)
    with pytest.raises(ValueError, match=r"such as x\['train'\]"):
        read_examples(DatasetDict(train=table), text_column="text")
