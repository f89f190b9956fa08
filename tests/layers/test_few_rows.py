import keras
import numpy as np
import pytest

from tfzoo.layers import TransformerLayer
from tfzoo.layers.few_rows import few_rows, transposed_kernel


def dense(units=7, width=5, **arguments):
    layer = keras.layers.Dense(units, bias_initializer="normal", **arguments)
    layer.build((None, width))
    return layer


@pytest.mark.parametrize("shape", [(1, 1, 5), (3, 2, 5), (4, 5)])
@pytest.mark.parametrize("transposed", [False, True])
def test_few_rows_give_what_the_layer_gives(shape, transposed):
    layer = dense()
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    y = few_rows(layer, x, transposed_kernel(layer) if transposed else None)
    np.testing.assert_allclose(y, layer(x), atol=1e-6)


def test_the_transposed_kernel_is_what_is_used():
    layer = dense()
    x = np.ones((4, 5), np.float32)
    kernels = {path: 2 * k for path, k in transposed_kernel(layer).items()}
    expected = x @ (2 * np.asarray(layer.kernel)) + np.asarray(layer.bias)
    np.testing.assert_allclose(few_rows(layer, x, kernels), expected, atol=1e-6)


def test_few_rows_compute_in_the_dtype_of_the_layer():
    layer = dense(dtype="mixed_bfloat16")
    x = keras.ops.ones((4, 5), "bfloat16")
    for kernels in (None, transposed_kernel(layer)):
        assert few_rows(layer, x, kernels).dtype == "bfloat16"


def test_a_step_uses_a_transposed_kernel_for_every_matrix_of_the_layer():
    layer = TransformerLayer(2, 8, norm_first=True)
    layer.build((None, None, 6))
    kernels = layer.transposed_kernels()
    matrices = {v.path for v in layer.variables if v.path.endswith("kernel")}
    matrices -= {p for p in matrices if "/key/" in p or "/value/" in p}  # with query's
    assert {*kernels} == matrices
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 1, 6)).astype(np.float32)
    past = rng.normal(size=(2, 4, 2, 3, 3)).astype(np.float32)
    mask = np.ones((4, 1, 1, 4), bool)
    plain = layer.step(x, *past, mask)
    for ours, expected in zip(layer.step(x, *past, mask, kernels), plain, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)
    for path in matrices:
        doubled = {**kernels, path: 2 * kernels[path]}
        other = layer.step(x, *past, mask, doubled)
        assert any(
            np.abs(a - b).max() > 1e-5 for a, b in zip(other, plain, strict=True)
        ), path
