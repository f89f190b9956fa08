import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.layers import FeedForward, GatedFeedForward, gelu, gelu_tanh


def test_gelu_uses_the_error_function():
    x = np.linspace(-6, 6, 101, dtype=np.float32)
    exact = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.tolist()]
    np.testing.assert_allclose(gelu(x), exact, atol=1e-6)


def test_the_gradient_of_gelu_is_its_slope():
    x = tf.constant(np.linspace(-5, 5, 41, dtype=np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = gelu(x)
    below = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.numpy().tolist()])
    density = np.exp(-0.5 * x.numpy() ** 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(tape.gradient(y, x), below + x * density, atol=1e-6)


def test_gelu_tanh_is_the_approximation():
    x = np.linspace(-6, 6, 101)
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    exact = 0.5 * x * (1 + np.tanh(inner))
    np.testing.assert_allclose(gelu_tanh(x.astype(np.float32)), exact, atol=1e-6)


def test_the_gradient_of_gelu_tanh_is_its_slope():
    x = tf.constant(np.linspace(-5, 5, 41, dtype=np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = gelu_tanh(x)
    step, wide = 1e-4, x.numpy().astype(np.float64)

    def exact(v):
        return 0.5 * v * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3)))

    slope = (exact(wide + step) - exact(wide - step)) / (2 * step)
    np.testing.assert_allclose(tape.gradient(y, x), slope, atol=1e-5)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu"])
def test_equals_two_products(activation):
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    layer = FeedForward(8, activation=activation)
    layer(x)
    a, b = layer.intermediate, layer.output_projection
    hidden = layer.activation_function(x @ np.asarray(a.kernel) + np.asarray(a.bias))
    expected = np.asarray(hidden) @ np.asarray(b.kernel) + np.asarray(b.bias)
    np.testing.assert_allclose(layer(x), expected, atol=1e-6)


def test_activations_differ():
    x = np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32) * 50
    layers = {name: FeedForward(8, activation=name) for name in ("gelu", "relu")}
    outputs = []
    for layer in layers.values():
        layer(x)
        layer.set_weights([np.ones_like(w) * 0.01 for w in layer.get_weights()])
        outputs.append(np.asarray(layer(x)))
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


@pytest.mark.parametrize("kind", [FeedForward, GatedFeedForward])
def test_a_fraction_of_the_inner_units_is_dropped_while_training(kind):
    """An identity as the output layer shows them."""
    rate, width = 0.25, 64
    layer, x = kind(width, "relu", dropout=rate), np.ones((32, 8, width), np.float32)
    layer(x)
    for dense in (*layer.inner, layer.output_projection):
        dense.set_weights([np.eye(width), np.zeros(width)])
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer.step(x), x)
    units = np.asarray(layer(x, training=True))
    dropped = units == 0
    assert dropped.mean() == pytest.approx(rate, abs=0.02)
    np.testing.assert_allclose(units[~dropped], 1 / (1 - rate), rtol=1e-6)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert copy.dropout == rate


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="'mish'"):
        FeedForward(8, activation="mish")


def test_a_configuration_round_trip_keeps_the_arguments():
    layer = FeedForward(8, activation="relu")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert (copy.intermediate_dim, copy.activation) == (8, "relu")
