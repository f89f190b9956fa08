"""Invalid numbers are rejected for all kinds of input, before any update."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.tasks import (
    BertPretrainer,
    CausalLM,
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
)
from tfzoo.training import CosineError

LABELS = ["no", "yes"]
X = ["the cat", "a dog ran", "good film", "bad film"]
slices = tf.data.Dataset.from_tensor_slices


@pytest.fixture(scope="module")
def classifier(small_encoder, whole_words):
    task = TextClassifier(small_encoder(), whole_words, LABELS)
    task.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    return task


@pytest.fixture(scope="module")
def regression(small_encoder, whole_words):
    task = TextClassifier(small_encoder(), whole_words, task="regression")
    task.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    return task


@pytest.fixture(scope="module")
def ids(classifier):
    encoded = classifier.encode_strings(tf.constant(X))
    return {name: value.numpy() for name, value in encoded.items()}


class Batch(keras.utils.PyDataset):
    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return 1

    def __getitem__(self, i):
        return self.parts


ROADS = {
    "lists": lambda ids, *rest: (X, *(list(part) for part in rest)),
    "dataset": lambda ids, *rest: (slices((X, *rest)).batch(4),),
    "PyDataset": lambda ids, *rest: (Batch(X, *rest),),
    "ids": lambda ids, *rest: (ids, *rest),
    "dataset of ids": lambda ids, *rest: (slices((ids, *rest)).batch(4),),
    "generator of ids": lambda ids, *rest: (iter([(ids, *rest)]),),
}


def refused(task, data, message, **options):
    """The data is rejected in one line, and no weight has changed."""
    before = [w.copy() for w in task.get_weights()]
    if len(data) == 3:
        *data, options["sample_weight"] = data
    if not isinstance(data[0], list | dict):
        options["steps_per_epoch"] = 1
    with pytest.raises(ValueError, match=message) as error:
        task.fit(*data, verbose=0, **options)
    assert "\n" not in str(error.value)
    for old, new in zip(before, task.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("road", ROADS)
def test_a_target_that_is_not_a_class_is_refused(classifier, ids, road):
    for y, message in (
        ([0, 1, 0.9, 1], "Received: 0.9 in row 2"),
        ([0, 1, 2, 1], "Received: 2(.0)? in row 2"),
        ([0, -1, 0, 1], "Received: -1(.0)? in row 1"),
        ([0, np.nan, 0, 1], "Received: nan in row 1"),
        ([-100, 0, 0, 1], "Received: -100(.0)? in row 0"),
        (np.eye(2)[[0, 1, 0, 1]], "argmax"),
        ([True, False, True, True], "astype"),
        (["no", "yes", "maybe", "no"], "Received: 'maybe' in row 2"),
    ):
        refused(classifier, ROADS[road](ids, np.array(y)), message)


@pytest.mark.parametrize("road", ROADS)
def test_a_number_or_weight_that_is_not_finite_is_refused(regression, ids, road):
    good = np.ones(4, np.float32)
    for value in (np.nan, np.inf, -np.inf):
        bad = np.array([1, 1, value, 1], np.float32)
        refused(regression, ROADS[road](ids, bad), "finite.*in row 2")
        refused(regression, ROADS[road](ids, good, bad), "sample_weight.*in row 2")
    refused(regression, ROADS[road](ids, good, -good), ">= 0.*-1.0 in row 0")


WRONG_IDS = [
    (dict(token_ids=-1), r"token_ids must be in \[0, .*-1 in column 1 of row 2"),
    (dict(token_ids=10_000), r"token_ids must be in \[0, .*10000 in column 1"),
    (dict(segment_ids=2), r"segment_ids must be in \[0, 1\]. Received: 2"),
    (dict(padding_mask=3), r"padding_mask must be in \[0, 1\]. Received: 3"),
]


@pytest.mark.parametrize(
    "mode", ["eager", "graph", pytest.param("xla", marks=pytest.mark.slow)]
)
def test_an_id_out_of_range_is_refused_in_all_modes(classifier, ids, mode):
    modes = {"eager": dict(run_eagerly=True), "xla": dict(jit_compile=True)}
    classifier.compile(keras.optimizers.SGD(0.1), **modes.get(mode, {}))
    y = np.array([0, 1, 0, 1])
    for changes, message in WRONG_IDS:
        wrong = {name: values.copy() for name, values in ids.items()}
        for name, value in changes.items():
            wrong[name][2, 1] = value
        for data in ((wrong, y), (slices((wrong, y)).batch(4),)):
            refused(classifier, data, message)
            with pytest.raises(ValueError, match=message):
                classifier.evaluate(*data, verbose=0)
            with pytest.raises(ValueError, match=message):
                classifier.predict(data[0], verbose=0)


@pytest.mark.parametrize("mode", [dict(run_eagerly=True), dict(jit_compile=True)])
def test_predict_on_batch_checks_its_input(classifier, ids, mode):
    classifier.compile(keras.optimizers.SGD(0.1), **mode)
    want = classifier.predict(X, verbose=0)
    for batch in (X, np.array(X)[:, None], ids):
        found = classifier.predict_on_batch(batch)
        np.testing.assert_allclose(found, want, atol=1e-5)
    for batch, message in (
        ({**ids, "token_ids": ids["token_ids"] + 9999}, r"token_ids must be in \[0, "),
        ([*X[:3], None], "string.*None in row 3 of x"),
        (slices(X).batch(4), "One batch must be"),
        (3, "must be raw text"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            classifier.predict_on_batch(batch)
        assert "\n" not in str(error.value)


def test_ids_of_a_wrong_type_are_refused(classifier, ids):
    y = [0, 1, 0, 1]
    long = {name: np.ones((4, 33), np.int32) for name in ids}
    floats = {**ids, "token_ids": ids["token_ids"].astype(float)}
    short = {**ids, "padding_mask": ids["padding_mask"][:, 1:]}
    refused(classifier, (long, y), "at most 32")
    refused(classifier, (floats, y), "integers. Received: float64")
    refused(classifier, (short, y), "rows and columns of token_ids")
    none = {name: values[:, :0] for name, values in ids.items()}
    refused(classifier, (none, y), r"at least one token.*\(4, 0\)")
    refused(classifier, (slices((none, y)).batch(4),), "at least one token")
    with pytest.raises(ValueError, match="at least one token"):
        classifier.predict(none)


def test_targets_of_the_other_tasks_are_checked(
    small_encoder, make_gpt, whole_words, byte_tokenizer, ids
):
    size, rows = whole_words.vocabulary_size, np.ones((4, 2), np.int32)
    encoder = small_encoder()
    masked = {**ids, "mask_positions": rows}
    two = {f"second_{name}": values for name, values in ids.items()} | ids
    length = ids["token_ids"].shape[1]
    gpt_ids = {"token_ids": rows, "padding_mask": rows}
    pretrainer = BertPretrainer(encoder, whole_words)
    both = {"masked_words": rows, "next_sentence": [0, 1, 0, 1]}
    for task, x, y, message in (
        (MaskedLM(encoder, whole_words), masked, rows * size, rf"in \[0, {size - 1}\]"),
        (MaskedLM(encoder, whole_words), masked, rows[:, :1], "shape"),
        (
            MaskedLM(encoder, whole_words),
            {**masked, "mask_positions": rows * length},
            rows,
            r"mask_positions must be in \[0, ",
        ),
        (CausalLM(make_gpt(), byte_tokenizer), gpt_ids, -rows, "Received: -1"),
        (pretrainer, masked, {**both, "next_sentence": [0, 1, 2, 0]}, r"\[0, 1\].*2"),
        (pretrainer, masked, rows, "dict of masked_words, next_sentence"),
        (
            QuestionAnswerer(encoder, whole_words),
            ids,
            rows * length,
            r"in \[0, 4\]. Received: 5",
        ),
        (
            TextEmbedder(encoder, whole_words),
            two,
            [0.0, 1.0, 5.0, 0.0],
            r"in \[-1, 1\].*5.0",
        ),
        (
            TokenClassifier(encoder, whole_words, LABELS),
            ids,
            ids["token_ids"] * 0 + 2,
            "Received: 2",
        ),
    ):
        loss = CosineError() if isinstance(task, TextEmbedder) else "auto"
        task.compile(keras.optimizers.SGD(0.1), loss=loss, run_eagerly=True)
        refused(task, (x, y), message)
        refused(task, (slices((x, y)).batch(4),), message)


def test_an_embedder_requires_the_ids_of_both_texts(small_encoder, whole_words, ids):
    task = TextEmbedder(small_encoder(), whole_words)
    task.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    pairs = np.arange(8).reshape(4, 2)
    refused(task, (ids, pairs), "requires pairs: second_token_ids")
    part = {**ids, "second_token_ids": ids["token_ids"]}
    refused(task, (part, pairs), "must be raw text.*second_token_ids")


def test_ignored_words_do_not_count(small_encoder, whole_words):
    task = TokenClassifier(small_encoder(), whole_words, ["O", "B-pet", "I-pet"])
    task.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    x = [["the", "cat", "sat"], ["a", "dog"]]
    want = task.evaluate([["the", "cat", "sat"]], [["O", "B-pet", "O"]], verbose=0)
    for mark in (-1, -100):
        y = [["O", "B-pet", "O"], [mark, mark]]
        assert task.evaluate(x, y, verbose=0) == pytest.approx(want, abs=1e-5)
    ragged = tf.data.Dataset.from_tensors(
        (tf.ragged.constant(x), tf.ragged.constant([[0, 1, 0], [-100, -1]]))
    )
    assert task.evaluate(ragged, verbose=0) == pytest.approx(want, abs=1e-5)


def test_labels_that_are_numbers_must_be_given_by_name(small_encoder, whole_words):
    task = TextClassifier(small_encoder(), whole_words, ["1", "2", "3"])
    task.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    names = ["1", "3", "2", "1"]
    want = task.evaluate(X, names, verbose=0)
    numbers = np.array([1, 3, 2, 1])
    for data in ((X, numbers), (slices((X, numbers)).batch(2),)):
        with pytest.raises(ValueError, match=r"their names, for example str\(label\)"):
            task.evaluate(*data, verbose=0)
    for data in ((slices((X, names)).batch(4),), (task.training_data(X, names),)):
        np.testing.assert_allclose(task.evaluate(*data, verbose=0), want, atol=1e-5)
    counted = TextClassifier(small_encoder(), whole_words, ["0", "1"])
    np.testing.assert_array_equal(counted.targets.encode([0, 1], 2), [0, 1])


@pytest.mark.parametrize(
    "labels", [{"a", "b"}, {"a": 0, "b": 1}, "ab", (x for x in "ab"), None, ["a", 1]]
)
def test_labels_must_be_ordered(small_encoder, whole_words, labels):
    for task in (TextClassifier, TokenClassifier):
        with pytest.raises(ValueError, match="labels must be"):
            task(small_encoder(), whole_words, labels)


def test_train_on_batch_checks_its_input(classifier, ids):
    classifier.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    assert np.isfinite(classifier.train_on_batch(X, ["no", "yes", "no", "no"])).all()
    with pytest.raises(ValueError, match="Received: 7 in row 0"):
        classifier.train_on_batch(ids, [7, 0, 0, 0])
    with pytest.raises(ValueError, match=r"token_ids must be in \[0, "):
        classifier.test_on_batch({**ids, "token_ids": ids["token_ids"] - 9}, [0] * 4)
    with pytest.raises(ValueError, match="in memory. Received: _BatchDataset"):
        classifier.train_on_batch(slices((X, [0] * 4)).batch(4))
    classifier.compile()
    with pytest.raises(ValueError, match=r"compile\(total_steps=\.\.\.\)"):
        classifier.train_on_batch(X, [0, 0, 0, 0])
