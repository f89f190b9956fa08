import numpy as np
import pytest

from tfzoo.layers import SentencePooling

MASK = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]])


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


def test_the_mean_is_that_of_the_real_tokens(x):
    expected = np.stack(
        [row[:count].mean(0) for row, count in zip(x, MASK.sum(1), strict=True)]
    )
    ours = SentencePooling("mean", normalize=False)(x, MASK)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(SentencePooling("mean")(x, MASK), unit, atol=1e-6)


def test_cls_is_the_vector_of_the_first_token(x):
    ours = SentencePooling("cls", normalize=False)(x, MASK)
    np.testing.assert_array_equal(ours, x[:, 0])
    unit = x[:, 0] / np.linalg.norm(x[:, 0], axis=1, keepdims=True)
    np.testing.assert_allclose(SentencePooling("cls")(x, MASK), unit, atol=1e-6)


def test_padding_changes_nothing(x):
    other = np.where(MASK[..., None] == 1, x, 1e6).astype(np.float32)
    pool = SentencePooling()
    np.testing.assert_array_equal(pool(x, MASK), pool(other, MASK))


def test_a_row_of_padding_is_zero(x):
    np.testing.assert_array_equal(SentencePooling()(x, MASK * 0), np.zeros((3, 5)))


def test_sums_are_in_float32_under_mixed_precision(x):
    import keras

    half = keras.ops.cast(x, "bfloat16")
    ours = SentencePooling(dtype="mixed_bfloat16")(half, MASK)
    assert keras.backend.standardize_dtype(ours.dtype) == "float32"
    exact = SentencePooling()(keras.ops.cast(half, "float32"), MASK)
    np.testing.assert_array_equal(ours, exact)


def test_an_unknown_pooling_is_named():
    with pytest.raises(ValueError, match="'mean', 'cls'.*Received: 'max'"):
        SentencePooling("max")


def test_its_config_makes_an_equal_layer(x):
    layer = SentencePooling("cls", normalize=False)
    copy = SentencePooling.from_config(layer.get_config())
    np.testing.assert_array_equal(copy(x, MASK), layer(x, MASK))
