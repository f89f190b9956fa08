"""The encoder-decoders, without the libraries they are compared with."""

import functools
import json

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from helpers import random_weights
from tfzoo.errors import CheckpointError
from tfzoo.families import (
    BACKBONES,
    BartEncoderDecoder,
    MarianEncoderDecoder,
    T5EncoderDecoder,
    TransformerEncoderDecoder,
)

V, S, T = 50, 9, 7
SIZES = dict(
    vocabulary_size=V,
    num_layers=1,
    num_decoder_layers=2,
    num_heads=2,
    hidden_dim=16,
    intermediate_dim=24,
    max_sequence_length=12,
)
RELATIVE = dict(head_dim=6, num_buckets=8, max_distance=6)
MODELS = {
    "bart": (BartEncoderDecoder, dict(scales_embedding=True)),
    "marian": (MarianEncoderDecoder, {}),
    "marian, two": (MarianEncoderDecoder, dict(source_vocabulary_size=40)),
    "t5": (T5EncoderDecoder, RELATIVE),
    "t5, gated": (
        T5EncoderDecoder,
        dict(RELATIVE, gated=True, activation="gelu_tanh", ties_output=False),
    ),
    "transformer": (TransformerEncoderDecoder, dict(output_bias=True)),
    "transformer, two": (
        TransformerEncoderDecoder,
        dict(
            source_vocabulary_size=40,
            positions="learned",
            norm_first=True,
            ties_output=False,
        ),
    ),
}
each = pytest.mark.parametrize("name", MODELS)


@functools.cache
def model_of(name):
    """One with random weights, which no test changes."""
    kind, options = MODELS[name]
    return random_weights(kind(**SIZES, **options), 0.2)


def inputs(source=S, target=T, batch=2):
    rng = np.random.default_rng(0)
    found = {}
    for side, length in (("encoder", source), ("decoder", target)):
        ids = rng.integers(0, 40, (batch, length)).astype(np.int32)
        found |= {f"{side}_token_ids": ids, f"{side}_padding_mask": np.ones_like(ids)}
    found["encoder_padding_mask"][1, source - 3 :] = 0
    return found


def outputs(model, x):
    """The encoder's output where it is no padding, and the logits."""
    found = model(x)
    encoded = np.asarray(tf.cast(found["encoder_sequence_output"], "float32"))
    logits = np.asarray(model.logits(found["decoder_sequence_output"]))
    return encoded[x["encoder_padding_mask"] == 1], logits


