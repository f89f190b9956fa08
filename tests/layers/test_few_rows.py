import keras
import numpy as np
import pytest

from tfzoo.layers import TokenEmbedding, TransformerLayer
from tfzoo.layers.few_rows import few_rows, few_rows_of_several, product, step_kernels

WIDE = 384  # multiplied in four parts


def dense(units=7, width=5, **arguments):
    layer = keras.layers.Dense(units, bias_initializer="normal", **arguments)
    layer.build((None, width))
    return layer


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("lead", [(1, 1), (1, 3), (2,), (3, 2), (4,)])
@pytest.mark.parametrize("width", [5, WIDE])
@pytest.mark.parametrize("transposed", [None, False, True])
def test_few_rows_equal_the_layers(lead, width, transposed):
    layers = [dense(width=width) for _ in range(3)]
    x = normal(*lead, width)
    several = alone = None
    if transposed is not None:
        several = step_kernels(layers, transposed)
        alone = step_kernels(layers[:1], transposed)
    expected = [layer(x) for layer in layers]
    for y, right in zip(few_rows_of_several(layers, x, several), expected, strict=True):
        np.testing.assert_allclose(y, right, atol=1e-5)
    np.testing.assert_allclose(few_rows(layers[0], x, alone), expected[0], atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [1, 96, 191, 192, 193, 288, 1536])
def test_a_product_in_parts_equals_the_product(rows, width):
    a, b = normal(rows, width), normal(width, 3)
    expected = a.astype(np.float64) @ b
    np.testing.assert_allclose(product(a, b), expected, atol=2e-5 * width**0.5)


@pytest.mark.parametrize("transposed", [False, True])
def test_given_kernels_are_used(transposed):
    layers = [dense(), dense()]
    x = np.ones((4, 5), np.float32)
    kernels = step_kernels(layers, transposed)
    kernels = {path: 2 * kernel for path, kernel in kernels.items()}
    for y, layer in zip(few_rows_of_several(layers, x, kernels), layers, strict=True):
        expected = x @ (2 * np.asarray(layer.kernel)) + np.asarray(layer.bias)
        np.testing.assert_allclose(y, expected, atol=1e-6)


def test_few_rows_compute_in_the_dtype_of_the_layer():
    layer = dense(dtype="mixed_bfloat16")
    for rows in (1, 4):
        x = keras.ops.ones((rows, 5), "bfloat16")
        for kernels in (None, step_kernels([layer], transposed=True)):
            assert few_rows(layer, x, kernels).dtype == "bfloat16"


def test_the_table_gives_the_same_logits_transposed():
    embedding = TokenEmbedding(11, WIDE)
    embedding.build()
    kernels = embedding.step_kernels(transposed=False)
    for lead in [(1,), (1, 3), (2, 2)]:
        x = normal(*lead, WIDE)
        logits = embedding.logits(x, kernels)
        np.testing.assert_allclose(logits, embedding.logits(x), atol=1e-5)
        doubled = {path: 2 * table for path, table in kernels.items()}
        np.testing.assert_allclose(embedding.logits(x, doubled), 2 * logits, atol=1e-5)
    assert embedding.step_kernels(transposed=True) == {}


def test_a_step_uses_a_transposed_kernel_for_every_matrix_of_the_layer():
    layer = TransformerLayer(2, 8, norm_first=True)
    layer.build((None, None, 6))
    kernels = layer.step_kernels(transposed=True)
    paths = {v.path for v in layer.variables if v.path.endswith("kernel")}
    paths -= {p for p in paths if "/key/" in p or "/value/" in p}  # with query's
    assert {path.removesuffix(" transposed") for path in kernels} == paths
    assert len(layer.step_kernels(transposed=False)) == 1  # query's
    x, mask = normal(4, 1, 6), np.ones((4, 1, 1, 4), bool)
    past = tuple(normal(2, 4, 2, 3, 3))

    def step(form=None):
        y, (keys, values) = layer.step(x, past, mask, form)
        return y, keys, values

    plain = step()
    for form in (kernels, layer.step_kernels(transposed=False)):
        for ours, expected in zip(step(form), plain, strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-6)
        for path in form:
            other = step({**form, path: 2 * form[path]})
            assert any(
                np.abs(a - b).max() > 1e-5 for a, b in zip(other, plain, strict=True)
            ), path
