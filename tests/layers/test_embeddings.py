import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.layers import (
    MaskedLMHead,
    NextTokenHead,
    PositionEmbedding,
    SinusoidalPositions,
    TokenEmbedding,
    gelu,
)


def test_each_id_gets_its_row():
    layer = TokenEmbedding(10, 4)
    ids = np.array([[1, 9], [0, 1]])
    np.testing.assert_array_equal(layer(ids), np.asarray(layer.embeddings)[ids])


def test_logits_use_the_transposed_table_in_float32():
    layer = TokenEmbedding(10, 4, dtype="mixed_bfloat16")
    layer(np.array([[1]]))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    logits = layer.logits(x)
    assert logits.dtype == "float32"
    np.testing.assert_allclose(logits, x @ np.asarray(layer.embeddings).T, atol=1e-6)


def test_the_gradient_is_one_dense_tensor_that_counts_repeated_ids():
    layer = TokenEmbedding(5, 2)
    layer(np.array([[0]]))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(np.array([[1, 1, 3]])))
    gradient = tape.gradient(total, layer.embeddings.value)
    assert isinstance(gradient, tf.Tensor)
    np.testing.assert_array_equal(gradient[:, 0], [0, 2, 0, 1, 0])


def test_positions_are_the_first_rows():
    layer = PositionEmbedding(6)
    x = np.zeros((2, 4, 3), np.float32)
    np.testing.assert_array_equal(layer(x), np.asarray(layer.embeddings)[:4])


def test_given_positions_select_the_rows():
    layer = PositionEmbedding(6)
    positions = np.array([[0, 1, 0, 5], [2, 2, 3, 4]])
    ours = layer(np.zeros((2, 4, 3), np.float32), positions)
    np.testing.assert_array_equal(ours, np.asarray(layer.embeddings)[positions])


def test_a_sequence_longer_than_the_positions_is_refused():
    with pytest.raises(ValueError, match="max_sequence_length=6.*length 7"):
        PositionEmbedding(6)(np.zeros((1, 7, 3), np.float32))


def sinusoids(positions, width, most=10000.0):
    """Equations of the paper, sines first: (..., width)."""
    half = width // 2
    angles = np.asarray(positions)[..., None] / most ** (np.arange(half) / half)
    return np.concatenate([np.sin(angles), np.cos(angles)], -1)


@pytest.mark.parametrize("most", [10000.0, 50.0])
def test_sinusoidal_positions_equal_numpy(most):
    layer, x = SinusoidalPositions(most), np.zeros((2, 200, 6), np.float32)
    np.testing.assert_allclose(layer(x), sinusoids(np.arange(200), 6, most), atol=2e-5)
    positions = np.random.default_rng(0).integers(0, 500, (2, 200))
    np.testing.assert_allclose(
        layer(x, positions), sinusoids(positions, 6, most), atol=1e-4
    )
    assert layer.weights == []


def test_sinusoidal_positions_are_rounded_once_in_half_precision():
    x = np.zeros((1, 300, 4), np.float32)
    half = tf.cast(SinusoidalPositions(dtype="mixed_bfloat16")(x), "float32")
    np.testing.assert_allclose(half, SinusoidalPositions()(x), atol=2**-8)


def test_an_odd_width_has_no_sinusoidal_positions():
    with pytest.raises(ValueError, match="even. Received: hidden_dim=5"):
        SinusoidalPositions()(np.zeros((1, 2, 5), np.float32))


def test_the_next_token_head_scales_and_adds_its_bias():
    embedding = TokenEmbedding(10, 4)
    embedding(np.array([[0]]))
    head = NextTokenHead(embedding, 0.5, use_bias=True)
    rng = np.random.default_rng(0)
    x, bias = rng.normal(size=(2, 5, 4)).astype(np.float32), rng.normal(size=10)
    head(x)
    head.bias.assign(bias)
    expected = 0.5 * x @ np.asarray(embedding.embeddings).T + bias
    np.testing.assert_allclose(head(x), expected, atol=1e-6)
    for transposed in (False, True):
        kernels = embedding.step_kernels(transposed)
        np.testing.assert_allclose(head.logits(x, kernels), expected, atol=1e-6)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(head)
    )
    assert (copy.scale, copy.use_bias) == (0.5, True)


def test_the_next_token_head_trains_the_shared_table():
    embedding = TokenEmbedding(10, 4)
    embedding(np.array([[0]]))
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, NextTokenHead(embedding)(inputs))
    assert model.trainable_variables == [embedding.embeddings]
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(
        model(x), x @ np.asarray(embedding.embeddings).T, atol=1e-6
    )
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(NextTokenHead(embedding))
    )
    assert copy.token_embedding.vocabulary_size == 10


def test_the_head_equals_numpy_at_the_masked_positions():
    embedding = TokenEmbedding(10, 4)
    embedding(np.array([[0]]))
    head = MaskedLMHead(embedding)
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    positions = np.array([[4, 0, 0], [1, 2, 3]])
    head(x, positions)
    rng = np.random.default_rng(1)
    head.set_weights([rng.normal(size=w.shape) for w in head.get_weights()])
    y = np.take_along_axis(x, positions[..., None], 1)
    dense = head.transform
    y = np.asarray(gelu(y @ np.asarray(dense.kernel) + np.asarray(dense.bias)))
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-12)
    norm = head.transform_norm
    y = y * np.asarray(norm.gamma) + np.asarray(norm.beta)
    expected = y @ np.asarray(embedding.embeddings).T + np.asarray(head.bias)
    np.testing.assert_allclose(head(x, positions), expected, atol=1e-4)


def test_the_masked_lm_head_and_its_copy_have_the_table():
    embedding = TokenEmbedding(10, 4)
    head = MaskedLMHead(embedding, activation="relu")
    x, positions = np.zeros((1, 2, 4), np.float32), np.array([[1]])
    embedding(np.array([[0]])), head(x, positions)
    assert len(head.weights) == 6
    assert any(w is embedding.embeddings for w in head.weights)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(head)
    )
    assert copy.activation == "relu"
    assert copy.token_embedding.vocabulary_size == 10