def assert_same(model, copy):
    for ours, theirs in zip(
        *(outputs(m, inputs()) for m in (model, copy)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    to_config = type(model).family.to_config
    assert to_config(copy.get_config()) == to_config(model.get_config())


@each
def test_copies_of_all_kinds_give_the_same(name, tmp_path):
    model = model_of(name)
    model.save(tmp_path / "x.keras")
    model.save_to_preset(tmp_path / "x")
    opened = type(model).from_preset(tmp_path / "x")
    opened.save_to_preset(tmp_path / "y")
    first, second = (
        (tmp_path / d / "model.safetensors").read_bytes() for d in ("x", "y")
    )
    assert first == second
    assert_same(model, opened)
    assert_same(model, keras.saving.load_model(tmp_path / "x.keras"))
    clone = type(model).from_config(model.get_config())
    clone.set_weights(model.get_weights())
    assert_same(model, clone)


@each
def test_every_weight_has_an_effect(name):
    """A weight that is read and then not used would be zero in the gradient."""
    model, x = model_of(name), inputs()
    with tf.GradientTape() as tape:
        logits = model.output_head(model(x)["decoder_sequence_output"])
        loss = tf.reduce_sum(
            logits * np.random.default_rng(1).normal(size=logits.shape)
        )
    weights = model.trainable_variables
    none = [
        v.path
        for v, gradient in zip(
            weights, tape.gradient(loss, [v.value for v in weights]), strict=True
        )
        if gradient is None or np.abs(tf.convert_to_tensor(gradient)).max() < 1e-6
    ]
    # The softmax does not change if all scores of a query do.
    assert [path for path in none if not path.endswith("/key/bias")] == []


@each
@pytest.mark.parametrize(("chunks", "rows"), [([1] * T, 3), ([4, 1, 2], 1)], ids=str)
def test_cached_logits_equal_uncached_ones(name, chunks, rows):
    """With `rows` rows for each source, which share its memory."""
    model, x = model_of(name), inputs()
    logits = steps(model, x, chunks, rows)
    expected = np.repeat(outputs(model, x)[1], rows, 0)
    np.testing.assert_allclose(logits, expected, atol=2e-5)


def steps(model, x, chunks, rows=1, kernels=None):
    ids = np.repeat(x["decoder_token_ids"], rows, 0)
    memory = model.memory(x["encoder_token_ids"], x["encoder_padding_mask"])
    state, found, start = model.state(len(ids)), [], 0
    for length in chunks:
        columns = np.arange(start + length)
        positions = np.tile(columns[start:], (len(ids), 1))
        mask = (columns <= columns[start:, None])[None, None]
        hidden, new = model.step(
            ids[:, start : start + length],
            positions,
            state,
            mask,
            kernels,
            memory=memory,
        )
        state = tf.nest.map_structure(lambda *x: tf.concat(x, 2), state, new)
        found.append(np.asarray(model.logits(hidden, kernels)))
        start += length
    return np.concatenate(found, 1)


@each
def test_steps_with_kernels_laid_out_equal_the_others(name):
    model, x = model_of(name), inputs()
    for rows in (1, model.many_rows):
        found = steps(model, x, [1] * T, kernels=model.kernels_for(rows))
        np.testing.assert_allclose(found, outputs(model, x)[1], atol=2e-5)


@each
def test_bfloat16_agrees_with_itself_step_by_step_and_with_float32(name):
    exact, x = model_of(name), inputs()
    kind, options = MODELS[name]
    half = kind(**SIZES, **options, dtype="mixed_bfloat16")
    half.set_weights(exact.get_weights())
    whole, expected = outputs(half, x)[1], outputs(exact, x)[1]
    size = expected.std()
    assert np.abs(whole - expected).mean() < 0.02 * size
    assert np.abs(steps(half, x, [1] * T) - whole).mean() < 0.02 * size
    assert half(x)["decoder_sequence_output"].dtype == "bfloat16"


@each
def test_padding_changes_nothing(name):
    model, x = model_of(name), inputs()
    padded = {n: np.pad(array, ((0, 0), (0, 3))) for n, array in x.items()}
    for side, ids in (("encoder", 7), ("decoder", 8)):
        padded[f"{side}_token_ids"][padded[f"{side}_padding_mask"] == 0] = ids
    alone, beside = outputs(model, x), outputs(model, padded)
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-5)
    np.testing.assert_allclose(alone[1], beside[1][:, :T], atol=1e-5)


@each
def test_a_later_target_changes_nothing_and_the_source_does(name):
    model, x = model_of(name), inputs()
    before = outputs(model, x)[1]
    x["decoder_token_ids"][:, 4:] = 3
    after = outputs(model, x)[1]
    np.testing.assert_allclose(before[:, :4], after[:, :4], atol=1e-5)
    assert np.abs(before - after)[:, 4:].max() > 0.1
    x["encoder_token_ids"][:, 0] += 1
    assert np.abs(outputs(model, x)[1] - after).max(axis=(1, 2)).min() > 0.01


NAMES = {  # of a layer of the decoder, without the shapes
    "bart": """decoder.layers.1.self_attn.q_proj.weight
        decoder.layers.1.encoder_attn.out_proj.bias
        decoder.layers.1.encoder_attn_layer_norm.weight decoder.layers.1.fc2.bias
        decoder.layers.1.final_layer_norm.bias encoder.layernorm_embedding.weight
        encoder.embed_positions.weight shared.weight final_logits_bias""",
    "marian": """encoder.layers.0.self_attn_layer_norm.bias shared.weight
        final_logits_bias decoder.layers.1.encoder_attn.v_proj.weight""",
    "marian, two": """encoder.embed_tokens.weight decoder.embed_tokens.weight
        final_logits_bias""",
    "t5": """encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight
        decoder.block.1.layer.1.EncDecAttention.k.weight
        decoder.block.1.layer.2.DenseReluDense.wi.weight shared.weight
        decoder.block.1.layer.2.layer_norm.weight decoder.final_layer_norm.weight""",
    "t5, gated": """lm_head.weight encoder.block.0.layer.1.DenseReluDense.wi_0.weight
        encoder.block.0.layer.1.DenseReluDense.wi_1.weight
        encoder.block.0.layer.1.DenseReluDense.wo.weight""",
    "transformer": """token_embedding.weight output_bias
        decoder.layers.1.cross_attention.output.bias
        encoder.layers.0.feed_forward_norm.weight""",
    "transformer, two": """source_embedding.weight output_embedding.weight
        encoder.position_embedding.weight decoder.final_norm.bias""",
}
COUNTS = {  # tensors outside the layers, of an encoder's layer, of a decoder's
    "bart": (1 + 2 * 3 + 1, 16, 26),
    "marian": (1 + 1, 16, 26),
    "marian, two": (2 + 1, 16, 26),
    "t5": (1 + 2 * 2, 8, 13),
    "t5, gated": (2 + 2 * 2, 9, 14),
    "transformer": (1 + 1, 16, 26),
    "transformer, two": (3 + 2 * 3, 16, 26),
}


@each
def test_the_tensors_of_a_file_have_the_published_names(name, tmp_path):
    model_of(name).save_to_preset(tmp_path / "x")
    tensors = safetensors.numpy.load_file(tmp_path / "x" / "model.safetensors")
    assert {*NAMES[name].split()} <= tensors.keys()
    outside, of_encoder, of_decoder = COUNTS[name]
    assert len(tensors) == outside + of_encoder + 2 * of_decoder
    parameters = sum(array.size for array in tensors.values())
    assert parameters == model_of(name).count_params()


@functools.cache
def usual(name):
    return MODELS[name][0].family.to_config(model_of(name).get_config())


def arguments(name, **fields):
    """What a `config.json` with other fields means."""
    config = {**usual(name), **fields}
    config = {key: value for key, value in config.items() if value != "absent"}
    return MODELS[name][0].family.from_config(config, "config.json")


def test_what_a_file_leaves_out_is_what_transformers_assumes():
    absent = dict.fromkeys(("activation_function", "scale_embedding", "dropout"))
    found = arguments("bart", **absent)
    assert found["activation"] == "gelu"
    assert (found["scales_embedding"], found["dropout"]) == (False, 0.1)
    names = ("num_decoder_layers", "d_kv", "feed_forward_proj", "dropout_rate")
    names += ("relative_attention_num_buckets", "relative_attention_max_distance")
    found = arguments("t5", **dict.fromkeys((*names, "tie_word_embeddings"), "absent"))
    expected = dict(head_dim=64, activation="relu", gated=False, dropout=0.1)
    expected |= dict(num_decoder_layers=None, num_buckets=32, max_distance=128)
    expected |= dict(ties_output=True, scales_output=True)
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "activation", "gated"),
    [
        (dict(feed_forward_proj="relu"), "relu", False),
        (dict(feed_forward_proj="gelu"), "gelu", False),
        (dict(feed_forward_proj="gated-gelu"), "gelu_tanh", True),
        (dict(feed_forward_proj="gated-silu"), "silu", True),
        (dict(feed_forward_proj="gated-relu"), "relu", True),
    ],
    ids=str,
)
def test_the_networks_of_t5_are_those_of_transformers(fields, activation, gated):
    found = arguments("t5", **fields)
    assert (found["activation"], found["gated"]) == (activation, gated)


