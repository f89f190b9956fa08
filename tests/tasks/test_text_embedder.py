import json

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.tasks import TextEmbedder, from_preset, nearest

TEXTS = ["the cat sat", "a dog ran under the mat", "good film"]


def pooled(embedder, pooling):
    """The vectors in NumPy, from the backbone's output for each text alone."""
    rows = []
    for text in TEXTS:
        ids = embedder.tokenizer.encode(text).token_ids
        inputs = {
            "token_ids": np.array([ids]),
            "segment_ids": np.zeros((1, len(ids)), int),
            "padding_mask": np.ones((1, len(ids)), int),
        }
        sequence = np.asarray(embedder.backbone(inputs)["sequence_output"])[0]
        rows.append(sequence.mean(0) if pooling == "mean" else sequence[0])
    return np.stack(rows)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_equal_numpy_for_each_text_alone(
    make_encoder, tokenizer, pooling, normalize
):
    embedder = TextEmbedder(
        make_encoder(), tokenizer, pooling=pooling, normalize=normalize
    )
    expected = pooled(embedder, pooling)
    if normalize:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(TEXTS), expected, atol=1e-5)


def test_a_directory_has_the_files_of_sentence_transformers(
    make_encoder, tokenizer, tmp_path
):
    embedder = TextEmbedder(
        make_encoder(), tokenizer, pooling="cls", max_sequence_length=20
    )
    embedder.save_to_preset(tmp_path / "vectors")
    modules = json.loads((tmp_path / "vectors" / "modules.json").read_text())
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    assert kinds == ["Transformer", "Pooling", "Normalize"]
    path = tmp_path / "vectors" / modules[1]["path"] / "config.json"
    assert json.loads(path.read_text())["word_embedding_dimension"] == 16
    copy = from_preset(tmp_path / "vectors")
    assert (copy.pooling, copy.normalize, copy.max_sequence_length) == ("cls", True, 20)
    np.testing.assert_array_equal(copy.embed(TEXTS), embedder.embed(TEXTS))


@pytest.mark.parity
def test_a_directory_opens_in_transformers(make_encoder, tokenizer, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    embedder = TextEmbedder(make_encoder(), tokenizer, normalize=False)
    embedder.save_to_preset(tmp_path / "vectors")
    theirs, info = transformers.AutoModel.from_pretrained(
        tmp_path / "vectors", output_loading_info=True
    )
    assert not any(info.values())
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "vectors")
    batch = words(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        sequence = theirs.eval()(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    expected = (sequence * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(embedder.embed(TEXTS), expected.numpy(), atol=1e-5)


def test_matching_pairs_get_close(make_encoder, tokenizer):
    words = "cat dog mat tree film".split()
    first = [f"the {word} sat" for word in words] * 8
    second = [f"a {word} ran on" for word in words] * 8
    embedder = TextEmbedder(make_encoder(dropout=0.0), tokenizer)
    embedder.compile(learning_rate=1e-2)
    data = {"text": first, "text_pair": second}
    history = embedder.fit(data, batch_size=5, epochs=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    _, found = nearest(embedder.embed(first[:5]), embedder.embed(second[:5]), k=1)
    assert found[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_nearest_equals_a_full_sort_with_the_first_of_equals():
    rng = np.random.default_rng(0)
    queries, corpus = rng.normal(size=(7, 5)), rng.normal(size=(40, 5))
    corpus[30] = 2 * corpus[3]
    corpus[9] = 0

    def unit(x):
        length = np.linalg.norm(x, axis=1, keepdims=True)
        return x / np.where(length == 0, 1, length)

    cosines = unit(queries) @ unit(corpus).T
    order = np.argsort(-np.round(cosines, 6), axis=1, kind="stable")[:, :6]
    scores, indices = nearest(queries, corpus, k=6)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(scores, np.take_along_axis(cosines, order, 1), atol=1e-5)


def test_what_is_served_gives_the_same_vectors(make_encoder, whole_words, unsaved):
    embedder = TextEmbedder(make_encoder(), whole_words)
    served = unsaved(embedder)["serving_default"]
    found = served(text=tf.constant(TEXTS))["embedding"]
    np.testing.assert_allclose(found, embedder.embed(TEXTS), atol=1e-5)
    assert served(text=tf.constant([], tf.string))["embedding"].shape == (0, 16)
