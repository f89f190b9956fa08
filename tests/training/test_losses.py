import keras
import numpy as np
import pytest

from tfzoo.training.losses import (
    BinaryCrossentropy,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    cross_entropy,
)
from tfzoo.training.metrics import is_right

rng = np.random.default_rng(0)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_masked_words_are_averaged_over_the_weights(smoothing):
    logits = rng.normal(size=(4, 5, 7)) * 3
    targets = rng.integers(0, 7, (4, 5))
    weights = rng.integers(0, 2, (4, 5)) * rng.random((4, 5))
    shares = (1 - smoothing) * np.eye(7)[targets] + smoothing / 7
    losses = -(shares * log_softmax(logits)).sum(-1)
    value = SparseCategoricalCrossentropy(smoothing)(targets, logits, weights)
    expected = (losses * weights).sum() / weights.sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_classes_without_weights_give_the_loss_of_keras():
    logits, targets = rng.normal(size=(6, 3)), rng.integers(0, 3, 6)
    keras_own = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for shape in ((6,), (6, 1)):
        value = SparseCategoricalCrossentropy()(targets.reshape(shape), logits)
        np.testing.assert_allclose(value, keras_own(targets, logits), rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_several_labels_are_averaged_per_example(smoothing):
    logits = rng.normal(size=(5, 4)) * 30
    targets = rng.integers(0, 2, (5, 4))
    weights = np.array([1.0, 0.0, 2.0, 0.5, 0.0])
    keras_own = keras.losses.BinaryCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction=None
    )
    losses = np.asarray(keras_own(targets, logits))
    value = BinaryCrossentropy(smoothing)(targets, logits, weights)
    expected = (losses * weights).sum() / weights.sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_squared_errors_are_averaged_over_the_weights(shape):
    truth, predicted = rng.normal(size=5), rng.normal(size=(5, 1))
    weights = np.array([1.0, 0.0, 2.0, 0.5, 0.0])
    value = MeanSquaredError()(truth.reshape(shape), predicted, weights)
    expected = ((truth - predicted[:, 0]) ** 2 * weights).sum() / weights.sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_float16_logits_lose_no_further_precision():
    logits = rng.normal(size=(8, 3)).astype("float16")
    targets = rng.integers(0, 3, 8)
    loss = SparseCategoricalCrossentropy()
    value = loss(targets, keras.ops.convert_to_tensor(logits))
    assert value.dtype.name == "float32"
    np.testing.assert_allclose(value, loss(targets, logits.astype("float32")), rtol=0)


def test_entries_of_weight_zero_have_no_gradient_and_change_nothing():
    import tensorflow as tf

    logits = tf.constant(rng.normal(size=(4, 3)), "float32")
    weights = np.array([1.0, 0.0, 1.0, 0.0])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = SparseCategoricalCrossentropy()([0, 1, 2, 0], logits, weights)
    gradient = tape.gradient(value, logits).numpy()
    assert np.all(gradient[[1, 3]] == 0)
    assert np.all(gradient[[0, 2]] != 0)
    alone = SparseCategoricalCrossentropy()([0, 2], logits.numpy()[[0, 2]])
    np.testing.assert_allclose(value, alone, rtol=1e-6)


def test_one_pass_gives_loss_and_gradient_of_numpy_compiled_or_not():
    import tensorflow as tf

    logits = (rng.normal(size=(3, 5, 7)) * 30).astype("float32")
    targets, upstream = rng.integers(0, 7, (3, 5)), rng.random((3, 5))
    probabilities = np.exp(log_softmax(logits.astype("float64")))
    gradient = (probabilities - np.eye(7)[targets]) * upstream[..., None]
    losses = -(np.eye(7)[targets] * log_softmax(logits.astype("float64"))).sum(-1)

    def both(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            found = cross_entropy(targets, logits, one_pass=True)
            total = tf.reduce_sum(found * tf.constant(upstream, tf.float32))
        return found, tape.gradient(total, logits)

    for jit_compile in (False, True):
        function = tf.function(both, jit_compile=jit_compile, autograph=False)
        found = function(tf.constant(logits))
        np.testing.assert_allclose(found[0], losses, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[1], gradient, rtol=1e-5, atol=1e-6)


def test_only_a_unique_largest_logit_is_right():
    logits = np.array([[1.0, 2.0], [2.0, 2.0], [np.nan, np.nan], [3.0, 1.0]])
    assert is_right(np.array([1, 1, 0, 1]), logits).numpy().tolist() == [1, 0, 0, 0]


def test_a_batch_of_weight_zero_has_loss_zero():
    loss = SparseCategoricalCrossentropy()
    assert float(loss([0, 1], np.ones((2, 3)), np.zeros(2))) == 0.0


@pytest.mark.parametrize(
    "loss", [SparseCategoricalCrossentropy(0.1), BinaryCrossentropy(0.2)]
)
def test_a_saved_loss_agrees(loss):
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is type(loss)
    assert copy.get_config() == loss.get_config()
    assert copy.label_smoothing == loss.label_smoothing


def test_a_saved_squared_error_agrees():
    copy = keras.losses.deserialize(keras.losses.serialize(MeanSquaredError("m")))
    assert copy.name == "m"


def test_a_label_smoothing_of_1_is_refused():
    with pytest.raises(ValueError, match=r"label_smoothing=1\.0"):
        SparseCategoricalCrossentropy(1.0)