@pytest.mark.parametrize(
    ("fields", "ties", "scales"),
    [
        (dict(tie_word_embeddings=True), True, True),
        (dict(tie_word_embeddings=False), False, False),
        (dict(tie_word_embeddings=True, scale_decoder_outputs=False), True, False),
        (dict(tie_word_embeddings=False, scale_decoder_outputs=True), False, True),
    ],
    ids=str,
)
def test_the_output_layer_of_t5_is_that_of_transformers(fields, ties, scales):
    found = arguments("t5", **{"scale_decoder_outputs": "absent", **fields})
    assert (found["ties_output"], found["scales_output"]) == (ties, scales)


COUNT = "Must be an integer from 1"
SHARE = r"Must be a number in \[0, 1\)"
FLAG = "Must be true or false"
HOSTILE = {
    "bart": {
        **dict.fromkeys(
            ("vocab_size", "encoder_layers", "decoder_layers", "d_model"), (0, COUNT)
        ),
        "encoder_attention_heads": (True, "Must equal|Must be an integer"),
        "encoder_ffn_dim": ("24", "Must equal|Must be an integer"),
        "decoder_attention_heads": (4, "Must equal encoder_attention_heads.* 4 and 2"),
        "decoder_ffn_dim": (32, "Must equal encoder_ffn_dim. Received: 32 and 24"),
        "max_position_embeddings": (1.5, COUNT),
        **dict.fromkeys(
            ("dropout", "attention_dropout", "activation_dropout"), (1.0, SHARE)
        ),
        "activation_function": ("tanh", "one of the supported .* Received: 'tanh'"),
        "scale_embedding": (1, FLAG),
        "encoder_layerdrop": (0.1, "Only 0.0 is supported. Received: 0.1"),
        "decoder_layerdrop": (0.1, "Only 0.0 is supported"),
        "normalize_before": (True, "Only False is supported"),
        "add_final_layer_norm": (True, "Only False is supported"),
        "normalize_embedding": (False, "Only True is supported"),
        "static_position_embeddings": (True, "Only False is supported"),
        "is_encoder_decoder": (False, "Only True is supported"),
    },
    "marian": {
        "share_encoder_decoder_embeddings": ("yes", FLAG),
        "decoder_vocab_size": (-1, COUNT),
        "normalize_embedding": (True, "Only False is supported"),
        "static_position_embeddings": (False, "Only True is supported"),
    },
    "t5": {
        **dict.fromkeys(
            ("vocab_size", "num_layers", "num_decoder_layers", "num_heads"), (0, COUNT)
        ),
        **dict.fromkeys(("d_kv", "d_model", "d_ff", "n_positions"), ([1], COUNT)),
        "relative_attention_num_buckets": (6, "multiple of 4.* num_buckets=6"),
        "relative_attention_max_distance": (4, "above .*: max_distance=4"),
        "dropout_rate": (-0.1, SHARE),
        "layer_norm_epsilon": (1, r"Must be a number in \(0, 1\)"),
        "feed_forward_proj": ("gated-tanh", "or 'gated-' and one.*'gated-tanh'"),
        "tie_word_embeddings": ("no", FLAG),
        "scale_decoder_outputs": (0.1, FLAG),
        "is_encoder_decoder": (False, "Only True is supported"),
    },
    "transformer": {
        "source_vocab_size": (0, COUNT),
        **dict.fromkeys(
            ("vocab_size", "encoder_layers", "decoder_layers", "hidden_size"),
            (None, "The field is missing"),
        ),
        "num_attention_heads": (3, "must divide hidden_size.*num_attention_heads=3"),
        "intermediate_size": (2**24, COUNT),
        "max_position_embeddings": (0, COUNT),
        **dict.fromkeys(
            ("dropout", "attention_dropout", "activation_dropout"), ("0.1", SHARE)
        ),
        "position_embedding_type": (["learned"], "one of sinusoidal, learned"),
        "normalize_before": ("pre", FLAG),
        "hidden_act": (0, "one of the supported"),
        "layer_norm_eps": (0.0, r"Must be a number in \(0, 1\)"),
        "tie_word_embeddings": (2, FLAG),
        "output_bias": (0, FLAG),
        "is_encoder_decoder": (None, None),
    },
}


