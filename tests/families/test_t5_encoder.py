"""T5's encoder alone: the same vectors as within the whole, and the tasks on it."""

import json

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from helpers import random_weights
from sentencepiece_models import trained
from tfzoo.errors import CheckpointError
from tfzoo.families import BACKBONES, T5Encoder, T5EncoderDecoder, class_of
from tfzoo.tasks import TextEmbedder, TokenClassifier, from_preset

S = 9
SIZES = dict(
    vocabulary_size=60,
    num_layers=2,
    num_heads=2,
    hidden_dim=16,
    intermediate_dim=24,
    max_sequence_length=32,
    head_dim=6,
    num_buckets=8,
    max_distance=6,
)
KINDS = {
    "relu": dict(activation="relu"),
    "gated": dict(activation="gelu_tanh", gated=True),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def encoder_of(kind):
    return random_weights(T5Encoder(**SIZES, **KINDS[kind]), 0.2)


def inputs():
    ids = np.random.default_rng(0).integers(3, 60, (2, S)).astype(np.int32)
    mask = np.ones_like(ids)
    mask[1, 6:] = 0
    return {"token_ids": ids, "padding_mask": mask}


def vectors(encoder):
    x = inputs()
    return np.asarray(encoder(x)["sequence_output"])[x["padding_mask"] == 1]


@kinds
@pytest.mark.parametrize("ties", [True, False])
def test_it_opens_the_file_of_the_whole(kind, ties, tmp_path):
    options = dict(num_decoder_layers=1, ties_output=ties)
    whole = random_weights(T5EncoderDecoder(**SIZES, **KINDS[kind], **options), 0.2)
    whole.save_to_preset(tmp_path / "x")
    encoder = T5Encoder.from_preset(tmp_path / "x")
    x = inputs()
    x |= {f"encoder_{name}": x.pop(name) for name in [*x]}
    x |= {name.replace("en", "de", 1): ids for name, ids in x.items()}
    expected = np.asarray(whole(x)["encoder_sequence_output"])
    real = x["encoder_padding_mask"] == 1
    np.testing.assert_array_equal(vectors(encoder), expected[real])


@kinds
def test_a_keras_file_and_a_directory_give_the_same(kind, tmp_path):
    encoder = encoder_of(kind)
    encoder.save(tmp_path / "x.keras")
    encoder.save_to_preset(tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert (config["architectures"], config["is_encoder_decoder"]) == (
        ["T5EncoderModel"],
        False,
    )
    assert class_of(config, "config.json") is T5Encoder
    assert BACKBONES["t5"] is T5EncoderDecoder
    for copy in (
        keras.saving.load_model(tmp_path / "x.keras"),
        T5Encoder.from_preset(tmp_path / "x"),
    ):
        np.testing.assert_array_equal(vectors(copy), vectors(encoder))


def test_padding_changes_nothing():
    encoder, x = encoder_of("relu"), inputs()
    padded = {name: np.pad(array, ((0, 0), (0, 3))) for name, array in x.items()}
    found = np.asarray(encoder(padded)["sequence_output"])[padded["padding_mask"] == 1]
    np.testing.assert_allclose(found, vectors(encoder), atol=1e-5)


def test_bfloat16_agrees():
    exact = encoder_of("gated")
    half = T5Encoder(**SIZES, **KINDS["gated"], dtype="mixed_bfloat16")
    half.set_weights(exact.get_weights())
    assert half(inputs())["sequence_output"].dtype == "bfloat16"
    found = tf.cast(half(inputs())["sequence_output"], "float32")
    real = inputs()["padding_mask"] == 1
    assert np.abs(np.asarray(found)[real] - vectors(exact)).mean() < 0.02


def test_the_decoder_of_an_encoder_alone_is_missed_by_name(tmp_path):
    encoder_of("relu").save_to_preset(tmp_path / "x")
    with pytest.raises(CheckpointError, match="is_encoder_decoder: Only True"):
        T5EncoderDecoder.from_preset(tmp_path / "x")


def test_sizes_that_do_not_fit_are_named(tmp_path):
    encoder_of("relu").save_to_preset(tmp_path / "x")
    path = tmp_path / "x" / "config.json"
    config = json.loads(path.read_text())
    for fields, message in (
        (dict(num_layers=3), "encoder.block.2.*The file lacks this weight"),
        (dict(num_layers=1), "encoder.block.1.*tensor that the model lacks"),
        (dict(feed_forward_proj="gated-gelu"), "wi_0.weight: The file lacks"),
        (dict(relative_attention_num_buckets=3), "config.json: num_buckets must be"),
        (dict(d_kv="6"), "d_kv: Must be an integer"),
    ):
        path.write_text(json.dumps({**config, **fields}))
        with pytest.raises(CheckpointError, match=message):
            T5Encoder.from_preset(tmp_path / "x")


def test_the_copy_of_the_table_alone_is_enough(tmp_path):
    encoder = encoder_of("relu")
    encoder.save_to_preset(tmp_path / "x")
    path = tmp_path / "x" / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors["encoder.embed_tokens.weight"] = tensors.pop("shared.weight")
    path.unlink()
    safetensors.numpy.save_file(tensors, path)
    copy = T5Encoder.from_preset(tmp_path / "x")
    np.testing.assert_array_equal(vectors(copy), vectors(encoder))


TEXTS = ["a statement is executed", "", "The name of a class is bound."]


@pytest.fixture(scope="module")
def tokenizer():
    return trained()


def task_of(kind, tokenizer, **arguments):
    sizes = {**SIZES, "vocabulary_size": tokenizer.vocabulary_size}
    return kind(random_weights(T5Encoder(**sizes), 0.2), tokenizer, **arguments)


def test_the_mean_of_the_vectors_embeds_a_text(tokenizer, tmp_path):
    embedder = task_of(TextEmbedder, tokenizer)
    found = embedder.predict(TEXTS, verbose=0)
    for text, vector in zip(TEXTS, found, strict=True):
        ids = embedder.tokenizer.encode(text).token_ids
        assert ids[-1] == tokenizer.end_id
        row = {"token_ids": np.array([ids], np.int32)}
        row["padding_mask"] = np.ones_like(row["token_ids"])
        mean = np.asarray(embedder.backbone(row)["sequence_output"])[0].mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    embedder.save_to_preset(tmp_path / "x")
    copy = from_preset(tmp_path / "x")
    assert isinstance(copy, TextEmbedder) and isinstance(copy.backbone, T5Encoder)
    np.testing.assert_array_equal(copy.predict(TEXTS, verbose=0), found)
    embedder.export(tmp_path / "served")
    served = tf.saved_model.load(tmp_path / "served").signatures["serving_default"]
    vectors = served(text=tf.constant(TEXTS))["embedding"]
    np.testing.assert_allclose(vectors, found, atol=1e-5)


def test_an_embedder_learns_and_opens_the_file_of_the_whole(tokenizer, tmp_path):
    sizes = {**SIZES, "vocabulary_size": tokenizer.vocabulary_size}
    whole = random_weights(T5EncoderDecoder(**sizes), 0.2)
    whole.save_to_preset(tmp_path / "x", tokenizer=tokenizer)
    embedder = TextEmbedder.from_preset(tmp_path / "x")
    before = embedder.predict(TEXTS, verbose=0)
    embedder.compile(learning_rate=1e-2, run_eagerly=True)
    pairs = {"text": TEXTS * 4, "text_pair": TEXTS[::-1] * 4}
    losses = embedder.fit(pairs, epochs=2, batch_size=6, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    assert np.abs(embedder.predict(TEXTS, verbose=0) - before).max() > 0.01


def test_a_token_classifier_stands_on_it(tokenizer, tmp_path):
    tagger = task_of(TokenClassifier, tokenizer, labels=["O", "X"])
    random_weights(tagger, 0.2)
    tagger.save_to_preset(tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert config["architectures"] == ["T5ForTokenClassification"]
    copy = from_preset(tmp_path / "x")
    assert isinstance(copy.backbone, T5Encoder)
    np.testing.assert_array_equal(copy(inputs()), tagger(inputs()))


@pytest.mark.parity
@kinds
def test_transformers_computes_the_same(kind, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    encoder, x = encoder_of(kind), inputs()
    encoder.save_to_preset(tmp_path / "ours")
    theirs, info = transformers.T5EncoderModel.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(info.values())
    theirs.save_pretrained(tmp_path / "theirs")
    copy = T5Encoder.from_preset(tmp_path / "theirs")
    with torch.no_grad():
        found = theirs.eval()(
            input_ids=torch.tensor(x["token_ids"]).long(),
            attention_mask=torch.tensor(x["padding_mask"]),
        ).last_hidden_state.numpy()[x["padding_mask"] == 1]
    np.testing.assert_allclose(vectors(encoder), found, atol=1e-5)
    np.testing.assert_array_equal(vectors(copy), vectors(encoder))


@pytest.mark.parity
def test_transformers_tags_the_same(tokenizer, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tagger, x = task_of(TokenClassifier, tokenizer, labels=["O", "X", "Y"]), inputs()
    random_weights(tagger, 0.2).save_to_preset(tmp_path / "ours")
    theirs, info = transformers.T5ForTokenClassification.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(info.values())
    theirs.save_pretrained(tmp_path / "theirs")
    copy = TokenClassifier.from_preset(tmp_path / "theirs", tokenizer=tokenizer)
    with torch.no_grad():
        found = theirs.eval()(
            input_ids=torch.tensor(x["token_ids"]).long(),
            attention_mask=torch.tensor(x["padding_mask"]),
        ).logits.numpy()
    real = x["padding_mask"] == 1
    np.testing.assert_allclose(np.asarray(tagger(x))[real], found[real], atol=1e-5)
    np.testing.assert_array_equal(copy(x), tagger(x))
