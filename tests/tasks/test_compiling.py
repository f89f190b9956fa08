"""The arguments of `compile` and the schedule of `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import losses, metrics

from tfzoo.tasks import (
    BertPretrainer,
    CausalLM,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
)

LABELS = ["no", "yes"]
X, Y = ["the cat", "a good dog", "bad", "good film"] * 2, ["no", "yes"] * 4


@pytest.fixture
def classifier(small_encoder, tokenizer):
    """A classifier of which only the head is trained, which is faster and suffices."""
    task = TextClassifier(small_encoder(), tokenizer, LABELS)
    task.backbone.trainable = False
    return task


@pytest.fixture(scope="module")
def refusing(small_encoder, tokenizer):
    """A classifier that is never compiled, for arguments that are refused."""
    return TextClassifier(small_encoder(), tokenizer, LABELS)


@pytest.fixture(scope="module")
def several(small_encoder, tokenizer):
    return TextClassifier(small_encoder(), tokenizer, LABELS, task="multi_label")


@pytest.fixture(scope="module")
def number(small_encoder, tokenizer):
    return TextClassifier(small_encoder(), tokenizer, task="regression")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            dict(optimizer="adam", learning_rate=2e-5),
            "learning_rate must be set on the optimizer",
        ),
        (
            dict(optimizer="sgd", weight_decay=0.0),
            "weight_decay must be set on the optimizer",
        ),
        (
            dict(optimizer="sgd", clip_norm=None),
            "clip_norm must be set on the optimizer",
        ),
        (dict(optimizer="sgd", warmup_fraction=0.2, total_steps=9), "total_steps and"),
        (dict(loss="sparse_categorical_crossentropy", label_smoothing=0.1), "own loss"),
        (dict(learning_rate=float("nan")), "learning_rate .* nan"),
        (dict(learning_rate=float("inf")), "learning_rate .* inf"),
        (dict(learning_rate=0), "learning_rate .* 0"),
        (dict(learning_rate="1e-3"), "learning_rate .* '1e-3'"),
        (dict(total_steps=0), "total_steps .* 0"),
        (dict(total_steps=1.5), "total_steps .* 1.5"),
        (dict(warmup_fraction=1.1), r"warmup_fraction must be in \[0, 1\]"),
        (dict(weight_decay=-0.1), "weight_decay .* -0.1"),
        (dict(clip_norm=0), "clip_norm .* 0"),
        (dict(label_smoothing=1.0), "label_smoothing=1.0"),
        (dict(loss="categorical_crossentropy"), "logits.*'categorical_crossentropy'"),
        (dict(loss=keras.losses.categorical_crossentropy), "logits"),
        (
            dict(loss=keras.losses.SparseCategoricalCrossentropy()),
            "from_logits must be True.*from_logits=False",
        ),
        (dict(label_smoothing=None), "label_smoothing=None"),
        (dict(label_smoothing="0.1"), "label_smoothing='0.1'"),
        (dict(optimizer=None), "optimizer must be 'auto'.* None"),
        (dict(optimizer="adamm"), "optimizer must be 'auto'.* 'adamm'"),
        (dict(steps_per_execution=0), "steps_per_execution .* >= 1.* 0"),
        (dict(jit_compile="yes"), "jit_compile must be True, False or 'auto'.*'yes'"),
        (dict(metrics=["auc"]), "logits, not probabilities.*'auc'"),
        (dict(weighted_metrics=["mse"]), "logits, not probabilities.*'mse'"),
    ],
)
def test_an_invalid_or_ineffective_argument_is_refused(refusing, arguments, message):
    with pytest.raises(ValueError, match=message):
        refusing.compile(**arguments)


def test_a_similar_argument_is_suggested(refusing):
    with pytest.raises(TypeError, match="'learing_rate'. Did you mean learning_rate"):
        refusing.compile(learing_rate=1e-3)


def test_a_second_compile_forgets_the_metrics_of_the_first(classifier, tmp_path):
    classifier.compile(metrics=["sparse_categorical_crossentropy"], run_eagerly=True)
    classifier.fit(X, Y, verbose=0)
    classifier.save(tmp_path / "task.keras")
    found = classifier.evaluate(X, Y, verbose=0, return_dict=True)
    other = keras.saving.load_model(tmp_path / "task.keras")
    assert other.evaluate(X, Y, verbose=0, return_dict=True) == pytest.approx(found)
    assert int(other.optimizer.iterations) == 1
    for task in (classifier, other):
        task.compile(run_eagerly=True)
        names = {*task.fit(X, Y, verbose=0).history}
        assert names == {*found} - {"sparse_categorical_crossentropy"}
        task.compile(weighted_metrics=None, run_eagerly=True)
        assert {*task.evaluate(X, Y, verbose=0, return_dict=True)} == {"loss"}


def test_a_metric_keeps_its_name_next_to_a_default_metric(classifier):
    own = keras.metrics.MeanMetricWrapper(lambda y, logits: logits[:, 0], "precision")
    classifier.compile(
        keras.optimizers.SGD(0.0), metrics=["accuracy", own], run_eagerly=True
    )
    weights = np.where(np.arange(8) % 2, 0.1, 1.0)
    logits = classifier.predict(X)
    for evaluate in (
        lambda: classifier.evaluate(
            X, Y, sample_weight=weights, verbose=0, return_dict=True
        ),
        lambda: {
            name: values[0]
            for name, values in classifier.fit(
                X, Y, sample_weight=weights, shuffle=False, verbose=0
            ).history.items()
        },
    ):
        found = evaluate()
        hits = np.argmax(logits, -1) == np.array([0, 1] * 4)
        assert found["accuracy"] == pytest.approx(hits.mean())
        assert found["precision"] == pytest.approx(logits[:, 0].mean(), abs=1e-5)
        assert {"f1", "recall", "matthews"} <= {*found}


def test_metrics_by_name_ignore_padding_and_ignored_words(small_encoder, tokenizer):
    task = TokenClassifier(small_encoder(), tokenizer, ["O", "X"])
    x = [["the", "cat"], ["a", "good", "dog", "film"], ["bad"]]
    y = [["X", "X"], ["X"] * 4, ["X"]]
    task.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    want = task.evaluate(x, y, verbose=0, return_dict=True)
    names = ["sparse_categorical_accuracy", "sparse_categorical_crossentropy"]
    task.compile(keras.optimizers.SGD(0.0), metrics=names, run_eagerly=True)
    found = task.evaluate(x, y, verbose=0, return_dict=True)
    assert found[names[0]] == pytest.approx(want["accuracy"])
    assert found[names[1]] == pytest.approx(want["loss"], rel=1e-5)
    assert want.items() <= found.items()


def test_metrics_of_several_outputs_are_named_by_output(make_encoder, tokenizer):
    task = BertPretrainer(make_encoder(), tokenizer)
    names = "masked_words and next_sentence"
    with pytest.raises(ValueError, match=f"each output: {names}. Received"):
        task.compile(metrics=["accuracy"])
    task.compile(metrics={"next_sentence": ["sparse_categorical_crossentropy"]})
    given = task.get_compile_config()["weighted_metrics"]
    assert {name: len(parts) for name, parts in given.items()} == {
        "masked_words": 1,
        "next_sentence": 2,
    }


def test_a_custom_optimizer_has_its_loss_scaled_in_float16(
    make_encoder, tokenizer, tmp_path
):
    task = TextClassifier(make_encoder(dtype="mixed_float16"), tokenizer, LABELS)
    scaled = keras.optimizers.LossScaleOptimizer
    task.compile("adam")
    assert isinstance(task.optimizer, scaled)
    own = keras.optimizers.Adam(1e-3)
    task.compile(own, auto_scale_loss=False)
    assert task.optimizer is own
    task.compile(scaled(own))
    assert task.optimizer.inner_optimizer is own
    task.compile(own, weighted_metrics=None, run_eagerly=True)
    assert isinstance(task.optimizer, scaled)
    task.fit(X, Y, verbose=0)
    task.save(tmp_path / "task.keras")
    other = keras.saving.load_model(tmp_path / "task.keras")
    assert isinstance(other.optimizer, scaled)
    inner = other.optimizer.inner_optimizer
    assert type(inner) is keras.optimizers.Adam and int(inner.iterations) == 1


OF_LOGITS = "outputs of a task are logits"
OF_CLASSES = "targets of a TextClassifier are class indices"


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        (
            "refusing",
            losses.SparseCategoricalCrossentropy,
            "from_logits must be True",
        ),
        (
            "refusing",
            metrics.SparseCategoricalCrossentropy,
            "from_logits must be True",
        ),
        ("refusing", metrics.CategoricalAccuracy(), f"{OF_CLASSES}.*use Sparse"),
        ("refusing", metrics.Precision(thresholds=0.0), OF_CLASSES),
        ("several", losses.BinaryCrossentropy, "from_logits must be True"),
        ("several", [losses.BinaryCrossentropy], "from_logits must be True"),
        ("several", losses.KLDivergence(), f"{OF_LOGITS}.*KLDivergence"),
        ("several", losses.Dice(), f"{OF_LOGITS}.*Dice"),
        ("several", losses.Poisson(), f"{OF_LOGITS}.*Poisson"),
        ("several", losses.Tversky(), f"{OF_LOGITS}.*Tversky"),
        ("several", metrics.AUC, "from_logits must be True"),
        ("several", metrics.AUC(), "from_logits must be True"),
        ("several", metrics.BinaryAccuracy, "threshold must be a logit, such as 0.0"),
        ("several", metrics.BinaryIoU(), "threshold must be a logit, such as 0.0"),
        ("several", metrics.Precision, "thresholds must be a logit, such as 0.0"),
        (
            "several",
            metrics.Recall(thresholds=[0.0, 0.3]),
            "thresholds must be a logit, such as 0.0",
        ),
        ("several", metrics.TruePositives(), "thresholds must be a logit, such as 0.0"),
        (
            "several",
            metrics.FalseNegatives(),
            "thresholds must be a logit, such as 0.0",
        ),
        ("several", metrics.F1Score(), OF_LOGITS),
        ("several", metrics.FBetaScore(threshold=0.5), OF_LOGITS),
        ("several", metrics.SensitivityAtSpecificity(0.5), OF_LOGITS),
        ("several", metrics.KLDivergence(), OF_LOGITS),
        (
            "several",
            metrics.MeanMetricWrapper(metrics.binary_accuracy),
            "threshold must be a logit, such as 0.0.*Received: binary_accuracy",
        ),
    ],
)
def test_losses_and_metrics_of_probabilities_or_other_targets_are_refused(
    task, given, message, request
):
    task = request.getfixturevalue(task)
    kind = given[0] if isinstance(given, list) else given
    kind = kind if isinstance(kind, type) else type(kind)
    is_loss = issubclass(kind, keras.losses.Loss)
    with pytest.raises(ValueError, match=message):
        task.compile(**({"loss": given} if is_loss else {"metrics": [given]}))


class PrecisionOfLogits(metrics.Precision):
    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(y_true, keras.ops.sigmoid(y_pred), sample_weight)


def test_metrics_of_logits_are_accepted(several, classifier):
    own = [PrecisionOfLogits(name="own"), metrics.Precision(thresholds=0.0, name="p")]
    more = [metrics.AUC(from_logits=True), metrics.BinaryIoU(threshold=0.0)]
    several.compile(keras.optimizers.SGD(0.0), metrics=[*own, *more])
    y = np.array([[1, 0], [1, 1]] * 4)
    found = several.evaluate(X, y, verbose=0, return_dict=True)
    given = several.predict(X) > 0
    assert found["p"] == pytest.approx((given * y).sum() / max(1, given.sum()))
    assert found["own"] == pytest.approx(found["p"])
    loss = losses.CategoricalCrossentropy(from_logits=True)  # its targets are one-hot
    figures = [metrics.CategoricalAccuracy(), metrics.F1Score()]
    classifier.compile(loss=loss, metrics=figures, weighted_metrics=[])


def test_names_of_keras_losses_mean_logits(classifier, several, number):
    logits = np.array([[2.0, -1.0], [-3.0, 0.5]], np.float32)
    for task, loss, y, want in (
        (
            classifier,
            "sparse_categorical_crossentropy",
            np.array([0, 1]),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
        (
            several,
            "binary_crossentropy",
            np.array([[1.0, 0.0], [1.0, 1.0]], np.float32),
            keras.losses.BinaryCrossentropy(from_logits=True),
        ),
    ):
        for given in (loss, getattr(keras.losses, loss)):
            task.compile(keras.optimizers.SGD(0.1), loss=given)
            np.testing.assert_allclose(task.loss(y, logits), want(y, logits), rtol=1e-6)
    number.compile(loss="mae")
    assert float(keras.ops.mean(number.loss([1.0], [3.0]))) == 2.0


def test_metrics_by_name_are_those_of_logits(classifier, several, number):
    options = dict(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    classifier.compile(**options, metrics=["accuracy"])
    found = classifier.evaluate(X, Y, verbose=0, return_dict=True)
    hits = np.argmax(classifier.predict(X), -1) == np.array([0, 1] * 4)
    assert found["accuracy"] == pytest.approx(hits.mean())
    names = ["binary_accuracy", "precision", "recall", "auc", "binary_crossentropy"]
    several.compile(**options, metrics=names)
    y = np.array([[1, 0], [1, 1]] * 4)
    found = several.evaluate(X, y, verbose=0, return_dict=True)
    right = (several.predict(X) > 0) == y
    assert found["binary_accuracy"] == pytest.approx(right.mean())
    assert found["binary_crossentropy"] == pytest.approx(found["loss"], rel=1e-5)
    number.compile(**options, metrics=["mae"])
    found = number.evaluate(X, np.ones(8), verbose=0, return_dict=True)
    assert found["mae"] == pytest.approx(np.abs(number.predict(X) - 1).mean(), rel=1e-5)


def test_a_loss_name_that_does_not_fit_the_task_is_refused(small_encoder, tokenizer):
    task = TextEmbedder(small_encoder(), tokenizer)
    with pytest.raises(ValueError, match="logits"):
        task.compile(loss="mse")


class Rates(keras.callbacks.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(float(self.model.optimizer.learning_rate))


def rates(task, **options):
    look = Rates()
    task.fit(X, Y, batch_size=4, verbose=0, callbacks=[look], **options)
    return look.seen


def test_initial_epoch_continues_the_schedule(classifier, caplog):
    classifier.compile(run_eagerly=True)
    whole = rates(classifier, epochs=4)
    assert max(whole) == pytest.approx(5e-5) and whole[-1] > 0
    classifier.compile(run_eagerly=True)
    np.testing.assert_allclose(rates(classifier, epochs=4, initial_epoch=2), whole[4:])
    classifier.compile(run_eagerly=True)
    first = rates(classifier, epochs=2)
    np.testing.assert_allclose(rates(classifier, epochs=4, initial_epoch=2), whole[4:])
    assert first != whole[:4] and "new schedule" not in caplog.text
    assert int(classifier.optimizer.iterations) == 8


def test_a_second_fit_keeps_the_moments_and_logs_its_new_schedule(classifier, caplog):
    first = rates(classifier, epochs=2)
    moments = [np.array(v) for v in classifier.optimizer.variables]
    optimizer = classifier.optimizer
    second = rates(classifier, epochs=2)
    assert classifier.optimizer is optimizer and second == first
    assert int(optimizer.iterations) == 8 and np.abs(moments[2]).max() > 0
    assert "moments continue from step 4" in caplog.text
    assert "new schedule of 4 steps" in caplog.text


def test_a_planned_schedule_is_the_fixed_one(classifier, small_encoder, tokenizer):
    fixed = TextClassifier(small_encoder(), tokenizer, LABELS)
    fixed.backbone.trainable = False
    fixed.compile(total_steps=6)
    np.testing.assert_allclose(
        rates(classifier, epochs=3), rates(fixed, epochs=3), rtol=1e-6
    )


def test_a_second_fit_traces_nothing(classifier):
    traces = []
    call = classifier.call

    def counted(*args, **kwargs):
        traces.append(1)
        return call(*args, **kwargs)

    classifier.call = counted
    classifier.fit(X, Y, validation_data=(X, Y), verbose=0)
    before = len(traces)
    assert before
    classifier.fit(X[:6], Y[:6], validation_data=(X[:3], Y[:3]), epochs=2, verbose=0)
    assert len(traces) == before


def test_one_trace_serves_any_length_and_number_of_texts(classifier):
    for count in range(1, 5):
        for length in range(1, 6):
            classifier.classify(["good film " * length] * count)
    (function,) = classifier._inference.values()
    assert function.experimental_get_tracing_count() == 1


def test_a_clone_with_the_same_weights_gives_the_same_numbers(classifier):
    classifier.compile(learning_rate=1e-3)
    clone = keras.models.clone_model(classifier)
    clone.set_weights(classifier.get_weights())
    ids = classifier.encode_strings(tf.constant(X))
    np.testing.assert_array_equal(
        clone.predict(ids, verbose=0), classifier.predict(ids, verbose=0)
    )
    assert clone.optimizer.schedule.peak_learning_rate == 1e-3


def test_a_clone_that_would_untie_the_output_layer_is_refused(make_gpt, byte_tokenizer):
    task = CausalLM(make_gpt(), byte_tokenizer)
    with pytest.raises(ValueError, match="clone_model.* copy = type.task.*next_token"):
        keras.models.clone_model(task)
    copy = CausalLM.from_config(task.get_config())
    copy.set_weights(task.get_weights())
    assert copy.count_params() == task.count_params()


def test_a_custom_loss_has_its_own_targets(classifier):
    def distance(y, logits):
        return keras.ops.mean(keras.ops.square(y - logits), axis=-1)

    classifier.compile(keras.optimizers.SGD(0.1), loss=distance, weighted_metrics=[])
    ids = classifier.encode_strings(tf.constant(X))
    y = np.zeros((8, 2), np.float32)
    assert np.isfinite(classifier.fit(ids, y, verbose=0).history["loss"]).all()
    y[3, 1] = np.nan
    with pytest.raises(ValueError, match="y must be finite.*in row 3"):
        classifier.fit(ids, y, verbose=0)


@pytest.mark.slow
def test_a_gpt_keeps_its_optimizer_too(make_gpt, byte_tokenizer):
    task = CausalLM(make_gpt(), byte_tokenizer)
    for _ in range(2):
        task.fit(["the cat sat", "a dog ran"], verbose=0)
    assert int(task.optimizer.iterations) == 2


@pytest.mark.parametrize("argument", ["loss", "metrics", "optimizer"])
def test_a_long_name_is_cut_in_the_message(refusing, argument):
    value = "\x1b[2J" + "x" * 5000
    with pytest.raises(ValueError, match="must be .auto.") as error:
        refusing.compile(**{argument: [value] if argument == "metrics" else value})
    assert str(error.value).isprintable() and len(str(error.value)) < 500
