import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.generation.largest import BLOCK, largest

VALUES = np.array([-np.inf, -1e9, -1.5, 0.0, 0.25, 2.0], np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(200, 700))
def test_equals_a_stable_sort(seed, k, count):
    values = np.random.default_rng(seed).choice(VALUES, (2, count))  # many are equal
    found, indices = largest(tf.constant(values), k)
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    assert indices.numpy().tolist() == order.tolist()
    np.testing.assert_array_equal(found, np.take_along_axis(values, order, 1))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("count", [9 * BLOCK, 9 * BLOCK + 1, 10 * BLOCK - 1, 7])
def test_compiled(count, jit_compile):
    values = np.random.default_rng(0).normal(size=(3, count)).astype(np.float32)
    values[0, -1] = 9.0
    found = tf.function(largest, jit_compile=jit_compile)(tf.constant(values), 4)
    for mine, expected in zip(found, tf.math.top_k(values, 4), strict=True):
        np.testing.assert_array_equal(mine, expected)
