import keras
import numpy as np
import pytest

from helpers import random_weights
from tfzoo.families import GPTDecoder
from tfzoo.families.gpt2 import GPT2
from tfzoo.layers import NextTokenHead

B, S, N, H = 3, 9, 2, 8


def by_numpy(decoder, ids):
    """(S,) ids -> (S, V) logits of one text, from the weights by path."""
    w = {v.path: np.asarray(v, np.float64) for v in decoder.variables}

    def dense(name, x):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def norm(name, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * w[f"{name}/gamma"] + w[f"{name}/beta"]

    def attention(name, x):
        q, k, v = (
            dense(f"{name}/{p}", x).reshape(-1, N, H).transpose(1, 0, 2)
            for p in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(H)
        scores = np.where(np.tri(len(x)), np.exp(scores), 0.0)
        y = scores / scores.sum(-1, keepdims=True) @ v
        return dense(f"{name}/output", y.transpose(1, 0, 2).reshape(len(x), N * H))

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    table = w["token_embedding/embeddings"]
    x = table[ids] + w["position_embedding/embeddings"][: len(ids)]
    for i in range(decoder.num_layers):
        name = f"transformer_layer_{i}"
        x = x + attention(
            f"{name}/self_attention", norm(f"{name}/self_attention_norm", x)
        )
        y = norm(f"{name}/feed_forward_norm", x)
        y = gelu(dense(f"{name}/feed_forward/intermediate", y))
        x = x + dense(f"{name}/feed_forward/output", y)
    return norm("final_norm", x) @ table.T


def logits(decoder, x):
    return np.asarray(decoder.logits(decoder(x)))


def cached_logits(decoder, ids, chunks, step=None):
    """Logits at every position, computed in chunks of these lengths."""
    step = step or decoder.step
    state, found, start = decoder.state(len(ids)), [], 0
    for length in chunks:
        columns = np.arange(start + length)
        positions = np.tile(columns[start:], (len(ids), 1))
        mask = (columns <= columns[start:, None])[None, None]
        hidden, new = step(ids[:, start : start + length], positions, state, mask)
        state = keras.tree.map_structure(
            lambda *parts: np.concatenate(parts, axis=2), state, new
        )
        assert {x.shape for x in keras.tree.flatten(new)} == {(len(ids), N, length, H)}
        found.append(np.asarray(decoder.logits(hidden)))
        start += length
    return np.concatenate(found, axis=1)


def test_equals_numpy(gpt, gpt_inputs):
    x = gpt_inputs()
    for ours, ids in zip(logits(gpt, x), x["token_ids"], strict=True):
        np.testing.assert_allclose(ours, by_numpy(gpt, ids), atol=1e-5)


@pytest.mark.parametrize(
    "chunks",
    [[9], [1] * 9, [4, 1, 1, 1, 1, 1], [2, 3, 4], [5, 4]],
    ids=["prefill", "one by one", "prompt, then one by one", "chunks", "halves"],
)
def test_cached_logits_equal_uncached_ones_at_every_position(gpt, gpt_inputs, chunks):
    x = gpt_inputs()
    cached = cached_logits(gpt, x["token_ids"], chunks)
    np.testing.assert_allclose(cached, logits(gpt, x), atol=1e-5)


def test_a_masked_part_of_the_past_changes_nothing(gpt, gpt_inputs):
    rng = np.random.default_rng(1)
    shape = (2, B, N, 5, H)
    pairs = rng.normal(size=(2, *shape)).astype(np.float32)
    state = [tuple(pair) for pair in pairs]
    ids, positions = gpt_inputs(1)["token_ids"], np.full((B, 1), 3)
    mask = np.array([1, 1, 1, 0, 0, 1], bool).reshape(1, 1, 1, 6)
    wide, _ = gpt.step(ids, positions, state, mask)
    cut = [tuple(pair[..., :3, :]) for pair in pairs]
    short, _ = gpt.step(ids, positions, cut, mask[..., [0, 1, 2, 5]])
    np.testing.assert_allclose(wide, short, atol=1e-6)


@pytest.mark.slow
def test_a_step_compiles_with_xla_and_in_a_graph(gpt, gpt_inputs):
    import tensorflow as tf

    x = gpt_inputs()
    for compiled in (False, True):
        step = tf.function(gpt.step, jit_compile=compiled)
        cached = cached_logits(gpt, x["token_ids"], [6, 1, 2], step)
        np.testing.assert_allclose(cached, logits(gpt, x), atol=1e-5)


def test_later_tokens_change_nothing(gpt, gpt_inputs):
    x = gpt_inputs()
    before = logits(gpt, x)
    x["token_ids"][:, 5:] = 7
    np.testing.assert_allclose(before[:, :5], logits(gpt, x)[:, :5], atol=1e-6)
    assert np.abs(before - logits(gpt, x))[:, 5:].max() > 1e-2


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(gpt, gpt_inputs, side):
    x = gpt_inputs()
    widths = {"left": (3, 0), "right": (0, 3)}[side]
    padded = {k: np.pad(v, ((0, 0), widths)) for k, v in x.items()}
    real = padded["padding_mask"] == 1
    ours = logits(gpt, padded)[real].reshape(B, S, -1)
    np.testing.assert_allclose(ours, logits(gpt, x), atol=1e-5)


def test_documents_in_one_window_are_independent(gpt, gpt_inputs):
    first, second = gpt_inputs(4), gpt_inputs(5, seed=1)
    packed = {
        "token_ids": np.concatenate([first["token_ids"], second["token_ids"]], 1),
        "padding_mask": np.array([[1] * 4 + [2] * 5] * B, np.int32),
    }
    alone = np.concatenate([logits(gpt, first), logits(gpt, second)], 1)
    np.testing.assert_allclose(logits(gpt, packed), alone, atol=1e-5)
    packed["padding_mask"][:] = 1
    assert np.abs(logits(gpt, packed) - alone)[:, 4:].max() > 1e-2


def test_an_empty_batch_gives_an_empty_result(gpt, gpt_inputs):
    assert logits(gpt, gpt_inputs(batch=0)).shape == (0, S, 50)


def test_bfloat16_agrees_and_its_logits_are_float32(gpt, gpt_inputs):
    half = GPTDecoder.from_config({**gpt.get_config(), "dtype": "mixed_bfloat16"})
    half.set_weights(gpt.get_weights())
    assert half(gpt_inputs()).dtype == "bfloat16"
    assert half.logits(half(gpt_inputs())).dtype == "float32"
    assert np.abs(logits(half, gpt_inputs()) - logits(gpt, gpt_inputs())).mean() < 0.02


def test_a_sequence_beyond_the_positions_is_refused(gpt, gpt_inputs):
    with pytest.raises(ValueError, match="max_sequence_length=12.*length 13"):
        gpt(gpt_inputs(13))


def test_weights_are_initialized_as_in_gpt2():
    decoder = GPTDecoder(100, 8, 2, 64, 256)
    spread = {v.path: np.std(v) for v in decoder.variables if v.ndim == 2}
    residual = {p for p in spread if p.endswith("/output/kernel")}
    assert len(residual) == 2 * 8
    # A normal truncated at two standard deviations has 0.88 of its width.
    for path, width in spread.items():
        expected = 0.88 * 0.02 / (4 if path in residual else 1)
        assert width == pytest.approx(expected, rel=0.1), path


@pytest.mark.slow
def test_one_batch_can_be_learned(gpt, gpt_inputs):
    learner = GPTDecoder.from_config({**gpt.get_config(), "dropout": 0.0})
    ids = gpt_inputs()
    model = keras.Model(
        learner.inputs, NextTokenHead(learner.token_embedding)(learner.output)
    )
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    targets = np.roll(ids["token_ids"], -1, axis=1)[:, :-1]
    given = {name: a[:, :-1] for name, a in ids.items()}
    losses = model.fit(given, targets, epochs=60, verbose=0).history["loss"]
    assert losses[0] > 3.5 and losses[-1] < 0.1


def test_a_keras_file_gives_the_same_outputs(gpt, gpt_inputs, tmp_path):
    gpt.save(tmp_path / "gpt.keras")
    copy = keras.saving.load_model(tmp_path / "gpt.keras")
    np.testing.assert_array_equal(gpt(gpt_inputs()), copy(gpt_inputs()))
    assert copy.get_config() == gpt.get_config()


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("gpt2", 124_439_808),
        ("gpt2_medium", 354_823_168),
        ("gpt2_large", 774_030_080),
        ("gpt2_xl", 1_557_611_200),
    ],
)
def test_named_sizes_have_the_published_number_of_parameters(name, published):
    v, p, layers, d, f = (
        GPT2.sizes[name][size]
        for size in (
            "vocabulary_size",
            "max_sequence_length",
            "num_layers",
            "hidden_dim",
            "intermediate_dim",
        )
    )
    in_a_layer = 4 * (d * d + d) + (d * f + f) + (f * d + d) + 4 * d
    assert (v + p) * d + layers * in_a_layer + 2 * d == published