def test_every_field_of_every_family_has_a_hostile_value():
    for name, values in HOSTILE.items():
        family = MODELS[name][0].family
        fields = {f.name for f in family.fields.values()} | {*family.fixed}
        if name == "bart":  # its tie is checked with the tensors
            fields -= {"tie_word_embeddings"}
        if name == "marian":
            fields -= {*HOSTILE["bart"], "tie_word_embeddings"}
        assert fields <= values.keys(), name


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        (name, field, value, message)
        for name, values in HOSTILE.items()
        for field, (value, message) in values.items()
        if message is not None
    ],
    ids=str,
)
def test_an_invalid_field_is_named(name, field, value, message):
    with pytest.raises(CheckpointError, match=message) as error:
        arguments(name, **{field: value})
    assert str(error.value).startswith("config.json: ") and "\n" not in str(error.value)
    assert field.removeprefix("relative_attention_") in str(error.value)


@pytest.fixture
def saved(tmp_path):
    """Function that saves a model with other fields in its config.json."""

    def save(name, **changes):
        path = tmp_path / "x"
        model_of(name).save_to_preset(path)
        config = {**json.loads((path / "config.json").read_text()), **changes}
        (path / "config.json").write_text(json.dumps(config))
        return path

    return save


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("bart", dict(decoder_layers=3), "decoder.layers.2.*The file lacks this weigh"),
        ("bart", dict(decoder_layers=1), "decoder.layers.1.*tensor that the model lac"),
        ("bart", dict(max_position_embeddings=13), r"The shape must be \(15, 16\)"),
        ("bart", dict(vocab_size=2**23), "The sizes must match the file's"),
        ("bart", dict(decoder_layers=2**23), "match.* decoder_layers=8388608"),
        ("t5", dict(num_decoder_layers=2**23), "match.* num_decoder_layers=8388608"),
        ("transformer, two", dict(source_vocab_size=2**23), "source_vocab_size=83886"),
        ("marian", dict(vocab_size=49), "shared.weight: The shape must be"),
        (
            "marian",
            dict(share_encoder_decoder_embeddings=False),
            "embed_tokens.weight: The file lacks this weight",
        ),
        ("t5", dict(d_kv=8), r"weight: The shape must be \(16, 16\)"),
        ("t5", dict(feed_forward_proj="gated-relu"), "wi_0.*The file lacks this"),
        ("t5", dict(relative_attention_num_buckets=4), r"must be \(4, 2\)"),
        ("t5", dict(tie_word_embeddings=False), "lm_head.weight: The file lacks"),
        ("transformer, two", dict(source_vocab_size=None), "source_embedding.*tensor"),
        ("transformer, two", dict(normalize_before=False), "final_norm.*tensor that"),
        ("transformer", dict(tie_word_embeddings=False), "output_embedding.*lacks"),
    ],
    ids=str,
)
def test_fields_that_do_not_fit_the_weights_are_named(saved, name, fields, message):
    with pytest.raises(CheckpointError, match=message):
        MODELS[name][0].from_preset(saved(name, **fields))


