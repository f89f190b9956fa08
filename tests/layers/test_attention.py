import keras
import numpy as np
import pytest
from keras import ops

from tfzoo.layers import Attention, Rotary

B, T, S, D, N = 2, 5, 7, 12, 3


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(B, T, D)).astype(np.float32)
    context = rng.normal(size=(B, S, D)).astype(np.float32)
    mask = rng.random((B, 1, T, S)) < 0.7
    mask[..., 0] = True
    return x, context, mask


def by_numpy(layer, x, context, mask, bias=0.0):
    def project(dense, y):
        y = y @ np.asarray(dense.kernel) + np.asarray(dense.bias)
        return y.reshape(*y.shape[:2], N, D // N).transpose(0, 2, 1, 3)

    q, k = project(layer.query, x), project(layer.key, context)
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(D / N) + bias
    scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    y = (weights @ project(layer.value, context)).transpose(0, 2, 1, 3)
    out = layer.output_projection
    return y.reshape(B, -1, D) @ np.asarray(out.kernel) + np.asarray(out.bias)


def randomise(layer):
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) * 0.5 for w in layer.get_weights()])


def test_equals_numpy(arrays):
    x, context, mask = arrays
    layer = Attention(N)
    layer(x, context)
    randomise(layer)
    ours = layer(x, context, attention_mask=mask)
    np.testing.assert_allclose(ours, by_numpy(layer, x, context, mask), atol=2e-6)


@pytest.mark.parametrize("shape", [(1, N, T, T), (B, 1, 1, T), (B, N, T, T)], ids=str)
def test_a_bias_is_added_to_the_scores(arrays, shape):
    x, _, mask = arrays
    mask = mask[..., :T]
    bias = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    layer = Attention(N)
    layer(x)
    randomise(layer)
    ours = layer(x, attention_mask=mask, bias=bias)
    np.testing.assert_allclose(ours, by_numpy(layer, x, x, mask, bias), atol=2e-6)
    earlier = mask & np.tri(T, dtype=bool)
    past, found = layer.state(B), []
    for start, end in ((0, 1), (1, 3), (3, T)):
        rows = slice(start, end) if shape[2] == T else slice(None)
        y, new = layer.step(
            x[:, start:end],
            past,
            earlier[:, :, start:end, :end],
            bias=bias[:, :, rows, :end],
        )
        past = [np.concatenate(pair, 2) for pair in zip(past, new, strict=True)]
        found.append(np.asarray(y))
    np.testing.assert_allclose(
        np.concatenate(found, 1), by_numpy(layer, x, x, earlier, bias), atol=2e-6
    )


@pytest.mark.parametrize("transposed", [None, False, True])
@pytest.mark.parametrize("length", [1, 3])
def test_several_rows_recall_the_same_context(arrays, transposed, length):
    _, context, mask = arrays
    x = np.random.default_rng(3).normal(size=(4 * B, length, D)).astype(np.float32)
    layer = Attention(N)
    layer(x, np.repeat(context, 4, 0))
    randomise(layer)
    kernels = None if transposed is None else layer.recall_kernels(transposed)
    seen = mask[:, :, :1]
    found = layer.recall(x, layer.memory(context), seen, kernels)
    expected = layer(x, np.repeat(context, 4, 0), np.repeat(seen, 4, 0))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_without_context_attends_to_itself(arrays):
    x, _, _ = arrays
    layer = Attention(N)
    np.testing.assert_allclose(layer(x), layer(x, x), atol=0)


def test_a_hidden_key_changes_nothing(arrays):
    x, context, mask = arrays
    layer = Attention(N)
    mask[..., 2] = False
    before = layer(x, context, attention_mask=mask)
    context[:, 2] = 1e4
    np.testing.assert_array_equal(before, layer(x, context, attention_mask=mask))


def test_a_row_whose_keys_are_all_hidden_is_finite(arrays):
    x, context, mask = arrays
    mask[0] = False
    assert np.isfinite(Attention(N)(x, context, attention_mask=mask)).all()


def test_heads_that_do_not_divide_the_width_are_named():
    with pytest.raises(ValueError, match="hidden_dim=12, num_heads=5"):
        Attention(5)(np.zeros((1, 2, 12), np.float32))


@pytest.mark.parametrize("part", [{"rotary": Rotary()}, {"window": 2}])
def test_a_step_of_rotary_or_a_window_needs_positions(arrays, part):
    layer = Attention(N, **part)
    layer(arrays[0])
    with pytest.raises(ValueError, match="positions must be given with rotary or"):
        layer.step(arrays[0], layer.state(B), mask=True)


def test_dropout_acts_only_during_training(arrays):
    x, _, _ = arrays
    layer = Attention(N, dropout=0.5)
    np.testing.assert_array_equal(layer(x), layer(x))
    assert np.abs(layer(x, training=True) - layer(x)).max() > 1e-4


def test_bfloat16_agrees_and_keeps_the_softmax_in_float32(arrays):
    x, context, mask = arrays
    layer = Attention(N)
    exact = layer(x, context, attention_mask=mask)
    half = Attention(N, dtype="mixed_bfloat16")
    half(x, context)
    half.set_weights(layer.get_weights())
    rounded = half(x, context, attention_mask=mask)
    assert rounded.dtype == "bfloat16"
    np.testing.assert_allclose(ops.cast(rounded, "float32"), exact, atol=2e-3)


def test_a_saved_copy_agrees(arrays, tmp_path):
    x, _, _ = arrays
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, Attention(N, dropout=0.2)(inputs))
    model.save(tmp_path / "a.keras")
    copy = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(model(x), copy(x))
    assert copy.layers[-1].dropout == 0.2


def test_a_fraction_of_the_weights_is_dropped_and_the_others_are_scaled_up():
    """Alike scores make every weight 1 / S; an identity of values shows them."""
    size, rate = 64, 0.25
    layer = Attention(1, dropout=rate)
    x = np.tile(np.eye(size, dtype=np.float32), (8, 1, 1))
    layer(x)
    zero = np.zeros((size, size))
    kernels = {"query": zero, "key": zero, "value": np.eye(size)}
    for name, kernel in {**kernels, "output_projection": np.eye(size)}.items():
        getattr(layer, name).set_weights([kernel, np.zeros(size)])
    np.testing.assert_allclose(layer(x), 1 / size, rtol=1e-5)
    weights = np.asarray(layer(x, training=True))
    dropped = weights == 0
    assert dropped.mean() == pytest.approx(rate, abs=0.02)
    np.testing.assert_allclose(weights[~dropped], 1 / size / (1 - rate), rtol=1e-5)
