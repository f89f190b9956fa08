"""`TextEmbedder` on decoders: the last token, or the mean of all, stands for a text."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from cheap_tokenizers import plain_bytes
from helpers import random_weights
from tfzoo.errors import CheckpointError
from tfzoo.families import GPTDecoder, LlamaDecoder, MistralDecoder
from tfzoo.tasks import CausalLM, TextEmbedder, from_preset, nearest

TEXTS = ["the cat sat", "a dog ran under the mat", "good", ""]
SIZES = dict(
    vocabulary_size=257,
    num_layers=2,
    num_heads=2,
    hidden_dim=16,
    intermediate_dim=32,
    max_sequence_length=32,
)
KINDS = {
    "gpt": (GPTDecoder, dict(dropout=0.0)),
    "llama": (LlamaDecoder, dict(num_key_value_heads=1)),
    "mistral": (MistralDecoder, dict(window=4)),
}


def decoder(kind, **options):
    make, own = KINDS[kind]
    return random_weights(make(**SIZES, **own, **options), 0.3)


@pytest.fixture(scope="module")
def embedder():
    return TextEmbedder(decoder("llama"), plain_bytes(), normalize=False)


def alone(embedder, text):
    """The token vectors (S, D) of a text without padding."""
    ids = embedder.tokenizer.encode(text).token_ids[: embedder.max_sequence_length]
    ids = np.array([ids], np.int32)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    return np.asarray(embedder.backbone(inputs))[0]


@pytest.mark.parametrize(
    ("kind", "pooling"), [("gpt", "last"), ("llama", "mean"), ("mistral", "last")]
)
def test_vectors_of_a_batch_equal_numpy_for_each_text_alone(kind, pooling):
    embedder = TextEmbedder(decoder(kind), plain_bytes(), pooling=pooling)
    pool = {"last": lambda x: x[-1], "mean": lambda x: x.mean(axis=0)}[pooling]
    texts = [*TEXTS[:3], "a" * 100]
    expected = np.stack([pool(alone(embedder, text)) for text in texts])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(texts), expected, atol=1e-5)
    np.testing.assert_allclose(embedder.embed(texts[0]), expected[0], atol=1e-5)


def test_the_default_is_the_last_token(embedder):
    assert embedder.pooling == "last"
    np.testing.assert_allclose(
        embedder.embed(TEXTS[1]), alone(embedder, TEXTS[1])[-1], atol=1e-5
    )


def test_a_text_without_tokens_has_a_vector_of_zeros(embedder):
    assert not embedder.embed(TEXTS)[3].any()
    assert not embedder.embed(["", ""]).any()


def test_padding_on_either_side_changes_nothing(embedder):
    ids = np.array([[5, 6, 7, 8]], np.int32)
    expected = embedder.predict({"token_ids": ids, "padding_mask": ids > 0}, verbose=0)
    for before, after in [(0, 3), (2, 0), (2, 3)]:
        inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        inputs = {
            name: np.pad(x, [[0, 0], [before, after]]) for name, x in inputs.items()
        }
        np.testing.assert_allclose(
            embedder.predict(inputs, verbose=0), expected, atol=1e-5
        )


def test_what_is_served_gives_the_same_vectors(embedder, unsaved):
    functions = unsaved(embedder)
    found = functions["serving_default"](text=tf.constant(TEXTS))["embedding"]
    np.testing.assert_allclose(found, embedder.embed(TEXTS), atol=1e-5)
    batch = tf.data.Dataset.from_tensors(TEXTS)
    np.testing.assert_allclose(embedder.predict(batch, verbose=0), found, atol=1e-5)


@pytest.mark.parametrize("ties_output", [True, False])
def test_a_directory_and_a_file_give_the_same_vectors(tmp_path, ties_output):
    embedder = TextEmbedder(decoder("llama", ties_output=ties_output), plain_bytes())
    embedder.save_to_preset(tmp_path / "vectors")
    pooling = json.loads((tmp_path / "vectors/1_Pooling/config.json").read_text())
    assert [name for name, value in pooling.items() if value is True] == [
        "pooling_mode_lasttoken"
    ]
    copy = from_preset(tmp_path / "vectors")
    assert (type(copy), copy.pooling) == (TextEmbedder, "last")
    embedder.save(tmp_path / "vectors.keras")
    for other in (copy, keras.saving.load_model(tmp_path / "vectors.keras")):
        np.testing.assert_array_equal(other.embed(TEXTS), embedder.embed(TEXTS))


def test_a_language_model_opens_as_an_embedder(tmp_path):
    model = CausalLM(decoder("llama"), plain_bytes())
    model.save_to_preset(tmp_path / "model")
    embedder = TextEmbedder.from_preset(tmp_path / "model", normalize=False)
    np.testing.assert_allclose(
        embedder.embed(TEXTS[0]), alone(embedder, TEXTS[0])[-1], atol=1e-5
    )
    ours = {v.path: np.asarray(v) for v in model.backbone.variables}
    for variable in embedder.backbone.variables:
        np.testing.assert_array_equal(variable, ours[variable.path])


def test_the_first_token_of_a_decoder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'last' or 'mean' with a decoder.*'cls'"):
        TextEmbedder(decoder("gpt"), plain_bytes(), pooling="cls")
    TextEmbedder(decoder("gpt"), plain_bytes()).save_to_preset(tmp_path / "vectors")
    path = tmp_path / "vectors/1_Pooling/config.json"
    fields = {"pooling_mode": "cls", "word_embedding_dimension": 16}
    path.write_text(json.dumps(fields))
    with pytest.raises(CheckpointError, match="'last' or 'mean' with a decoder"):
        from_preset(tmp_path / "vectors")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_half_precision_is_near_float32(policy):
    exact = TextEmbedder(decoder("llama"), plain_bytes())
    rough = TextEmbedder(decoder("llama", dtype=policy), plain_bytes())
    for ours, theirs in zip(rough.weights, exact.weights, strict=True):
        ours.assign(np.asarray(theirs))
    found, expected = rough.embed(TEXTS[:3]), exact.embed(TEXTS[:3])
    assert found.dtype == np.float32
    assert (found * expected).sum(axis=1).min() > 0.99
    assert np.abs(found - expected).max() > 1e-5


@pytest.mark.slow
def test_matching_pairs_get_close():
    words = "cat dog mat tree film".split()
    first = [f"the {word} sat" for word in words] * 8
    second = [f"a {word} ran on" for word in words] * 8
    embedder = TextEmbedder(decoder("llama"), plain_bytes())
    embedder.compile(learning_rate=1e-2)
    data = {"text": first, "text_pair": second}
    history = embedder.fit(data, batch_size=5, epochs=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    _, found = nearest(embedder.embed(first[:5]), embedder.embed(second[:5]), k=1)
    assert found[:, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parity
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_transformers(kind, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    embedder = TextEmbedder(decoder(kind), plain_bytes())
    embedder.save_to_preset(tmp_path / "ours")
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "ours").eval()
    expected = []
    for text in TEXTS[:3]:
        ids = torch.tensor([embedder.tokenizer.encode(text).token_ids])
        with torch.no_grad():
            expected.append(theirs(ids).last_hidden_state[0, -1].numpy())
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(TEXTS[:3]), expected, atol=1e-5)
    theirs.save_pretrained(tmp_path / "theirs")  # a backbone, without output layer
    opened = TextEmbedder.from_preset(tmp_path / "theirs", tokenizer=embedder.tokenizer)
    np.testing.assert_allclose(opened.embed(TEXTS[:3]), expected, atol=1e-5)