def test_a_tensor_of_the_output_layer_of_t5_counts_more_than_the_field(saved):
    path = saved("t5, gated", tie_word_embeddings=True)
    assert_same(model_of("t5, gated"), T5EncoderDecoder.from_preset(path))


def test_a_rate_of_attention_dropout_that_equals_the_other_is_kept(tmp_path):
    rates = dict(dropout=0.2, attention_dropout=0.2)
    TransformerEncoderDecoder(**SIZES, **rates).save_to_preset(tmp_path / "x")
    opened = TransformerEncoderDecoder.from_preset(tmp_path / "x")
    assert opened.decoder_layers[0].self_attention.dropout == 0.2


def test_the_output_layer_of_a_marian_with_two_vocabularies_is_the_decoders(saved):
    path = saved("marian, two") / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    table = tensors["decoder.embed_tokens.weight"]
    path.unlink()
    safetensors.numpy.save_file({**tensors, "lm_head.weight": table.copy()}, path)
    copy = MarianEncoderDecoder.from_preset(path.parent)
    assert_same(model_of("marian, two"), copy)
    path.unlink()
    safetensors.numpy.save_file({**tensors, "lm_head.weight": table + 1}, path)
    with pytest.raises(CheckpointError, match="lm_head.weight: The tensor must equal"):
        MarianEncoderDecoder.from_preset(path.parent)


