"""Llama, Mistral, Qwen 2 and Qwen 3, without the libraries they are compared with."""

import functools
import json

import keras
import numpy as np
import pytest

from helpers import SMALL, random_weights
from tfzoo.errors import CheckpointError
from tfzoo.families import (
    BACKBONES,
    LlamaDecoder,
    MistralDecoder,
    Qwen2Decoder,
    Qwen3Decoder,
)

S, N, G, H, WINDOW = 11, 2, 1, 8, 4
KINDS = (LlamaDecoder, MistralDecoder, Qwen2Decoder, Qwen3Decoder)
SIZES = {**SMALL, "num_key_value_heads": G}
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)
OPTIONS = {
    LlamaDecoder: dict(attention_bias=True, rope_scaling=YARN),
    MistralDecoder: dict(window=WINDOW),
    Qwen2Decoder: dict(ties_output=True),
    Qwen3Decoder: dict(window=WINDOW, ties_output=True),
}
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def decoders():
    """One of each class with random weights."""
    return {k: random_weights(k(**SIZES, **OPTIONS[k]), 0.2) for k in KINDS}


@pytest.fixture
def saved(decoders, tmp_path):
    """Function that saves one with other fields in its config.json; None removes."""

    def save(kind, **changes):
        path = tmp_path / kind.__name__
        if not path.exists():
            decoders[kind].save_to_preset(path)
        config = {**json.loads((path / "config.json").read_text()), **changes}
        text = json.dumps({k: v for k, v in config.items() if v != "absent"})
        (path / "config.json").write_text(text)
        return path

    return save


def inputs(length=S, batch=2):
    ids = np.random.default_rng(0).integers(0, 50, (batch, length)).astype(np.int32)
    return {"token_ids": ids, "padding_mask": np.ones_like(ids)}


def logits(decoder, x):
    return np.asarray(decoder.logits(decoder(x)))