def test_a_decoder_has_as_many_parameters_as_its_sizes_say():
    sizes = GPT2.sizes["gpt_mini"]
    v, p, layers, d, f = 8192, 512, 4, 256, 1024
    in_a_layer = 4 * (d * d + d) + (d * f + f) + (f * d + d) + 4 * d
    weights = GPTDecoder(**sizes).trainable_variables
    assert sum(np.prod(w.shape) for w in weights) == (
        (v + p) * d + layers * in_a_layer + 2 * d
    )


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        (dict(dropout=0.25), (0.25, 0.25, 0.25)),
        (dict(dropout=0.25, attention_dropout=0.0), (0.25, 0.25, 0.0)),
        (dict(dropout=0.25, embeddings_dropout=0.0), (0.0, 0.25, 0.25)),
        (
            dict(dropout=0.0, attention_dropout=0.5, embeddings_dropout=0.125),
            (0.125, 0.0, 0.5),
        ),
    ],
    ids=str,
)
def test_embeddings_layers_and_attention_have_separate_dropout(options, rates):
    decoder = GPTDecoder(50, 2, 2, 16, 32, **options)
    for layer in decoder.transformer_layers:
        found = (
            decoder.get_layer("embeddings_dropout").rate,
            layer.dropout_layer.rate,
            layer.self_attention.dropout_layer.rate,
        )
        assert found == rates
    copy = GPTDecoder.from_config(decoder.get_config())
    assert copy.get_layer("embeddings_dropout").rate == rates[0]
    assert copy.transformer_layers[1].self_attention.dropout == rates[2]


def test_dropout_applies_to_the_sum_of_the_embeddings(gpt_inputs):
    decoder = random_weights(GPTDecoder(50, 1, 2, 64, 32, 0.0, embeddings_dropout=0.25))
    first = decoder.transformer_layers[0].input
    embeddings = keras.Model(decoder.inputs, first[0])
    x = gpt_inputs(length=40, batch=8)
    kept, dropped = (np.asarray(embeddings(x, training=t)) for t in (False, True))
    zero = dropped == 0
    assert zero.mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(dropped[~zero], kept[~zero] / 0.75, rtol=1e-5)
