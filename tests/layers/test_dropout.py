import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.layers import Dropout

RATE, SHAPE = 0.2, (16, 50, 64)


def dropped(seed=3):
    x = np.ones(SHAPE, "float32")
    return np.asarray(Dropout(RATE, seed=seed)(x, training=True)) == 0


def test_the_dropped_fraction_is_right_in_every_row_and_column():
    zero = np.stack([dropped(seed) for seed in range(8)]).reshape(-1, SHAPE[-1])
    sigma = np.sqrt(RATE * (1 - RATE))
    for axis in (0, 1):
        mean = zero.mean(axis)
        spread = sigma / np.sqrt(zero.shape[axis])
        assert np.abs(mean - RATE).max() < 6 * spread
        assert 0.7 * spread < mean.std() < 1.4 * spread


def test_neighbors_are_independent():
    zero = dropped().reshape(-1, SHAPE[-1]) - RATE
    sigma = RATE * (1 - RATE)
    for a, b in [
        (zero[:, 1:], zero[:, :-1]),
        (zero[1:], zero[:-1]),
        (zero[50:], zero[:-50]),
        (zero[:, 32:], zero[:, :32]),
    ]:
        assert abs((a * b).mean()) < 5 * sigma / np.sqrt(a.size)


def test_kept_elements_are_scaled_to_preserve_the_mean():
    x = np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    y = np.asarray(Dropout(RATE)(x, training=True))
    np.testing.assert_allclose(y[y != 0], x[y != 0] / (1 - RATE), rtol=1e-6)


def test_each_call_differs_and_a_seed_repeats_them():
    x = np.ones(SHAPE, "float32")
    first, again = Dropout(RATE, seed=1), Dropout(RATE, seed=1)
    one, two = first(x, training=True), first(x, training=True)
    assert 0.2 < np.mean(one != two) < 0.45  # 2 * 0.2 * 0.8
    np.testing.assert_array_equal(one, again(x, training=True))
    np.testing.assert_array_equal(two, again(x, training=True))
    other = Dropout(RATE, seed=2)(x, training=True)
    assert 0.2 < np.mean(one != other) < 0.45


def test_graph_eager_and_xla_drop_the_same():
    x = tf.ones(SHAPE)
    results = []
    for options in (None, {}, {"jit_compile": True}):
        layer = Dropout(RATE, seed=5)
        call = lambda x, layer=layer: layer(x, training=True)  # noqa: E731
        if options is not None:
            call = tf.function(call, **options)
        results.append(np.asarray(call(x)))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_gradient_flows_through_kept_elements():
    x = tf.ones(SHAPE)
    layer = Dropout(RATE, seed=5)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)


def test_inference_and_a_rate_of_zero_change_nothing():
    x = np.ones(SHAPE, "float32")
    np.testing.assert_array_equal(Dropout(RATE)(x), x)
    np.testing.assert_array_equal(Dropout(0.0)(x, training=True), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_the_range_is_named(rate):
    with pytest.raises(ValueError, match=f"Received: rate={rate}"):
        Dropout(rate)


def test_a_copy_keeps_the_rate_and_half_precision_its_dtype():
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(Dropout(RATE, seed=4))
    )
    assert (copy.rate, copy.seed) == (RATE, 4)
    x = tf.ones((4, 8), "bfloat16")
    assert Dropout(RATE, dtype="mixed_bfloat16")(x, training=True).dtype == "bfloat16"
