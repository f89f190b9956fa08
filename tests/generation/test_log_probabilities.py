import numpy as np
import pytest
import tensorflow as tf

from tfzoo.generation import log_probabilities as module
from tfzoo.generation.log_probabilities import log_probabilities


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("rows", [1, 4, 7, 100])
def test_they_are_those_of_all_logits_at_once(decoder, monkeypatch, rows, jit_compile):
    monkeypatch.setattr(module, "MOST_LOGITS", rows * decoder.vocabulary_size)
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(3, 5, decoder.hidden_dim)).astype(np.float32)
    ids = rng.integers(0, decoder.vocabulary_size, (3, 5)).astype(np.int32)
    logits = hidden @ np.asarray(decoder.token_embedding.embeddings.value).T
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.take_along_axis(expected, ids[..., None], axis=-1)[..., 0]
    found = tf.function(
        lambda *x: log_probabilities(decoder, *x), jit_compile=jit_compile
    )(hidden, ids)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_part_has_more_logits_than_are_allowed(decoder, monkeypatch):
    monkeypatch.setattr(module, "MOST_LOGITS", 4 * decoder.vocabulary_size)
    sizes = []

    class Counting:
        hidden_dim, vocabulary_size = decoder.hidden_dim, decoder.vocabulary_size

        def logits(self, hidden):
            sizes.append(int(tf.shape(hidden)[0]))
            return decoder.logits(hidden)

    hidden = tf.zeros([3, 5, decoder.hidden_dim])
    log_probabilities(Counting(), hidden, tf.zeros([3, 5], tf.int32))
    assert sizes == [4] * 4
