import inspect

import keras
import numpy as np
import pytest
from keras import ops

from tfzoo.layers import RMSNorm, TransformerLayer

B, T, S, D = 2, 6, 4, 8


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layer_with_weights(x, *args, **options):
    layer = TransformerLayer(**{"num_heads": 2, "intermediate_dim": 16, **options})
    layer(x, *args)
    rng = np.random.default_rng(3)
    layer.set_weights(
        [rng.normal(size=w.shape) * 0.3 + (w.ndim == 1) for w in layer.get_weights()]
    )
    return layer


def by_numpy(layer, x):
    def norm(sub, y):
        mean, var = y.mean(-1, keepdims=True), y.var(-1, keepdims=True)
        y = (y - mean) / np.sqrt(var + layer.layer_norm_epsilon)
        return y * np.asarray(sub.gamma) + np.asarray(sub.beta)

    for function, sub in (
        (layer.self_attention, layer.self_attention_norm),
        (layer.feed_forward, layer.feed_forward_norm),
    ):
        if layer.norm_first:
            x = x + np.asarray(function(norm(sub, x)))
        else:
            x = norm(sub, x + np.asarray(function(x)))
    return x


@pytest.mark.parametrize("norm_first", [False, True])
def test_equals_numpy(norm_first):
    x = normal(B, T, D)
    layer = layer_with_weights(x, norm_first=norm_first, dropout=0.0)
    np.testing.assert_allclose(layer(x), by_numpy(layer, x), atol=5e-5)


def test_a_causal_layer_does_not_attend_to_later_positions():
    x = normal(B, T, D)
    layer = layer_with_weights(x, causal=True)
    before = layer(x)
    x[:, 4:] = 7.0
    np.testing.assert_allclose(before[:, :4], layer(x)[:, :4], atol=1e-6)
    assert np.abs(before - layer(x))[:, 4:].max() > 0.1


def test_padding_changes_nothing():
    x = normal(B, T, D)
    layer = layer_with_weights(x)
    mask = np.array([[1, 1, 1, 1, 0, 0]] * B)
    np.testing.assert_allclose(
        layer(x, attention_mask=mask)[:, :4], layer(x[:, :4]), atol=1e-6
    )


def test_a_pairwise_mask_combines_with_causal():
    x = normal(B, T, D)
    layer = layer_with_weights(x, causal=True)
    blocks = np.kron(np.eye(2), np.ones((3, 3)))[None].repeat(B, 0)
    parts = [layer(x[:, :3]), layer(x[:, 3:])]
    np.testing.assert_allclose(
        layer(x, attention_mask=blocks), np.concatenate(parts, 1), atol=1e-6
    )


def test_a_hidden_key_of_the_context_changes_nothing():
    x, context = normal(B, T, D), normal(B, S, D, seed=1)
    mask = np.array([[1, 1, 1, 0]] * B)
    layer = layer_with_weights(x, None, context, cross_attention=True)
    seen = layer(x, context=context, context_mask=mask)
    context[:, 3] = 9.0
    again = layer(x, context=context, context_mask=mask)
    np.testing.assert_array_equal(seen, again)
    context[:, 0] = 9.0
    assert np.abs(seen - layer(x, context=context, context_mask=mask)).max() > 1e-4


def test_cross_attention_without_a_context_is_refused():
    with pytest.raises(ValueError, match="context=None"):
        TransformerLayer(2, 16, cross_attention=True)(normal(B, T, D))


# Every argument of the constructor, and whether it matters only in training
CHANGES = {
    "num_heads": (4, False),
    "intermediate_dim": (8, False),
    "dropout": (0.5, True),
    "attention_dropout": (0.5, True),
    "activation": ("gelu_tanh", False),
    "norm_first": (True, False),
    "causal": (True, False),
    "cross_attention": (True, False),
    "layer_norm_epsilon": (0.1, False),
    "norm": (RMSNorm(), False),
}


