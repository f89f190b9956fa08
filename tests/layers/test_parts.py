"""Blocks with parts that BERT lacks: each against NumPy, and step by step."""

import random

import keras
import numpy as np
import pytest

from tfzoo.layers import (
    Attention,
    Dropout,
    FeedForward,
    GatedFeedForward,
    RMSNorm,
    Rotary,
    TransformerLayer,
)

B, T, D, N, G, H = 2, 6, 12, 4, 2, 6


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def with_weights(layer, *inputs):
    layer(*inputs)
    rng = np.random.default_rng(7)
    layer.set_weights([rng.normal(size=w.shape) * 0.4 for w in layer.get_weights()])
    return layer


def dense(layer, x):
    y = x @ np.asarray(layer.kernel)
    return y + np.asarray(layer.bias) if layer.use_bias else y


def rms(layer, x):
    square = (x**2).mean(-1, keepdims=True)
    return x / np.sqrt(square + layer.epsilon) * np.asarray(layer.gamma)


def turned(x, positions, theta):
    """(T, H) turned one pair of numbers after the other."""
    half, y = x.shape[1] // 2, x.copy()
    for t, position in enumerate(positions):
        for i in range(half):
            angle = position * theta ** (-i / half)
            turn = np.array(
                [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            )
            y[t, [i, i + half]] = turn @ x[t, [i, i + half]]
    return y


def attended(layer, x, seen, positions):
    """One row (T, D), head by head; `seen` (T, T)."""
    query, key, value = (dense(p, x) for p in (layer.query, layer.key, layer.value))
    heads = []
    for head in range(layer.num_heads):
        group = head // (layer.num_heads // layer.groups)
        q = query[:, head * H : (head + 1) * H]
        k, v = (y[:, group * H : (group + 1) * H] for y in (key, value))
        if layer.query_norm is not None:
            q, k = rms(layer.query_norm, q), rms(layer.key_norm, k)
        if layer.rotary is not None:
            q, k = (turned(y, positions, layer.rotary.theta) for y in (q, k))
        scale = H**-0.5 if layer.scale is None else layer.scale
        scores = np.where(seen, q @ k.T * scale, -np.inf)
        if layer.window is not None:
            distance = positions[:, None] - positions
            scores = np.where(distance < layer.window, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(weights / weights.sum(-1, keepdims=True) @ v)
    return dense(layer.output_projection, np.concatenate(heads, 1))


PARTS = {
    "grouped queries": dict(num_key_value_heads=G),
    "one key": dict(num_key_value_heads=1),
    "no biases": dict(use_bias=False),
    "a bias of queries alone": dict(use_bias=True, output_bias=False),
    "no scale": dict(scale=1.0),
    "norms of heads": dict(head_norm=RMSNorm(1e-3)),
    "rotary": dict(rotary=Rotary(50.0)),
    "a window": dict(window=3),
    "all": dict(
        num_key_value_heads=G,
        use_bias=False,
        head_norm=RMSNorm(),
        rotary=Rotary(),
        window=4,
    ),
}
parts = pytest.mark.parametrize("options", PARTS.values(), ids=PARTS)


@parts
def test_attention_equals_numpy(options):
    x = normal(B, T, D)
    layer = with_weights(Attention(N, head_dim=H, **options), x)
    seen = np.tril(np.ones((T, T), bool))
    positions = np.array([[0, 1, 2, 3, 4, 5], [0, 1, 0, 1, 2, 7]])
    found = layer(x, attention_mask=seen[None, None], positions=positions)
    for row in range(B):
        expected = attended(layer, x[row], seen, positions[row])
        np.testing.assert_allclose(found[row], expected, atol=2e-5)
    counted = layer(x, attention_mask=seen[None, None])
    np.testing.assert_allclose(counted[0], found[0], atol=2e-6)


def block(options, feed_forward=None, **more):
    return TransformerLayer(
        Attention(N, head_dim=H, **options),
        feed_forward or GatedFeedForward(16, "silu", use_bias=False),
        norm=RMSNorm(),
        norm_first=True,
        causal=True,
        dropout=0.0,
        **more,
    )


@parts
@pytest.mark.parametrize("transposed", [None, False, True])
def test_steps_equal_a_call_at_the_same_positions(options, transposed):
    x = normal(B, T, D)
    layer = with_weights(block(options), x)
    kernels = None if transposed is None else layer.step_kernels(transposed)
    past, outputs = layer.state(B), []
    for start, end in ((0, 2), (2, 3), (3, 6)):
        mask = (np.arange(end) <= np.arange(start, end)[:, None])[None, None]
        positions = np.tile(np.arange(start, end), (B, 1))
        y, new = layer.step(x[:, start:end], past, mask, kernels, positions)
        past = keras.tree.map_structure(
            lambda *pair: np.concatenate(pair, axis=2), past, new
        )
        outputs.append(np.asarray(y))
    np.testing.assert_allclose(np.concatenate(outputs, 1), layer(x), atol=1e-5)


OF_A_CONTEXT = [*PARTS][:-3]  # rotary and window are for self-attention only


@pytest.mark.parametrize("name", OF_A_CONTEXT)
def test_recalling_a_memory_equals_a_call_with_its_context(name):
    x, context = normal(B, T, D), normal(B, 4, D, seed=1)
    layer = with_weights(Attention(N, head_dim=H, **PARTS[name]), x, context)
    mask = np.arange(4) < np.array([4, 2])[:, None, None, None]
    found = layer.recall(x, layer.memory(context), mask)
    expected = layer(x, context, attention_mask=mask)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("use_bias", [False, True])
def test_a_gated_feed_forward_network_equals_numpy(use_bias):
    x = normal(B, T, D)
    layer = with_weights(GatedFeedForward(8, "silu", use_bias=use_bias), x)
    gate = dense(layer.gate, x)
    inner = gate / (1 + np.exp(-gate)) * dense(layer.intermediate, x)
    expected = dense(layer.output_projection, inner)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert len(layer.weights) == (6 if use_bias else 3)


def test_rms_norm_equals_numpy_and_computes_in_float32():
    x = normal(B, T, D)
    layer = with_weights(RMSNorm(0.1), x)
    np.testing.assert_allclose(layer(x), rms(layer, x), atol=1e-6)
    half = RMSNorm(dtype="mixed_float16")
    large = half(1e3 * x)  # its squares overflow float16
    assert large.dtype == "float16" and np.isfinite(large).all()


def test_a_rotation_depends_on_the_distance_alone():
    query, key = normal(2, 1, 1, 1, H)
    rotary = Rotary()

    def product(i, j):
        q, k = rotary(query, np.array([i])), rotary(key, np.array([j]))
        return float(np.sum(np.asarray(q) * np.asarray(k)))

    assert product(3, 1) == pytest.approx(product(102, 100), abs=1e-4)
    assert product(3, 1) != pytest.approx(product(3, 2), abs=1e-3)


@parts
def test_a_block_is_rebuilt_from_its_config(options):
    x = normal(B, T, D)
    layer = with_weights(block(options, name="block"), x)
    copy = TransformerLayer.from_config(layer.get_config())
    copy(x)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x), layer(x))
    assert [v.path for v in copy.variables] == [v.path for v in layer.variables]


