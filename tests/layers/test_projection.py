"""A dense layer with an adapter: the formula, its gradients, few rows."""

import numpy as np
import pytest

from tfzoo.layers.few_rows import few_rows, step_kernels
from tfzoo.layers.projection import Projection


@pytest.fixture
def layer():
    layer = Projection(6, name="query")
    layer.build((None, None, 8))
    layer.enable_lora(2, lora_alpha=3)
    rng = np.random.default_rng(0)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    return layer


def arrays(layer):
    kernel, bias = layer.own_kernel, layer.bias
    return map(np.array, (kernel, bias, layer.lora_kernel_a, layer.lora_kernel_b))


def test_it_adds_the_scaled_product_to_the_kernel(layer):
    x = np.random.default_rng(1).normal(size=(2, 3, 8)).astype("float32")
    w, b, down, up = arrays(layer)
    expected = x @ (w + 3 / 2 * down @ up) + b
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    np.testing.assert_allclose(layer.kernel, w + 3 / 2 * down @ up, atol=1e-6)


def test_the_gradients_are_those_of_the_product(layer):
    import tensorflow as tf

    x = np.random.default_rng(1).normal(size=(2, 3, 8)).astype("float32")
    _, _, down, up = arrays(layer)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x))
    assert [v.path for v in layer.trainable_variables] == [
        f"query/{name}" for name in ("bias", "lora_kernel_a", "lora_kernel_b")
    ]
    of_a, of_b = tape.gradient(loss, [layer.lora_kernel_a, layer.lora_kernel_b])
    of_kernel = x.sum(axis=(0, 1))[:, None] * np.ones(6)
    np.testing.assert_allclose(of_a, 3 / 2 * of_kernel @ up.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_b, 3 / 2 * down.T @ of_kernel, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("transposed", [True, False])
def test_few_rows_have_the_adapter(layer, transposed):
    x = np.random.default_rng(1).normal(size=(2, 8)).astype("float32")
    kernels = step_kernels([layer], transposed)
    assert len(kernels) == 1  # computed once, not in every step
    for given in (kernels, None):
        np.testing.assert_allclose(few_rows(layer, x, given), layer(x), atol=1e-5)


def test_a_kernel_in_half_precision_takes_an_adapter():
    layer = Projection(6, dtype="bfloat16")
    layer.build((None, 8))
    layer.enable_lora(2)
    rng = np.random.default_rng(0)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    x = rng.normal(size=(1, 8)).astype("float32")
    w, b, down, up = (np.asarray(a, "float32") for a in arrays(layer))
    merged = w + down @ up
    found = np.asarray(layer.merged_kernel(), "float32")
    np.testing.assert_allclose(found, merged, rtol=2**-8)
    np.testing.assert_allclose(
        np.asarray(layer(x), "float32"), x @ merged + b, atol=0.2
    )
    layer.merge_lora()
    assert layer.own_kernel.dtype == "bfloat16"
    np.testing.assert_array_equal(np.asarray(layer.kernel, "float32"), found)


def test_a_small_product_is_not_rounded_away_in_half_precision(layer):
    half = Projection(6, dtype="mixed_bfloat16")
    half.build((None, 8))
    half.enable_lora(2)
    half.own_kernel.assign(np.tile([[1.0], [-1.0]], (4, 6)))
    half.lora_kernel_a.assign(np.ones((8, 2)))
    half.lora_kernel_b.assign(np.full((2, 6), 2.0**-10))
    # In bfloat16, 1 + 2 ** -9 is 1.
    y = np.array(half(np.ones((1, 8), "float32")), "float32")
    np.testing.assert_array_equal(y, 8 * 2.0**-9)
