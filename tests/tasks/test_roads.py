"""Every container of raw text, ids and targets gives the results of plain lists."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.tasks import (
    BertPretrainer,
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
)
from tfzoo.tasks.batches import passes_of
from tfzoo.training import CosineError

LABELS = ["no", "yes"]
slices = tf.data.Dataset.from_tensor_slices


class Column:
    """A column of a data frame, with only what one may rely on."""

    def __init__(self, values):
        self.values = np.array(values, object)

    dtype = np.dtype(object)
    shape = property(lambda self: self.values.shape)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values.tolist())

    def __getitem__(self, i):
        return self.values[i]

    def __array__(self, dtype=None, copy=None):
        return self.values


class Table:
    """A data frame: named columns, an array with two axes."""

    def __init__(self, **columns):
        self.data, self.columns = columns, list(columns)

    def __len__(self):
        return len(self.data[self.columns[0]])

    def __iter__(self):
        return iter(self.columns)

    def __getitem__(self, name):
        if isinstance(name, list):
            return Table(**{n: self.data[n] for n in name})
        if isinstance(name, slice):
            return Table(**{n: v[name] for n, v in self.data.items()})
        return Column(self.data[name])

    def __array__(self, dtype=None, copy=None):
        return np.array(list(self.data.values()), object).T


class Rows(keras.utils.PyDataset):
    """Two batches of the results of a function of a slice."""

    def __init__(self, of, **options):
        super().__init__(**options)
        self.of = of

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return self.of(slice(4 * i, 4 * i + 4))


def generator(of):
    return (of(slice(4 * i, 4 * i + 4)) for i in range(2))


def test_an_abandoned_iterator_does_not_wait_for_a_batch():
    """The garbage collector may close it anywhere; waiting there would block `fit`."""
    asked, released = threading.Event(), threading.Event()

    def of(part):
        if part.start:
            asked.set()
            released.wait(60)
        return part

    batches = passes_of(Rows(of, workers=2), shuffle=False, seed=0)()
    assert next(batches) == slice(0, 4)
    asked.wait(60)
    closing = threading.Thread(target=batches.close)
    closing.start()
    closing.join(10)
    held = closing.is_alive()
    released.set()
    assert not held


def test_a_pydataset_is_told_when_epochs_begin_and_end(classifier, x, y):
    told = []

    class Told(Rows):
        def __getitem__(self, i):
            told.append(i)
            return super().__getitem__(i)

        def on_epoch_begin(self):
            told.append("begin")

        def on_epoch_end(self):
            told.append("end")

    classifier.evaluate(Told(lambda s: (x[s], y[s])), verbose=0)
    assert told == [0, "begin", 0, 1, "end"]


@pytest.fixture(scope="module")
def x(texts):
    return texts[0][:8]


@pytest.fixture(scope="module")
def y(texts):
    return texts[1][:8]


@pytest.fixture(scope="module")
def index(y):
    return np.array([LABELS.index(label) for label in y])


@pytest.fixture(scope="module")
def classifier(small_encoder, whole_words):
    task = TextClassifier(small_encoder(), whole_words, LABELS)
    task.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return task


@pytest.fixture(scope="module")
def ids(classifier, x):
    encoded = classifier.encode_strings(tf.constant(x))
    return {name: value.numpy() for name, value in encoded.items()}


@pytest.fixture(scope="module")
def want(classifier, x, y):
    return classifier.evaluate(x, y, verbose=0)


RAW = {
    "arrays": lambda x, y, i: (np.array(x), i),
    "arrays (N, 1)": lambda x, y, i: (np.array(x)[:, None], i[:, None]),
    "whole floats": lambda x, y, i: (x, i.astype(float)),
    "tensors": lambda x, y, i: (tf.constant(x), tf.constant(i)),
    "bytes": lambda x, y, i: ([t.encode() for t in x], [t.encode() for t in y]),
    "columns": lambda x, y, i: (Column(x), Column(y)),
    "frames of one column": lambda x, y, i: (Table(text=x), Table(y=y)),
    "a table": lambda x, y, i: (Table(text=x, label=y),),
    "rows": lambda x, y, i: (
        [{"text": t, "label": label, "idx": 3} for t, label in zip(x, y, strict=True)],
    ),
    "a dataset": lambda x, y, i: (slices((x, y)).batch(4),),
    "a dataset of (B, 1)": lambda x, y, i: (
        slices((np.array(x)[:, None], i[:, None])).batch(4),
    ),
    "a dataset of rows": lambda x, y, i: (slices({"text": x, "label": y}).batch(4),),
    "a PyDataset": lambda x, y, i: (Rows(lambda s: (x[s], y[s])),),
    "a generator": lambda x, y, i: (generator(lambda s: (x[s], i[s])),),
    "a PyDataset of tables": lambda x, y, i: (
        Rows(lambda s: Table(text=x[s], label=y[s])),
    ),
    "a PyDataset of rows": lambda x, y, i: (
        Rows(
            lambda s: [
                {"text": t, "label": label} for t, label in zip(x[s], y[s], strict=True)
            ]
        ),
    ),
    "a generator of dicts": lambda x, y, i: (
        generator(lambda s: {"text": x[s], "label": y[s]}),
    ),
    "names, then indices": lambda x, y, i: (iter([(x[:4], y[:4]), (x[4:], i[4:])]),),
    "indices, then names (N, 1)": lambda x, y, i: (
        iter([(x[:4], i[:4]), (x[4:], np.array(y[4:])[:, None])]),
    ),
}


@pytest.mark.parametrize("road", RAW)
def test_texts_and_labels_may_come_in_any_container(
    classifier, x, y, index, want, road
):
    found = classifier.evaluate(*RAW[road](x, y, index), verbose=0)
    np.testing.assert_allclose(found, want, atol=1e-5)


PREPARED = {
    "arrays": lambda ids, y, i: (ids, i),
    "names": lambda ids, y, i: (ids, y),
    "tensors": lambda ids, y, i: ({n: tf.constant(v) for n, v in ids.items()}, i),
    "a dataset": lambda ids, y, i: (slices((ids, i)).batch(4),),
    "a dataset of names": lambda ids, y, i: (slices((ids, y)).batch(4),),
    "a PyDataset": lambda ids, y, i: (
        Rows(lambda s: ({n: v[s] for n, v in ids.items()}, i[s]), workers=2),
    ),
    "a generator": lambda ids, y, i: (
        generator(lambda s: ({n: v[s] for n, v in ids.items()}, i[s])),
    ),
    "batches of several types": lambda ids, y, i: (
        iter(
            [
                ({n: v[:4] for n, v in ids.items()}, i[:4]),
                ({n: v[4:].astype(np.int64) for n, v in ids.items()}, i[4:, None]),
            ]
        ),
    ),
}


@pytest.mark.parametrize("road", PREPARED)
def test_prepared_ids_may_come_in_any_container(classifier, ids, y, index, want, road):
    found = classifier.evaluate(*PREPARED[road](ids, y, index), verbose=0)
    np.testing.assert_allclose(found, want, atol=1e-5)


def test_predict_takes_the_inputs_of_fit_without_labels(classifier, x, ids):
    want = classifier.predict(x, verbose=0)
    unknown = np.full(8, -1)
    for data in (
        Column(x),
        tf.constant(x),
        [{"text": t} for t in x],
        slices((x, unknown)).batch(3),
        ids,
        slices((ids, unknown)).batch(3),
        Rows(lambda s: x[s]),
        generator(lambda s: (x[s], unknown[s])),
        generator(lambda s: {n: v[s] for n, v in ids.items()}),
    ):
        found = classifier.predict(data, verbose=0)
        np.testing.assert_allclose(found, want, atol=1e-5)


def test_pairs_may_be_rows_of_two_texts(small_encoder, whole_words, x):
    task = TextClassifier(small_encoder(), whole_words, LABELS, text_pair=True)
    task.compile(run_eagerly=True)
    pairs = list(zip(x, x[::-1], strict=True))
    want = task.predict((x, x[::-1]), verbose=0)
    labels = np.zeros(8, int)
    for data in (
        pairs,
        np.array(pairs),
        tf.constant(pairs),
        slices(pairs).batch(3),
        slices(((x, x[::-1]), labels)).batch(3),
        Rows(lambda s: {"text": x[s], "text_pair": x[::-1][s], "label": labels[s]}),
    ):
        np.testing.assert_allclose(task.predict(data, verbose=0), want, atol=1e-5)


SEVERAL = ["a", "b", "c"]
HOT = np.array([[1, 0, 1]] * 4 + [[0, 0, 0]] * 4)
NAMES = [["a", "c"]] * 4 + [[]] * 4


@pytest.mark.parametrize(
    "rows",
    [
        HOT,
        HOT.tolist(),
        HOT.astype(bool).tolist(),
        list(HOT),
        tf.constant(HOT),
        HOT.astype(np.float64),
        Column(NAMES),
        tf.ragged.constant(NAMES),
        Table(c=HOT[:, 2].tolist(), a=HOT[:, 0].tolist(), b=HOT[:, 1].tolist()),
    ],
    ids=[*"array lists bools arrays tensor floats column ragged table".split()],
)
def test_several_labels_are_rows_of_0_and_1_or_of_names(several, x, rows):
    want = HOT.astype(np.float32)
    np.testing.assert_array_equal(several.targets.encode(rows, 8), want)


@pytest.fixture(scope="module")
def several(small_encoder, whole_words):
    task = TextClassifier(small_encoder(), whole_words, SEVERAL, task="multi_label")
    task.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return task


def table_of_labels(rows):
    """Some rows of `HOT` with the columns in another order."""
    return Table(**{n: HOT[rows, SEVERAL.index(n)].tolist() for n in "cba"})


def test_several_labels_in_batches(several, x):
    want = several.evaluate(x, NAMES, verbose=0)
    for data in (
        slices((x, HOT)).batch(4),
        tf.data.Dataset.from_tensors((x, tf.ragged.constant(NAMES))),
        Rows(lambda s: (x[s], NAMES[s])),
        Rows(lambda s: (x[s], HOT[s])),
        iter([(x[:4], HOT[:4].tolist()), (x[4:], HOT[4:] * 1.0)]),
        iter([(x[:4], HOT[:4]), (x[4:], NAMES[4:])]),
        Rows(lambda s: (x[s], table_of_labels(s))),
        generator(lambda s: (x[s], table_of_labels(s))),
        generator(lambda s: (several.encode_strings(x[s]), table_of_labels(s))),
    ):
        found = several.evaluate(data, verbose=0)
        np.testing.assert_allclose(found, want, atol=1e-5)


def test_the_columns_of_targets_are_matched_with_a_custom_loss(several, x, ids):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(HOT, columns=SEVERAL)[["c", "b", "a"]]
    task = TextClassifier(
        several.backbone, several.tokenizer, SEVERAL, task="multi_label"
    )
    loss = keras.losses.MeanSquaredError()
    task.compile(loss=loss, weighted_metrics=None, run_eagerly=True)
    want = task.evaluate(ids, HOT, verbose=0)
    for data in (
        (ids, frame),
        (iter([(ids, frame)]),),
    ):
        assert task.evaluate(*data, verbose=0) == pytest.approx(want, abs=1e-5)


def test_class_weight_is_the_weight_of_every_example_of_the_class(
    make_classifier, x, y, index, ids
):
    weights = np.where(index == 1, 3.0, 1.0)
    task, found = make_classifier(), []
    task.compile(optimizer=keras.optimizers.SGD(0.5), run_eagerly=True)
    before = task.get_weights()
    for data, options in (
        ((x, y), dict(sample_weight=weights)),
        ((x, y), dict(class_weight={"yes": 3.0})),
        ((slices((x, index)).batch(8),), dict(class_weight={1: 3.0})),
        ((ids, index), dict(class_weight={1: 3.0, 0: 1.0})),
        ((slices((ids, index)).batch(8),), dict(class_weight={1: 3.0})),
        ((x, y), dict(class_weight=[1, 3])),
        ((x, y), dict(class_weight=np.array([1.0, 3.0]))),
    ):
        task.set_weights(before)
        task.fit(*data, shuffle=False, verbose=0, **options)
        found.append(np.concatenate([w.ravel() for w in task.get_weights()]))
    for weights in found[1:]:
        np.testing.assert_allclose(weights, found[0], atol=1e-5)
    assert np.abs(found[0] - np.concatenate([w.ravel() for w in before])).max() > 0.01


@pytest.fixture
def make_classifier(small_encoder, whole_words):
    def make():
        task = TextClassifier(small_encoder(), whole_words, LABELS)
        for v in task.trainable_variables[-2:]:
            v.assign(np.linspace(-0.1, 0.1, v.shape.num_elements()).reshape(v.shape))
        return task

    return make


def test_the_validation_split_is_the_end_of_the_examples(classifier, x, y, ids, index):
    want = classifier.evaluate(x[6:], y[6:], verbose=0)
    for data in ((x, y), (Table(text=x, label=y),), (ids, index)):
        history = classifier.fit(*data, validation_split=0.25, verbose=0).history
        assert history["val_loss"][0] == pytest.approx(want[0], abs=1e-5)
    history = classifier.fit(x, iter(y), validation_split=0.25, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(want[0], abs=1e-5)
    with pytest.raises(ValueError, match="validation_split requires all examples"):
        classifier.fit(slices((x, y)).batch(4), validation_split=0.25)


def test_a_validation_split_reports_rows_of_the_whole_data(classifier, x, y, ids):
    weights = np.array([1.0] * 7 + [np.nan])
    for data in (x, ids):
        for targets, more, message in (
            ([*y[:7], "maybe"], {}, "'maybe' in row 7"),
            ([*y, *y[:2]], {}, "Received: 8 and 10"),
            (y, dict(sample_weight=weights), "sample_weight.*nan in row 7"),
            (set(y), {}, "y must be a list.*set"),
        ):
            with pytest.raises(ValueError, match=message) as error:
                classifier.fit(data, targets, validation_split=0.25, **more)
            assert "\n" not in str(error.value)


def test_epochs_of_0_train_nothing(make_classifier, x, y):
    task = make_classifier()
    task.compile(run_eagerly=True)
    before = task.get_weights()
    assert task.fit(x, y, epochs=0, verbose=0).history == {}
    for old, new in zip(before, task.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_more_steps_than_batches_repeat_the_texts(make_classifier, x, y):
    task = make_classifier()
    task.compile(run_eagerly=True)
    task.fit(x, y, batch_size=4, steps_per_epoch=3, epochs=2, verbose=0)
    assert int(task.optimizer.iterations) == 6


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (lambda x, y: ([], []), {}, "at least one example"),
        (lambda x, y: (x, y), dict(batch_size=0), "batch_size .* >= 1.* 0"),
        (lambda x, y: (x, y), dict(epochs=-1), "epochs .* >= 0.* -1"),
        (lambda x, y: ([*x[:4], None, *x[5:]], y), {}, "string.*None in row 4 of x"),
        (lambda x, y: (Column([*x[:7], np.nan]), y), {}, "string.*nan in row 7 of x"),
        (lambda x, y: (set(x), y), {}, "must be raw text.*set"),
        (lambda x, y: ([1, 2], [0, 1]), {}, r"must be raw text.*list \[1, 2\]"),
        (lambda x, y: ({"input_ids": np.ones((2, 2))}, y), {}, "Received: input_ids"),
        (lambda x, y: (iter(x),), dict(steps_per_epoch=1), "must yield batches"),
        (lambda x, y: (slices((x, y)).batch(4), y), {}, "Received in addition: y"),
        (
            lambda x, y: (slices((x, y)).batch(4),),
            dict(batch_size=4),
            "Received in addition: batch_size",
        ),
        (lambda x, y: (slices(x).batch(4),), {}, "requires targets"),
        (
            lambda x, y: (x, y),
            dict(validation_split=0.5, validation_data=(["a"], ["no"])),
            "mutually exclusive.*validation_split=0.5",
        ),
        (lambda x, y: (x, y), dict(class_weight={"maybe": 2.0}), "'maybe'"),
        (lambda x, y: (x, y), dict(class_weight={1: np.nan}), "class_weight.*nan"),
        (lambda x, y: (x, y), dict(class_weight="balanced"), "weight for.*'balanced'"),
        (lambda x, y: (x, y), dict(class_weight=[1.0]), r"2 labels.*shape \(1,\)"),
        (lambda x, y: (x, y), dict(class_weight={1: "2"}), "class_weight.*'2' for 1"),
        (lambda x, y: (x, y), dict(class_weight={1.0, 2.0}), "class_weight must be a"),
        (lambda x, y: (x, y), dict(class_weight=[1.0, -1.0]), "class_weight.*-1.0"),
        (
            lambda x, y: ([{"text": "a", "label": "no"}, {"text": "b", "id": 2}],),
            {},
            "including 'label'. Received: text, id in row 1",
        ),
        (lambda x, y: (x, y), dict(seed=None), "seed .* >= 0.*None"),
        (lambda x, y: (x, y), dict(seed=-1), "seed .* >= 0.*-1"),
        (lambda x, y: (x, y), dict(seed="a"), "seed .* >= 0.*'a'"),
        (lambda x, y: (x, y), dict(validation_split="0.1"), "validation_split.*'0.1'"),
        (lambda x, y: (x, y), dict(validation_data=()), "validation_data.*tuple of 0"),
        (lambda x, y: (x, y), dict(validation_freq=0), "validation_freq .* >= 1.* 0"),
        (lambda x, y: (x, y), dict(validation_steps=0), "validation_steps .* >= 1"),
        (
            lambda x, y: (x, y),
            dict(sample_weight=dict.fromkeys(range(8), 1.0)),
            "sample_weight must be a list.*dict",
        ),
        (lambda x, y: (x, set(range(8))), {}, "y must be a list.*set"),
        (
            lambda x, y: (iter([(x[:4], y[:4]), (x[4:], y[4:], [1, 1, 1, 1])]),),
            {},
            r"same components.*after \(string .*, batch 1",
        ),
        (
            lambda x, y: (iter([(x[:4], y[:4]), ((x[4:], x[4:]), y[4:])]),),
            {},
            "same components.*text_pair.*, batch 1",
        ),
        (
            lambda x, y: (iter([(x[:4], y[:4]), (x[4:], y[4:7])]),),
            {},
            "same length.*4 and 3, batch 1",
        ),
        (lambda x, y: (iter([(x, None, [1.0] * 8)]),), {}, "Weights require targets"),
        (
            lambda x, y: (slices(((x, x), y)).batch(4),),
            {},
            "text_pair=False. Received: pairs",
        ),
    ],
)
def test_unsupported_data_is_refused_in_one_line(
    classifier, x, y, data, options, message
):
    with pytest.raises(ValueError, match=message) as error:
        classifier.fit(*data(x, y), verbose=0, **options)
    assert "\n" not in str(error.value)


def test_steps_limit_evaluation_or_are_refused(
    classifier, small_encoder, whole_words, x, y, ids
):
    number = TextClassifier(small_encoder(), whole_words, task="regression")
    number.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    options = dict(batch_size=4, return_dict=True, verbose=0)
    assert "spearman" in number.evaluate(x, np.arange(8.0), **options)
    assert "spearman" not in number.evaluate(x, np.arange(8.0), steps=1, **options)
    answerer = QuestionAnswerer(small_encoder(), whole_words)
    answerer.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    questions = {"question": ["the", "a"], "context": ["the cat sat", "a dog ran"]}
    answers = [{"text": "cat", "answer_start": 4}, {"text": "dog", "answer_start": 2}]
    options["batch_size"] = 1
    assert "f1" in answerer.evaluate(questions, answers, **options)
    assert "f1" not in answerer.evaluate(questions, answers, steps=1, **options)
    assert len(classifier.predict(ids, batch_size=4, steps=1, verbose=0)) == 4
    tagger = TokenClassifier(small_encoder(), whole_words, LABELS)
    for task, data in ((classifier, x), (tagger, x), (answerer, questions)):
        with pytest.raises(ValueError, match="must be None for raw input.*steps=1"):
            task.predict(data, batch_size=4, steps=1)
    for steps in (0, 1.5, "2"):
        with pytest.raises(ValueError, match="steps must be an integer >= 1"):
            classifier.evaluate(x, y, steps=steps)
        with pytest.raises(ValueError, match="steps must be an integer >= 1"):
            classifier.predict(ids, steps=steps)


@pytest.mark.parametrize(
    "y", [dict.fromkeys(range(8), 0.5), set(range(8))], ids=["dict", "set"]
)
def test_unordered_numbers_are_not_targets(small_encoder, whole_words, x, ids, y):
    number = TextClassifier(small_encoder(), whole_words, task="regression")
    number.compile(run_eagerly=True)
    for data in (x, ids):
        with pytest.raises(ValueError, match="y must be a list.*(dict|set)"):
            number.evaluate(data, y, verbose=0)
    embedder = TextEmbedder(small_encoder(), whole_words)
    embedder.compile(loss=CosineError(), run_eagerly=True)
    pairs = {**ids, **{"second_" + name: v for name, v in ids.items()}}
    for data in ({"text": x, "text_pair": x}, pairs):
        with pytest.raises(ValueError, match="y must be a list.*(dict|set)"):
            embedder.evaluate(data, y, verbose=0)


def test_the_first_batch_of_numbers_may_be_integers(small_encoder, whole_words, x):
    task = TextClassifier(small_encoder(), whole_words, task="regression")
    task.compile(run_eagerly=True)
    y = np.array([0, 1, 2, 3, 0.5, 1.5, 2.5, 3.5])
    batches = iter([(x[:4], [0, 1, 2, 3], [1] * 4), (x[4:], y[4:], np.full(4, 0.5))])
    found = task.evaluate(batches, return_dict=True, verbose=0)
    want = task.evaluate(
        x, y, sample_weight=[1] * 4 + [0.5] * 4, return_dict=True, verbose=0
    )
    name = "mean_squared_error"
    assert found[name] == pytest.approx(want[name], abs=1e-5)


@pytest.mark.parametrize("step", ["fit", "validate"])
@pytest.mark.parametrize("steps", [None, 3])
def test_a_generator_is_not_read_twice(classifier, x, y, step, steps):
    batches = generator(lambda s: (x[s], y[s]))
    if step == "fit":
        data, options = (batches,), dict(steps_per_epoch=steps)
    else:
        data = (x, y)
        options = dict(validation_data=batches, validation_steps=steps)
    with pytest.raises(
        ValueError, match="read only once.*Received: 2 batches"
    ) as error:
        classifier.fit(*data, epochs=2, verbose=0, **options)
    assert "\n" not in str(error.value)


def test_a_generator_may_yield_the_batches_of_all_epochs(classifier, x, y):
    history = classifier.fit(
        generator(lambda s: (x[s], y[s])),
        epochs=2,
        steps_per_epoch=1,
        validation_data=generator(lambda s: (x[s], y[s])),
        validation_steps=1,
        verbose=0,
    ).history
    want = [
        classifier.evaluate(x[s], y[s], verbose=0)[0]
        for s in (slice(0, 4), slice(4, 8))
    ]
    np.testing.assert_allclose(history["loss"], want, atol=1e-5)
    np.testing.assert_allclose(history["val_loss"], want, atol=1e-5)


def test_an_error_in_a_generator_is_raised_unchanged(classifier, x, y):
    def batches():
        yield x[:4], y[:4]
        raise RuntimeError("disk is gone")

    with pytest.raises(RuntimeError, match="^disk is gone$"):
        classifier.fit(batches(), verbose=0)
    with pytest.raises(RuntimeError, match="^disk is gone$"):
        classifier.predict(batches(), verbose=0)


def test_similarities_of_pairs_may_be_integers(small_encoder, whole_words, ids):
    task = TextEmbedder(small_encoder(), whole_words)
    task.compile(loss=CosineError(), run_eagerly=True)
    pairs = {**ids, **{"second_" + name: v[::-1] for name, v in ids.items()}}
    y = np.array([0, 1] * 4)
    want = task.evaluate(pairs, y.astype(float), verbose=0)
    for data in ((pairs, y), (slices((pairs, y)).batch(8),), (iter([(pairs, y)]),)):
        assert task.evaluate(*data, verbose=0) == pytest.approx(want, abs=1e-5)


def test_a_task_without_targets_is_validated_on_texts_only(byte_gpt):
    task = byte_gpt()
    task.compile(run_eagerly=True)
    x = ["the cat sat", "a dog ran"]
    for data in (x, (x,), slices({"text": x}).batch(2), Column(x)):
        assert "val_loss" in task.fit(x, validation_data=data, verbose=0).history


def test_targets_for_texts_with_their_own_targets_are_reported(
    small_encoder, byte_gpt, whole_words, x, y
):
    for task in (
        byte_gpt(),
        MaskedLM(small_encoder(), whole_words),
        BertPretrainer(small_encoder(), whole_words),
    ):
        task.compile(run_eagerly=True)
        for method in task.fit, task.evaluate, task.test_on_batch:
            with pytest.raises(ValueError, match="own targets.* the column 'label'"):
                method(Table(text=x, label=y))
            with pytest.raises(ValueError, match="own targets. Received: y$"):
                method(x, y)
        want = task.evaluate(slices([*x, *x]).batch(8), verbose=0)
        found = task.evaluate(slices(([*x, *x],)).batch(8), verbose=0)
        np.testing.assert_allclose(found, want, atol=1e-5)


def test_one_batch_may_be_a_table(classifier, x, y):
    want = classifier.test_on_batch(x, y)
    np.testing.assert_allclose(
        classifier.test_on_batch(Table(text=x, label=y)), want, atol=1e-5
    )


def test_every_task_takes_a_dataset_of_text_dicts(
    small_encoder, byte_gpt, whole_words, x
):
    data = slices({"text": x}).batch(3)
    pairs = slices({"text": x, "text_pair": x[::-1]}).batch(4)
    gpt = byte_gpt()
    for task, batches in (
        (gpt, data),
        (MaskedLM(small_encoder(), whole_words), data),
        (
            BertPretrainer(small_encoder(), whole_words),
            slices({"text": [*x, *x]}).batch(5),
        ),
        (TextEmbedder(small_encoder(), whole_words), pairs),
    ):
        task.compile(run_eagerly=True)
        assert np.isfinite(task.fit(batches, verbose=0).history["loss"]).all()
    assert len(gpt.predict(data, verbose=0)) == len(x)
    tagger = TokenClassifier(small_encoder(), whole_words, ["O", "B-x"])
    np.testing.assert_allclose(
        tagger.predict(data, verbose=0), tagger.predict(x, verbose=0), atol=1e-5
    )


@pytest.fixture(scope="module")
def tagger(small_encoder, whole_words):
    task = TokenClassifier(small_encoder(), whole_words, LABELS)
    task.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return task


TAGGED = {
    "a frame of one column": lambda x, y: (Table(text=x), Column(y)),
    "a frame of lists": lambda x, y: (Table(words=[t.split() for t in x]), Column(y)),
    "an array (N, 1)": lambda x, y: (np.array(x)[:, None], y),
    "a tensor (N, 1)": lambda x, y: (tf.constant(x)[:, None], y),
    "a frame": lambda x, y: (Table(text=x, label=y, source=x),),
    "a dict": lambda x, y: ({"text": x}, y),
    "rows": lambda x, y: (
        [{"text": t, "label": row} for t, row in zip(x, y, strict=True)],
    ),
    "a dataset of rows": lambda x, y: (
        slices({"text": x, "label": tf.ragged.constant(y)}).batch(8),
    ),
    "a dataset of (B, 1)": lambda x, y: (
        slices((np.array(x)[:, None], tf.ragged.constant(y))).batch(8),
    ),
}


def test_a_number_that_may_be_a_label_or_ignored_is_refused(small_encoder, whole_words):
    task = TokenClassifier(small_encoder(), whole_words, ["-1", "0", "1"])
    task.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    task.fit(["the cat"], [["-1", -100]], verbose=0)
    ids = dict(token_ids=[[2, 3]], segment_ids=[[0, 0]], padding_mask=[[1, 1]])
    for data in ["the cat"], ids:
        with pytest.raises(ValueError, match="'-1' is a label.*-1 in row 0"):
            task.fit(data, [[-100, -1]], verbose=0)


@pytest.fixture(scope="module")
def tags(x):
    return [[LABELS[len(word) % 2] for word in text.split()] for text in x]


@pytest.fixture(scope="module")
def tagged(tagger, x, tags):
    """Metrics and logits for lists."""
    return tagger.evaluate(x, tags, verbose=0), tagger.predict(x, verbose=0)


@pytest.mark.parametrize("road", TAGGED)
def test_a_tagger_takes_tables_as_the_other_tasks_do(tagger, x, tags, tagged, road):
    data = TAGGED[road](x, tags)
    figures, logits = tagged
    np.testing.assert_allclose(tagger.evaluate(*data, verbose=0), figures, atol=1e-5)
    np.testing.assert_allclose(tagger.predict(data[0], verbose=0), logits, atol=1e-5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda x: {"text": x, "source": x}, r"must be 'text'.*\['source'\]"),
        (lambda x: Table(premise=x, source=x), "must be raw text.*Table"),
    ],
)
def test_data_without_a_column_of_sentences_is_refused(tagger, x, data, message):
    with pytest.raises(ValueError, match=message):
        tagger.predict(data(x))


def test_questions_may_come_in_a_dataset(small_encoder, whole_words):
    task = QuestionAnswerer(small_encoder(), whole_words)
    task.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    context = ["the cat sat", "a dog ran"]
    x = {"question": ["the", "a"], "context": context}
    answers = {"text": ["cat", "dog"], "answer_start": [4, 2]}
    records = [{"text": "cat", "answer_start": 4}, {"text": "dog", "answer_start": 2}]
    want = task.evaluate(x, records, verbose=0)
    found = task.evaluate(slices((x, answers)).batch(1), verbose=0)
    np.testing.assert_allclose(found, want, atol=1e-5)
    rows = [
        {"question": question, "context": text, "answers": answer}
        for question, text, answer in zip(x["question"], context, records, strict=True)
    ]

    def batches(*batch):
        yield from batch

    for data in (
        batches(rows[:1], rows[1:]),
        batches((x, records)),
        Rows(lambda s: rows[s.start // 4 : s.start // 4 + 1]),
    ):
        np.testing.assert_allclose(task.evaluate(data, verbose=0), want, atol=1e-5)
    history = task.fit(batches((x, records)), epochs=2, verbose=0).history
    assert len(history["loss"]) == 2
    for data in (slices(x).batch(2), slices((x,)).batch(2), batches(x)):
        np.testing.assert_allclose(
            task.predict(data, verbose=0), task.predict(x), atol=1e-5
        )
    with pytest.raises(ValueError, match=r"\(questions, answers\).*, batch 0"):
        task.fit(batches((x, records, [1.0, 1.0])), verbose=0)
    with pytest.raises(ValueError, match=r"\(questions, answers\).*tuples of 3"):
        task.fit(slices((x, answers, [1.0, 1.0])).batch(2), verbose=0)
    ids = {"token_ids": [[2, 3]], "segment_ids": [[0, 0]], "padding_mask": [[1, 1]]}
    ids = {name: np.array(value) for name, value in ids.items()}
    assert task.predict(batches(ids, ids), verbose=0).shape == (2, 2, 2)


def test_pandas_data_frames_are_read_by_columns(classifier, x, y, index, want):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": x, "label": y, "index": index})
    for data in (
        (frame["text"], frame["label"]),
        (frame[["text"]], frame[["label"]]),
        (frame["text"], frame["label"].astype("category")),
        (frame["text"], frame["index"].astype("Int64")),
        (frame,),
    ):
        found = classifier.evaluate(*data, verbose=0)
        np.testing.assert_allclose(found, want, atol=1e-5)
    frame.loc[3, "text"] = None
    with pytest.raises(ValueError, match="string.*in row 3"):
        classifier.predict(frame["text"])


def test_the_columns_of_targets_are_matched_by_name(several, x):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(HOT, columns=SEVERAL)[["c", "a", "b"]]
    np.testing.assert_array_equal(several.targets.encode(frame, 8), HOT)
    with pytest.raises(ValueError, match=r"must be the labels.*\['x', 'y', 'z'\]"):
        several.targets.encode(frame.set_axis([*"xyz"], axis=1), 8)
