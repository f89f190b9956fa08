"""BERT, RoBERTa and DistilBERT against NumPy, from ids to vectors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf, softmax

from helpers import SMALL, random_weights
from tfzoo.families import BertEncoder, DistilBertEncoder, RobertaEncoder

EPSILON = {BertEncoder: 1e-12, RobertaEncoder: 1e-5, DistilBertEncoder: 1e-12}
PADDING = 1  # RoBERTa's; no other position is the same in all three
CLASSES = pytest.mark.parametrize("kind", EPSILON, ids=lambda kind: kind.__name__)


def encoder_of(kind, **options):
    """With embeddings so small that the epsilon of their normalization matters."""
    encoder = random_weights(kind(**{**SMALL, **options}))
    for layer in encoder.layers:
        if layer.name in {"token_embedding", "position_embedding", "segment_embedding"}:
            layer.set_weights([w * 0.02 for w in layer.get_weights()])
    return encoder


@pytest.fixture(scope="module")
def encoders():
    return {kind: encoder_of(kind, dropout=0.0) for kind in EPSILON}


def inputs_of(encoder, length=9, batch=3):
    rng = np.random.default_rng(0)
    ids = {
        "token_ids": rng.integers(2, 50, (batch, length)).astype(np.int32),
        "segment_ids": rng.integers(0, 2, (batch, length)).astype(np.int32),
        "padding_mask": np.ones((batch, length), np.int32),
    }
    return {name: ids[name] for name in encoder.input}


def by_numpy(encoder, inputs, epsilon=None):
    """Devlin et al. 2019 and Vaswani et al. 2017, spelled out."""
    weights = {v.path: np.asarray(v.value, np.float64) for v in encoder.variables}
    heads = SMALL["num_heads"]
    epsilon = EPSILON[type(encoder)] if epsilon is None else epsilon
    ids, mask = inputs["token_ids"], inputs["padding_mask"]

    def dense(x, name):
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)
        return x * weights[f"{name}/gamma"] + weights[f"{name}/beta"]

    def split(x):
        return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)

    positions = np.arange(ids.shape[1])
    if isinstance(encoder, RobertaEncoder):
        positions = np.where(mask > 0, np.cumsum(mask, 1) + PADDING, PADDING)
    x = weights["token_embedding/embeddings"][ids]
    x = x + weights["position_embedding/embeddings"][positions]
    if not isinstance(encoder, DistilBertEncoder):
        segments = inputs.get("segment_ids", np.zeros_like(ids))
        x = x + weights["segment_embedding/embeddings"][segments]
    x = norm(x, "embeddings_norm")
    for i in range(SMALL["num_layers"]):
        at = f"transformer_layer_{i}"
        query, key, value = (
            split(dense(x, f"{at}/self_attention/{name}"))
            for name in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
        scores = np.where(mask[:, None, None, :] > 0, scores, -np.inf)
        y = (softmax(scores, -1) @ value).swapaxes(1, 2).reshape(x.shape)
        y = dense(y, f"{at}/self_attention/output")
        x = norm(x + y, f"{at}/self_attention_norm")
        y = dense(x, f"{at}/feed_forward/intermediate")
        y = dense(0.5 * y * (1 + erf(y / np.sqrt(2))), f"{at}/feed_forward/output")
        x = norm(x + y, f"{at}/feed_forward_norm")
    outputs = {"sequence_output": x}
    if not isinstance(encoder, DistilBertEncoder):
        outputs["pooled_output"] = np.tanh(dense(x[:, 0], "pooler"))
    return outputs


@CLASSES
def test_equals_numpy(encoders, kind):
    encoder = encoders[kind]
    inputs = inputs_of(encoder)
    inputs["padding_mask"][0, 6:] = inputs["padding_mask"][1, 1:] = 0
    real = inputs["padding_mask"] > 0
    ours, theirs = encoder(inputs), by_numpy(encoder, inputs)
    assert ours.keys() == theirs.keys()
    sequence = ours.pop("sequence_output").numpy()[real]
    np.testing.assert_allclose(sequence, theirs.pop("sequence_output")[real], atol=2e-5)
    for name, vectors in theirs.items():
        np.testing.assert_allclose(ours[name], vectors, atol=2e-5)


@pytest.mark.parametrize("kind", [BertEncoder, RobertaEncoder])
def test_the_epsilon_is_that_of_every_normalization(kind):
    encoder = encoder_of(kind, dropout=0.0, layer_norm_epsilon=0.1)
    inputs = inputs_of(encoder)
    expected = by_numpy(encoder, inputs, epsilon=0.1)["sequence_output"]
    ours = encoder(inputs)["sequence_output"]
    np.testing.assert_allclose(ours, expected, atol=2e-5)


@CLASSES
def test_padding_changes_nothing(encoders, kind):
    encoder = encoders[kind]
    x = inputs_of(encoder)
    padded = {name: np.pad(value, ((0, 0), (0, 3))) for name, value in x.items()}
    alone, beside = encoder(x), encoder(padded)
    beside["sequence_output"] = beside["sequence_output"][:, :9]
    for name, vectors in alone.items():
        np.testing.assert_allclose(vectors, beside[name], atol=1e-5)


def test_padding_before_a_text_does_not_shift_robertas_positions(encoders):
    encoder = encoders[RobertaEncoder]
    x = inputs_of(encoder)
    padded = {name: np.pad(value, ((0, 0), (3, 0))) for name, value in x.items()}
    np.testing.assert_allclose(
        encoder(x)["sequence_output"],
        encoder(padded)["sequence_output"][:, 3:],
        atol=1e-5,
    )


@pytest.mark.parametrize("padding_id", [0, 7])
def test_the_positions_in_robertas_config_are_the_rows_of_its_table(padding_id):
    encoder = RobertaEncoder(**SMALL, padding_id=padding_id)
    arguments = {name: getattr(encoder, name) for name in encoder.argument_names}
    config = encoder.family.to_config(arguments)
    table = encoder.get_layer("position_embedding").embeddings
    assert config["max_position_embeddings"] == table.shape[0]
    found = encoder.family.from_config(config, "config.json")
    assert found["max_sequence_length"] == SMALL["max_sequence_length"]


@CLASSES
def test_the_longest_input_has_a_position_for_every_token(encoders, kind):
    encoder = encoders[kind]
    inputs = inputs_of(encoder, length=SMALL["max_sequence_length"])
    ours = encoder(inputs)["sequence_output"]
    np.testing.assert_allclose(
        ours, by_numpy(encoder, inputs)["sequence_output"], atol=2e-5
    )


@CLASSES
def test_a_keras_file_and_a_preset_give_the_same_outputs(encoders, kind, tmp_path):
    encoder = encoders[kind]
    encoder.save(tmp_path / "encoder.keras")
    encoder.save_to_preset(tmp_path / "preset")
    for copy in (
        keras.saving.load_model(tmp_path / "encoder.keras"),
        kind.from_preset(tmp_path / "preset"),
    ):
        assert type(copy) is kind
        named = dict(name=encoder.name)
        assert {**copy.get_config(), **named} == encoder.get_config()
        tf.nest.map_structure(
            np.testing.assert_array_equal,
            encoder(inputs_of(encoder)),
            copy(inputs_of(encoder)),
        )


@CLASSES
def test_bfloat16_agrees(encoders, kind):
    encoder = encoders[kind]
    half = kind(**SMALL, dropout=0.0, dtype="mixed_bfloat16")
    half.set_weights(encoder.get_weights())
    ours = half(inputs_of(encoder))["sequence_output"]
    assert ours.dtype == "bfloat16"
    exact = encoder(inputs_of(encoder))["sequence_output"]
    assert np.abs(tf.cast(ours, "float32") - exact).mean() < 0.02


@CLASSES
def test_the_dropout_rate_is_that_of_the_argument(kind):
    encoder = kind(**SMALL, dropout=0.25, attention_dropout=0.5)
    rates = {"embeddings_dropout": encoder.get_layer("embeddings_dropout").rate}
    for i in range(SMALL["num_layers"]):
        layer = encoder.get_layer(f"transformer_layer_{i}")
        rates[f"layer {i}"] = layer.dropout_layer.rate
        rates[f"attention {i}"] = layer.self_attention.dropout_layer.rate
    assert rates == {
        "embeddings_dropout": 0.25,
        "layer 0": 0.25,
        "attention 0": 0.5,
        "layer 1": 0.25,
        "attention 1": 0.5,
    }


@CLASSES
def test_dropout_follows_the_normalization_of_the_embeddings(kind):
    encoder = encoder_of(kind, dropout=0.25, hidden_dim=64)
    first = encoder.get_layer("transformer_layer_0")
    embeddings = keras.Model(encoder.inputs, first.input[0])
    inputs = inputs_of(encoder, length=12, batch=16)
    kept, dropped = (
        np.asarray(embeddings(inputs, training=training)) for training in (False, True)
    )
    zero = dropped == 0
    assert zero.mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(dropped[~zero], kept[~zero] / 0.75, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "size", "published"),
    [
        (RobertaEncoder, "roberta_base", 124_645_632),
        (DistilBertEncoder, "distilbert_base", 66_362_880),
    ],
)
def test_a_size_has_the_published_number_of_parameters(kind, size, published):
    assert kind.from_preset(size).count_params() == published


@pytest.mark.parity
@CLASSES
def test_transformers_computes_the_same(encoders, kind, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    encoder = encoders[kind]
    encoder.save_to_preset(tmp_path / "encoder")
    theirs, info = transformers.AutoModel.from_pretrained(
        tmp_path / "encoder", output_loading_info=True
    )
    assert not any(info.values())
    x = inputs_of(encoder)
    x["padding_mask"][0, 5:] = 0
    x["token_ids"] = np.where(x["padding_mask"], x["token_ids"], PADDING)
    names = dict(token_ids="input_ids", segment_ids="token_type_ids")
    fed = {
        names.get(name, "attention_mask"): torch.tensor(value)
        for name, value in x.items()
    }
    with torch.no_grad():
        out = theirs.eval()(**fed)
    ours, real = encoder(x), x["padding_mask"] == 1
    np.testing.assert_allclose(
        ours["sequence_output"].numpy()[real],
        out.last_hidden_state.numpy()[real],
        atol=1e-5,
    )
    if "pooled_output" in ours:
        np.testing.assert_allclose(
            ours["pooled_output"], out.pooler_output.numpy(), atol=1e-5
        )
