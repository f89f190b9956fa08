"""A published model: all-MiniLM-L6-v2, in the directory `$TFZOO_MINILM`."""

import os
import pathlib

import keras
import numpy as np
import pytest

from tfzoo.tasks import TextEmbedder, from_preset, nearest

pytestmark = [pytest.mark.slow, pytest.mark.parity]
TEXTS = [
    "A man is eating food.",
    "Somebody has a meal.",
    "The new movie is awesome, and rather long; we saw it twice last week!",
    "That film was great.",
    "",
    "Zürich, naïve café – 12.5 %",
    "Stock prices fell sharply after the announcement.",
    "Share values dropped.",
]


@pytest.fixture(scope="module")
def directory():
    place = pathlib.Path(os.environ.get("TFZOO_MINILM", ""))
    if not (place / "modules.json").is_file():
        pytest.skip("TFZOO_MINILM does not name the directory of the model")
    return place


@pytest.fixture(scope="module")
def theirs(directory):
    """The hidden states of all layers in `transformers`, and the mask, as arrays."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    network = transformers.AutoModel.from_pretrained(directory).eval()
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = network(**batch, output_hidden_states=True).hidden_states
    mask = batch["attention_mask"].numpy()
    return batch["input_ids"].numpy(), mask, [state.numpy() for state in states]


def test_every_layer_computes_what_transformers_computes(directory, theirs):
    ids, mask, states = theirs
    embedder = TextEmbedder.from_preset(directory)
    for row, length in zip(TEXTS, mask.sum(1), strict=True):
        own = embedder.tokenizer.encode(row, max_length=ids.shape[1]).token_ids
        assert own == ids[TEXTS.index(row), :length].tolist()
    backbone = embedder.backbone
    names = [f"transformer_layer_{i}" for i in range(backbone.num_layers)]
    outputs = [backbone.get_layer(n).output for n in ["embeddings_dropout", *names]]
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": mask}
    found = keras.Model(backbone.input, outputs)(inputs)
    assert len(found) == len(states) == 7
    for ours, expected in zip(found, states, strict=True):
        difference = np.abs(np.asarray(ours) - expected) * mask[..., None]
        assert difference.max() <= 5e-5


def test_vectors_are_means_and_similar_texts_are_close(directory, theirs):
    _, mask, states = theirs
    embedder = from_preset(directory)
    means = (states[-1] * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    vectors = embedder.embed(TEXTS)
    np.testing.assert_allclose(vectors, means, atol=1e-5)
    _, found = nearest(vectors, vectors, k=2)
    for first, second in ((0, 1), (2, 3), (6, 7)):
        assert found[first].tolist() == [first, second]
