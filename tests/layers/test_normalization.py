import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.layers import LayerNorm


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(2, 3, (4, 5, 8)).astype(np.float32)


def built(x, epsilon=1e-5):
    layer = LayerNorm(epsilon)
    layer.build(x.shape)
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=8), random.normal(size=8)])
    return layer


def test_equals_the_formula(x):
    layer = built(x)
    gamma, beta = layer.get_weights()
    wide = x.astype(np.float64)
    variance = wide.var(-1, keepdims=True)
    expected = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(layer(x), expected * gamma + beta, atol=1e-5)


def test_gradients_equal_those_of_keras_layer_normalization(x):
    layer, upstream = built(x), np.random.default_rng(2).normal(size=x.shape)
    theirs = keras.layers.LayerNormalization(epsilon=1e-5)
    theirs.build(x.shape)
    theirs.set_weights(layer.get_weights())
    found = []
    for norm in (layer, theirs):
        with tf.GradientTape() as tape:
            inputs = tf.constant(x)
            tape.watch(inputs)
            loss = tf.reduce_sum(norm(inputs) * tf.cast(upstream, tf.float32))
        found.append(tape.gradient(loss, [inputs, norm.gamma.value, norm.beta.value]))
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_epsilon_changes_the_output(x):
    tiny = x * 1e-3
    assert np.abs(np.asarray(built(x, 1e-12)(tiny) - built(x, 1e-2)(tiny))).max() > 0.1


def test_a_constant_vector_becomes_the_offset():
    layer = built(np.ones((1, 1, 8), np.float32), epsilon=1e-12)
    out = layer(np.full((1, 1, 8), 7.0, np.float32))
    np.testing.assert_allclose(out[0, 0], layer.get_weights()[1], atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_statistics_stay_in_float32_under_mixed_precision(policy):
    x = 300 + np.random.default_rng(0).normal(size=(1, 2, 64)) * 100
    low = x.astype("float16")  # its squares are beyond float16
    layer = LayerNorm(dtype=policy)
    layer.build(x.shape)
    wide = low.astype(np.float64)
    expected = (wide - wide.mean(-1, keepdims=True)) / wide.std(-1, keepdims=True)
    out = layer(tf.cast(low, layer.compute_dtype))
    assert out.dtype == layer.compute_dtype
    np.testing.assert_allclose(tf.cast(out, "float32"), expected, atol=0.05)


def test_it_compiles_with_gradients(x):
    layer = built(x)

    @tf.function(jit_compile=True)
    def gradient(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) ** 2)
        return tape.gradient(loss, inputs)

    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs) ** 2)
    expected = tape.gradient(loss, inputs)
    np.testing.assert_allclose(gradient(x), expected, rtol=1e-4, atol=1e-4)


def test_a_configuration_round_trip_keeps_the_arguments():
    layer = LayerNorm(1e-3)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert copy.epsilon == 1e-3