def by_numpy(decoder, ids):
    """(S,) ids -> (S, V) logits, from the weights by path."""
    w = {v.path: np.asarray(v, np.float64) for v in decoder.variables}

    def dense(name, x):
        return x @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0)

    def norm(name, x):
        square = (x**2).mean(-1, keepdims=True)
        return x / np.sqrt(square + 1e-6) * w.get(f"{name}/gamma", 1)

    def turned(x):
        frequencies, factor = decoder.transformer_layers[
            0
        ].self_attention.rotary.frequencies(H)
        angles = np.arange(len(ids))[:, None] * frequencies
        pairs = (x[..., : H // 2] + 1j * x[..., H // 2 :]) * np.exp(1j * angles)
        return np.concatenate([pairs.real, pairs.imag], -1) * factor

    def heads(name, x, count):
        return dense(name, x).reshape(-1, count, H).transpose(1, 0, 2)

    def attention(name, x):
        q, k, v = (
            heads(f"{name}/{part}", x, count)
            for part, count in (("query", N), ("key", G), ("value", G))
        )
        if f"{name}/key_norm/gamma" in w:
            q, k = norm(f"{name}/query_norm", q), norm(f"{name}/key_norm", k)
        scores = turned(q) @ turned(k).transpose(0, 2, 1) / np.sqrt(H)
        distance = np.arange(len(x))[:, None] - np.arange(len(x))
        seen = (distance >= 0) & (distance < (getattr(decoder, "window", 0) or 99))
        scores = np.where(seen, np.exp(scores), 0)
        y = scores / scores.sum(-1, keepdims=True) @ v
        return dense(f"{name}/output", y.transpose(1, 0, 2).reshape(len(x), N * H))

    x = w["token_embedding/embeddings"][ids]
    for i in range(decoder.num_layers):
        name = f"transformer_layer_{i}"
        y = norm(f"{name}/self_attention_norm", x)
        x = x + attention(f"{name}/self_attention", y)
        y = norm(f"{name}/feed_forward_norm", x)
        gate = dense(f"{name}/feed_forward/gate", y)
        y = gate / (1 + np.exp(-gate)) * dense(f"{name}/feed_forward/intermediate", y)
        x = x + dense(f"{name}/feed_forward/output", y)
    table = w.get("output_embedding/embeddings", w["token_embedding/embeddings"])
    return norm("final_norm", x) @ table.T


@kinds
def test_it_equals_numpy_beyond_the_window(decoders, kind):
    x = inputs()
    for ours, ids in zip(logits(decoders[kind], x), x["token_ids"], strict=True):
        np.testing.assert_allclose(ours, by_numpy(decoders[kind], ids), atol=1e-5)


@kinds
@pytest.mark.parametrize("chunks", [[S], [1] * S, [6, 1, 1, 3]], ids=str)
def test_cached_logits_equal_uncached_ones(decoders, kind, chunks):
    decoder, ids = decoders[kind], inputs()["token_ids"]
    state, found, start = decoder.state(len(ids)), [], 0
    for length in chunks:
        columns = np.arange(start + length)
        positions = np.tile(columns[start:], (len(ids), 1))
        mask = (columns <= columns[start:, None])[None, None]
        hidden, new = decoder.step(
            ids[:, start : start + length], positions, state, mask
        )
        state = keras.tree.map_structure(
            lambda *parts: np.concatenate(parts, axis=2), state, new
        )
        found.append(np.asarray(decoder.logits(hidden)))
        start += length
    np.testing.assert_allclose(
        np.concatenate(found, 1), logits(decoder, inputs()), atol=1e-5
    )


@kinds
def test_documents_in_one_window_are_independent(decoders, kind):
    x, first, second = inputs(), inputs(5), inputs(6)
    x["token_ids"] = np.concatenate([first["token_ids"], second["token_ids"]], 1)
    x["padding_mask"][:, 5:] = 2
    alone = [logits(decoders[kind], y) for y in (first, second)]
    together = logits(decoders[kind], x)
    np.testing.assert_allclose(together, np.concatenate(alone, 1), atol=1e-5)


@kinds
def test_a_keras_file_and_a_directory_give_the_same(decoders, kind, saved, tmp_path):
    decoders[kind].save(tmp_path / "x.keras")
    for copy in (
        keras.saving.load_model(tmp_path / "x.keras"),
        kind.from_preset(saved(kind)),
    ):
        np.testing.assert_array_equal(
            logits(copy, inputs()), logits(decoders[kind], inputs())
        )
        to_config = kind.family.to_config
        assert to_config(copy.get_config()) == to_config(decoders[kind].get_config())


def test_buffers_of_older_files_and_the_tied_copy_are_read(decoders, saved):
    import safetensors.numpy

    path = saved(Qwen2Decoder) / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    assert "lm_head.weight" not in tensors
    tensors = {f"model.{name}": value for name, value in tensors.items()}
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    tensors[name] = np.ones(4, np.float32)
    path.unlink()
    safetensors.numpy.save_file(tensors, path)
    copy = Qwen2Decoder.from_preset(path.parent)
    np.testing.assert_array_equal(
        logits(copy, inputs()), logits(decoders[Qwen2Decoder], inputs())
    )


PUBLISHED = {  # number of parameters
    "smollm2_135m": 134_515_008,
    "smollm2_360m": 361_821_120,
    "smollm2_1.7b": 1_711_376_384,
    "tinyllama_1.1b": 1_100_048_384,
    "llama3.2_1b": 1_235_814_400,
    "llama3.2_3b": 3_212_749_824,
    "mistral_7b": 7_241_732_096,
    "qwen2.5_0.5b": 494_032_768,
    "qwen3_0.6b": 596_049_920,
}


def num_parameters(kind, sizes):
    """By the shapes of the paper, without building a model."""
    d, f, n = (sizes[k] for k in ("hidden_dim", "intermediate_dim", "num_heads"))
    g, h = sizes["num_key_value_heads"], sizes.get("head_dim", d // n)
    in_a_layer = 2 * d * n * h + 2 * d * g * h + 3 * d * f + 2 * d
    if kind is Qwen2Decoder:
        in_a_layer += (n + 2 * g) * h
    if kind is Qwen3Decoder:
        in_a_layer += 2 * h
    tables = 1 if sizes.get("ties_output") else 2
    rows = tables * sizes["vocabulary_size"] + 1
    return rows * d + sizes["num_layers"] * in_a_layer


def test_named_sizes_have_the_published_number_of_parameters():
    found = {
        name: num_parameters(kind, sizes)
        for kind in KINDS
        for name, sizes in kind.family.sizes.items()
        if not name.startswith("llama_")
    }
    assert found == PUBLISHED


def test_a_decoder_has_as_many_parameters_as_its_sizes_say():
    for kind in KINDS:
        sizes = {**SIZES, "ties_output": False}
        count = kind(**sizes).count_params()
        assert count == num_parameters(kind, sizes), kind


@functools.cache
def usual(kind):
    return kind.family.to_config(kind(**SIZES).get_config())


def arguments(kind, **fields):
    """What a `config.json` with other fields means."""
    config = {**usual(kind), "rope_parameters": None, "rope_theta": None, **fields}
    config = {name: value for name, value in config.items() if value != "absent"}
    return kind.family.from_config(config, "config.json")


LLAMA_3 = dict(
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=8,
)


@pytest.mark.parametrize(
    ("fields", "theta", "scaling"),
    [
        ({}, 10000.0, None),
        (dict(rope_theta=5e5), 5e5, None),
        (dict(rope_theta=500000), 500000, None),
        (dict(rope_parameters=dict(rope_theta=5e5)), 5e5, None),
        (
            dict(rope_parameters=dict(rope_type="default", rope_theta=2.5)),
            2.5,
            None,
        ),
        (
            dict(rope_theta=7.0, rope_parameters=dict(rope_theta=5.0)),
            5.0,
            None,
        ),
        (
            dict(rope_scaling=dict(type="linear", factor=2.0), rope_theta=7.0),
            7.0,
            dict(rope_type="linear", factor=2.0),
        ),
        (
            dict(rope_scaling=dict(rope_type="llama3", **LLAMA_3), rope_theta=5e5),
            5e5,
            dict(rope_type="llama3", **LLAMA_3),
        ),
        (
            dict(rope_parameters=dict(rope_type="llama3", rope_theta=9.0, **LLAMA_3)),
            9.0,
            dict(rope_type="llama3", **LLAMA_3),
        ),
        (  # the model's own context is the default
            dict(rope_scaling=dict(type="yarn", factor=4.0, attention_factor=None)),
            10000.0,
            dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=12),
        ),
        (dict(partial_rotary_factor=1.0), 10000.0, None),
    ],
    ids=str,
)
def test_both_spellings_of_rotary_positions_are_read(fields, theta, scaling):
    found = arguments(LlamaDecoder, **fields)
    assert (found["rope_theta"], found["rope_scaling"]) == (theta, scaling)


def windows(kind, **fields):
    return arguments(kind, **fields)["window"]


def test_a_window_is_that_of_transformers():
    full, sliding = ["full_attention"] * 2, ["sliding_attention"] * 2
    assert windows(MistralDecoder, sliding_window="absent") == 4096
    assert windows(MistralDecoder, sliding_window=None) is None
    assert windows(MistralDecoder, sliding_window=3, layer_types=sliding) == 3
    for kind in (Qwen2Decoder, Qwen3Decoder):
        uses = dict(use_sliding_window=True, sliding_window=3, max_window_layers=0)
        assert windows(kind, sliding_window=3) is None
        assert windows(kind, **uses) == 3
        assert windows(kind, **{**uses, "sliding_window": None}) is None
        assert windows(kind, **{**uses, "max_window_layers": 2}) is None
        assert windows(kind, **{**uses, "max_window_layers": "absent"}) is None
        assert windows(kind, **uses, layer_types=full) is None
        uses["max_window_layers"] = 1
        assert windows(kind, **uses, layer_types=sliding) == 3


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (
            LlamaDecoder,
            dict(rope_scaling=dict(rope_type="dynamic", factor=2.0)),
            "rope_parameters: rope_type must be one of .* Received: 'dynamic'",
        ),
        (
            LlamaDecoder,
            dict(rope_scaling=dict(type="longrope", short_factor=[1], factor=1)),
            "rope_type must be one of .* Received: 'longrope'",
        ),
        (
            LlamaDecoder,
            dict(rope_parameters=dict(rope_type=["yarn"])),
            r"rope_type must be one of .* Received: \['yarn'\]",
        ),
        (
            LlamaDecoder,
            dict(rope_parameters=dict(full_attention=dict(rope_type="default"))),
            "rope_type 'default' takes no argument 'full_attention'",
        ),
        (
            LlamaDecoder,
            dict(rope_scaling=dict(type="linear", factor="2")),
            "factor must be a number >= 1. Received: '2'",
        ),
        (
            LlamaDecoder,
            dict(rope_scaling=dict(type="linear")),
            "rope_type 'linear' requires factor",
        ),
        (LlamaDecoder, dict(rope_scaling=[2]), "rope_scaling: Must be an object"),
        (LlamaDecoder, dict(rope_theta="1e4"), "rope_theta: Must be a number > 1"),
        (
            LlamaDecoder,
            dict(rope_parameters=dict(rope_theta=0)),
            "rope_theta: Must be a number > 1. Received: 0",
        ),
        (
            LlamaDecoder,
            dict(partial_rotary_factor=0.5),
            "partial_rotary_factor: Only 1.0 is supported. Received: 0.5",
        ),
        (LlamaDecoder, dict(hidden_act="tanh"), "hidden_act: .*'tanh'"),
        (LlamaDecoder, dict(attention_bias=1), "attention_bias: Must be true or fals"),
        (LlamaDecoder, dict(mlp_bias="no"), "mlp_bias: Must be true or false"),
        (LlamaDecoder, dict(rms_norm_eps=0.0), "rms_norm_eps: Must be a number in"),
        (LlamaDecoder, dict(head_dim=0), "head_dim: Must be an integer from 1"),
        (LlamaDecoder, dict(head_dim=7), "The head size must be even. Received: 7"),
        (
            LlamaDecoder,
            dict(num_attention_heads=4, num_key_value_heads=3),
            "num_attention_heads=4, num_key_value_heads=3",
        ),
        (
            LlamaDecoder,
            dict(tie_word_embeddings="yes"),
            "tie_word_embeddings: Must be true or false. Received: 'yes'",
        ),
        (
            LlamaDecoder,
            dict(layer_types=["sliding_attention"] * 2),
            "layer_types: Must be 'full_attention' for every layer",
        ),
        (
            MistralDecoder,
            dict(layer_types=["full_attention", "sliding_attention"]),
            "layer_types: Must have 2 times .*several kinds are not supported",
        ),
        (
            MistralDecoder,
            dict(layer_types=["full_attention"] * 2, sliding_window=3),
            "layer_types: Must be 'sliding_attention' for every layer",
        ),
        (MistralDecoder, dict(sliding_window=0), "sliding_window: Must be an integer"),
        (
            MistralDecoder,
            dict(num_key_value_heads=None),
            "num_key_value_heads: The field is missing",
        ),
        (
            Qwen2Decoder,
            dict(use_sliding_window=True, sliding_window=3, max_window_layers=1),
            "max_window_layers: Must be 0 or .* Received: 1, with num_hidden_layers=2",
        ),
        (
            Qwen3Decoder,
            dict(layer_types=["sliding_attention"] * 2),
            "layer_types: Must be 'full_attention' for every layer",
        ),
        (Qwen2Decoder, dict(use_sliding_window=1), "use_sliding_window: Must be true"),
        (Qwen3Decoder, dict(layer_types="full_attention"), "layer_types: Must have 2"),
    ],
    ids=str,
)
def test_an_invalid_configuration_is_named(kind, fields, message):
    with pytest.raises(CheckpointError, match=message) as error:
        arguments(kind, **fields)
    assert str(error.value).startswith("config.json: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(num_hidden_layers=3), "layers.2.*The file lacks this weight"),
        (dict(head_dim=6), r"q_proj.weight: The shape must be \(12, 16\)"),
        (dict(num_key_value_heads=2), r"k_proj.weight: The shape must be \(16, 16\)"),
        (dict(attention_bias=False), "bias: The file has a tensor that the model lack"),
        (dict(mlp_bias=True), "mlp.*bias: The file lacks this weight"),
        (dict(vocab_size=2**23), "The sizes must match the file's"),
        (dict(tie_word_embeddings=True), "lm_head.weight: The tensor must equal"),
    ],
    ids=str,
)
def test_fields_that_do_not_fit_the_weights_are_named(saved, fields, message):
    with pytest.raises(CheckpointError, match=message):
        LlamaDecoder.from_preset(saved(LlamaDecoder, **fields))


def test_a_long_context_needs_no_weights(saved):
    path = saved(LlamaDecoder, max_position_embeddings=2**23)
    assert LlamaDecoder.from_preset(path).max_sequence_length == 2**23


def test_an_untied_output_layer_is_required(saved):
    path = saved(Qwen2Decoder, tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match="lm_head.weight: The file lacks"):
        Qwen2Decoder.from_preset(path)


def test_every_class_is_found_by_its_model_type():
    assert {
        name: BACKBONES[name] for name in ("llama", "mistral", "qwen2", "qwen3")
    } == dict(zip(("llama", "mistral", "qwen2", "qwen3"), KINDS, strict=True))