def test_the_copies_in_older_files_are_read_and_must_be_equal(saved):
    path = saved("bart") / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    bias = tensors.pop("final_logits_bias")
    tensors = {f"model.{name}": array for name, array in tensors.items()}
    tensors["final_logits_bias"], table = bias, tensors["model.shared.weight"]
    names = ("model.encoder.embed_tokens.weight", "lm_head.weight")
    tensors |= {name: table.copy() for name in names}
    path.unlink()
    safetensors.numpy.save_file(tensors, path)
    assert_same(model_of("bart"), BartEncoderDecoder.from_preset(path.parent))
    for name in names:
        path.unlink()
        safetensors.numpy.save_file({**tensors, name: table + 1}, path)
        with pytest.raises(CheckpointError, match=f"{name}: The tensor must equal"):
            BartEncoderDecoder.from_preset(path.parent)


PUBLISHED = {  # number of parameters, the buffer `final_logits_bias` not among them
    "bart_base": 139_420_416,
    "bart_large": 406_291_456,
    "t5_small": 60_506_624,
    "t5_base": 222_903_552,
    "t5_large": 737_668_096,
    "t5_v1.1_small": 76_961_152,
    "t5_v1.1_base": 247_577_856,
    "t5_v1.1_large": 783_150_080,
}


def num_parameters(name, sizes):
    """By the shapes of the papers, without building a model."""
    d, f, v = (sizes[k] for k in ("hidden_dim", "intermediate_dim", "vocabulary_size"))
    layers = sizes["num_layers"]
    if name.startswith("bart"):
        attention, norm = 4 * (d * d + d), 2 * d
        network = 2 * d * f + f + d
        outside = v * d + 2 * ((1024 + 2) * d + norm)
    else:
        heads = sizes["num_heads"]
        attention, norm = 4 * d * heads * sizes["head_dim"], d
        network = (3 if sizes.get("gated") else 2) * d * f
        tables = 1 if sizes.get("ties_output", True) else 2
        outside = tables * v * d + 2 * (32 * heads + norm)
    return outside + layers * (3 * attention + 2 * network + 5 * norm)


def test_named_sizes_have_the_published_number_of_parameters():
    found = {
        name: num_parameters(name, sizes)
        for kind in (BartEncoderDecoder, T5EncoderDecoder)
        for name, sizes in kind.family.sizes.items()
    }
    assert found == PUBLISHED


def test_every_class_is_found_by_its_model_type():
    for name, kind in (
        ("bart", BartEncoderDecoder),
        ("marian", MarianEncoderDecoder),
        ("t5", T5EncoderDecoder),
        ("tfzoo_transformer", TransformerEncoderDecoder),
    ):
        assert BACKBONES[name] is kind


def test_an_unknown_kind_of_positions_is_named():
    with pytest.raises(ValueError, match="positions must be one of .*'rotary'"):
        TransformerEncoderDecoder(**SIZES, positions="rotary")


def test_random_queries_and_keys_are_scaled_to_the_width():
    """They have the variance of Glorot & Bengio; other kernels that of BERT."""
    keras.utils.set_random_seed(0)
    model = TransformerEncoderDecoder(400, 1, 2, 64, 32, max_sequence_length=90)
    seen = set()
    for variable in model.weights:
        if variable.path.endswith("/kernel"):
            value = np.asarray(variable)
            expected = 0.88 * 0.02  # truncated
            if variable.path.split("/")[-2] in ("query", "key"):
                expected = 64**-0.5
            assert np.std(value) == pytest.approx(expected, rel=0.05)
            seen.add(value.tobytes())
    assert len(seen) == 16  # no two are equal