def test_the_changes_cover_every_argument_except_output_stddev():
    names = {*inspect.signature(TransformerLayer.__init__).parameters}
    assert names == {*CHANGES, "output_stddev", "self", "kwargs"}


@pytest.mark.parametrize("name", CHANGES)
def test_every_argument_changes_the_output(name):
    x, context = normal(B, T, D), normal(B, S, D, seed=1)
    value, training = CHANGES[name]
    given = (None, context) if name == "cross_attention" else ()
    plain = layer_with_weights(x, dropout=0.0)
    other = layer_with_weights(x, *given, **{"dropout": 0.0, name: value})
    change = np.abs(plain(x, training=True) - other(x, *given, training=True)).max()
    assert change > 1e-5
    if training:
        np.testing.assert_array_equal(plain(x), other(x))


@pytest.mark.parametrize(("dropout", "attention_dropout"), [(0.5, 0.0), (0.0, 0.5)])
def test_attention_weights_and_sublayers_have_separate_dropout(
    dropout, attention_dropout
):
    x, context = normal(B, T, D), normal(B, S, D, seed=1)
    layer = layer_with_weights(
        x,
        None,
        context,
        dropout=dropout,
        attention_dropout=attention_dropout,
        cross_attention=True,
    )
    for attention, other in (
        (layer.self_attention, x),
        (layer.context_attention, context),
    ):
        kept, dropped = (attention(x, other, training=t) for t in (False, True))
        assert (np.abs(kept - dropped).max() > 0.1) == (attention_dropout > 0)
    trained = layer(x, context=context, training=True)
    assert np.abs(trained - layer(x, context=context)).max() > 0.1


def test_attention_dropout_defaults_to_dropout():
    rates = {
        rate: TransformerLayer(2, 16, dropout=0.3, attention_dropout=rate)
        for rate in (None, 0.0, 0.1)
    }
    found = [layer.self_attention.dropout for layer in rates.values()]
    assert found == [0.3, 0.0, 0.1]


def test_dropout_acts_only_during_training():
    x = normal(B, T, D)
    layer = layer_with_weights(x, dropout=0.5)
    np.testing.assert_array_equal(layer(x), layer(x))
    assert np.abs(layer(x, training=True) - layer(x)).max() > 0.1


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_agrees_and_normalizes_in_float32(dtype):
    x = normal(B, T, D) * 100.0 + 1000.0  # its variance overflows float16
    exact = layer_with_weights(x, norm_first=True)
    half = TransformerLayer(2, 16, norm_first=True, dtype=dtype)
    half(x)
    half.set_weights(exact.get_weights())
    ours = ops.cast(half.self_attention_norm(x), "float32")
    np.testing.assert_allclose(ours, exact.self_attention_norm(x), atol=0.05)
    assert half(x).dtype == dtype.removeprefix("mixed_")


def test_a_saved_copy_agrees(tmp_path):
    x, context = normal(B, T, D), normal(B, S, 3, seed=1)  # of another width
    inputs, other = keras.Input((T, D)), keras.Input((S, 3))
    layer = TransformerLayer(2, 16, causal=True, cross_attention=True)
    model = keras.Model([inputs, other], layer(inputs, context=other))
    model.save(tmp_path / "a.keras")
    copy = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(model([x, context]), copy([x, context]))