def test_a_part_is_copied_and_belongs_to_one_block():
    attention, network = Attention(N), FeedForward(8)
    first, second = (TransformerLayer(attention, network) for _ in range(2))
    first(normal(B, T, D)), second(normal(B, T, D))
    assert not attention.built and not network.built
    assert first.variables[0] is not second.variables[0]


def test_a_block_built_from_sizes_draws_no_more_seeds_than_its_parts():
    keras.utils.set_random_seed(0)
    TransformerLayer(2, 16)
    after = random.random()
    keras.utils.set_random_seed(0)
    Attention(2, dropout=0.1), Dropout(0.1)
    assert random.random() == after


@pytest.mark.parametrize("count", [3, 0, -1])
def test_num_key_value_heads_must_divide_num_heads(count):
    message = f"num_heads=4, num_key_value_heads={count}"
    with pytest.raises(ValueError, match=message):
        Attention(4, num_key_value_heads=count)


def test_a_window_includes_at_least_the_position_itself():
    with pytest.raises(ValueError, match="window must be >= 1. Received: window=0"):
        Attention(4, window=0)


def test_rotary_needs_an_even_head_size():
    with pytest.raises(ValueError, match="must be even. Received: 3"):
        Attention(4, head_dim=3, rotary=Rotary())(normal(B, T, D))


@pytest.mark.parametrize("options", [dict(rotary=Rotary()), dict(window=2)])
def test_rotary_and_window_are_for_self_attention_only(options):
    with pytest.raises(ValueError, match="self-attention only. Received: a context"):
        Attention(4, head_dim=H, **options)(normal(B, T, D), normal(B, 4, D))


@pytest.mark.parametrize(
    ("given", "beside"),
    [
        ((Attention(4), 8), dict(attention_dropout=0.1)),
        ((4, FeedForward(8)), dict(activation="relu")),
        ((4, 8), dict(norm=RMSNorm(), layer_norm_epsilon=1e-5)),
        ((Attention(4), FeedForward(8)), dict(output_stddev=0.1)),
    ],
)
def test_options_that_a_part_already_has_are_refused(given, beside):
    name = [*beside][-1]
    with pytest.raises(ValueError, match=f"{name} must be left out .*{name}="):
        TransformerLayer(*given, **beside)