def test_keras_built_layers_compute_the_same():
    """Keras's own attention and normalization, filled with our weights."""
    x = normal(B, T, D)
    layer = layer_with_weights(x, dropout=0.0)
    attention = keras.layers.MultiHeadAttention(2, D // 2)
    attention.build((B, T, D), (B, T, D))
    heads = []
    for part in (layer.self_attention.query, layer.self_attention.key):
        heads += [part.kernel.numpy().reshape(D, 2, 4), part.bias.numpy().reshape(2, 4)]
    value, out = layer.self_attention.value, layer.self_attention.output_projection
    heads += [value.kernel.numpy().reshape(D, 2, 4), value.bias.numpy().reshape(2, 4)]
    heads += [out.kernel.numpy().reshape(2, 4, D), out.bias.numpy()]
    attention.set_weights(heads)
    np.testing.assert_allclose(layer.self_attention(x), attention(x, x), atol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_steps_equal_a_call_at_the_same_positions(norm_first):
    x = normal(B, T, D)
    layer = layer_with_weights(x, norm_first=norm_first, causal=True)
    past = layer.state(B)
    outputs = []
    for start, end in ((0, 1), (1, 4), (4, 6)):
        mask = (np.arange(end) <= np.arange(start, end)[:, None])[None, None]
        y, new = layer.step(x[:, start:end], past, mask)
        past = [np.concatenate(pair, 2) for pair in zip(past, new, strict=True)]
        outputs.append(np.asarray(y))
    np.testing.assert_allclose(np.concatenate(outputs, 1), layer(x), atol=2e-6)


@pytest.mark.parametrize("transposed", [None, False, True])
def test_steps_with_a_memory_equal_a_call_with_its_context(transposed):
    x, context = normal(B, T, D), normal(B, S, D, seed=1)
    layer = layer_with_weights(
        x, None, context, causal=True, cross_attention=True, norm_first=True
    )
    context_mask = np.arange(S) < np.array([[S], [S - 2]])
    memory, past, outputs = layer.memory(context), layer.state(B), []
    kernels = None if transposed is None else layer.step_kernels(transposed)
    for start, end in ((0, 1), (1, 4), (4, T)):
        y, new = layer.step(
            x[:, start:end],
            past,
            (np.arange(end) <= np.arange(start, end)[:, None])[None, None],
            kernels,
            memory=memory,
            memory_mask=context_mask,
        )
        past = [np.concatenate(pair, 2) for pair in zip(past, new, strict=True)]
        outputs.append(np.asarray(y))
    expected = layer(x, context=context, context_mask=context_mask)
    np.testing.assert_allclose(np.concatenate(outputs, 1), expected, atol=2e-6)


def test_steps_with_a_bias_and_a_shared_memory_equal_a_call_for_each_row():
    x, context = normal(3 * B, T, D), normal(B, S, D, seed=1)
    bias, each = normal(1, 2, T, T, seed=2), np.repeat(context, 3, 0)
    layer = layer_with_weights(x, None, each, causal=True, cross_attention=True)
    context_mask = np.arange(S) < np.array([[S], [S - 2]])
    past, outputs = layer.state(3 * B), []
    for t in range(T):
        y, new = layer.step(
            x[:, t : t + 1],
            past,
            np.ones((1, 1, 1, t + 1), bool),
            bias=bias[:, :, t : t + 1, : t + 1],
            memory=layer.memory(context),
            memory_mask=context_mask,
        )
        past = [np.concatenate(pair, 2) for pair in zip(past, new, strict=True)]
        outputs.append(np.asarray(y))
    options = dict(context=each, context_mask=np.repeat(context_mask, 3, 0))
    expected = layer(x, bias=bias, **options)
    np.testing.assert_allclose(np.concatenate(outputs, 1), expected, atol=2e-6)
    assert np.abs(expected - layer(x, **options)).max() > 0.01


@pytest.mark.parametrize("cross_attention", [False, True])
def test_a_memory_requires_cross_attention(cross_attention):
    x, context = normal(B, T, D), normal(B, S, D, seed=1)
    given = (None, context) if cross_attention else ()
    layer = layer_with_weights(x, *given, cross_attention=cross_attention)
    memory = None if cross_attention else layer.self_attention.memory(context)
    with pytest.raises(ValueError, match=f"cross_attention={cross_attention}"):
        layer.step(x, layer.state(B), np.ones((T, T), bool), memory=memory)


def test_residual_projections_are_initialized_with_output_stddev():
    layer = TransformerLayer(2, 64, output_stddev=0.002)
    layer(np.zeros((1, 1, 64), np.float32))
    for sublayer in (layer.self_attention, layer.feed_forward):
        kernel = sublayer.output_projection.kernel
        assert np.std(kernel) == pytest.approx(0.88 * 0.002, rel=0.1)
