import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.tasks import CausalLM
from tfzoo.tasks.causal_lm.scoring import windows


@pytest.fixture(scope="module")
def model(make_gpt, byte_tokenizer):
    return CausalLM(make_gpt(), byte_tokenizer)


@functools.cache
def logits_after(model, ids):
    """The last logits, float64 (V,), from a separate forward pass."""
    context = np.array([ids], np.int32)
    given = {"token_ids": context, "padding_mask": np.ones_like(context)}
    return np.asarray(model(given), np.float64)[0, -1]


def by_hand(model, text, stride=None):
    """Log-probabilities, one token at a time."""
    ids = [model.tokenizer.end_id, *model.tokenizer.tokenize(text)]
    found = []
    for i in range(1, len(ids)):
        start = 0
        while i - start > model.max_sequence_length:
            start += stride
        logits = logits_after(model, tuple(ids[start:i]))
        found.append(logits[ids[i]] - np.log(np.exp(logits).sum()))
    return np.array(found)


def test_scores_equal_those_of_one_token_at_a_time(model):
    texts = ["the cat sat on the mat", "a dog", "", b"good"]
    scores = model.score(texts, batch_size=2)
    for text, score in zip(texts, scores, strict=True):
        expected = by_hand(model, text)
        np.testing.assert_allclose(score["log_probabilities"], expected, atol=1e-5)
        assert score["log_probability"] == pytest.approx(expected.sum(), abs=1e-4)
        assert score["token_ids"] == model.tokenizer.tokenize(text)
        names = [model.tokenizer.id_to_token(i) for i in score["token_ids"]]
        assert score["tokens"] == names
    assert model.score([]) == []


@pytest.mark.parametrize("stride", [1, 7, 32])
def test_long_texts_are_read_in_overlapping_windows(model, stride):
    text = "the cat sat on the mat under a good tree and ran on very bad film"
    score = model.score(text, stride=stride, batch_size=3)
    assert len(score["token_ids"]) > 36
    np.testing.assert_allclose(
        score["log_probabilities"], by_hand(model, text, stride), atol=1e-5
    )


def test_perplexity_sums_over_all_texts(model):
    texts = ["the cat sat on the mat " * 4, "a d\u00f6g", b"b\xffd"]
    found = model.perplexity(texts, stride=8)
    scores = model.score(texts, stride=8)
    nats = -sum(score["log_probability"] for score in scores)
    tokens = sum(len(score["token_ids"]) for score in scores)
    assert found["tokens"] == tokens
    assert found["characters"] == len(texts[0]) + 5 + 3
    assert found["nats"] == pytest.approx(nats)
    assert found["perplexity"] == pytest.approx(np.exp(nats / tokens))
    assert found["bits"] == pytest.approx(nats / np.log(2))
    bits = found["bits_per_character"]
    assert bits == pytest.approx(found["bits"] / found["characters"])


def test_one_text_equals_a_list_of_it(model):
    assert model.perplexity("the cat") == model.perplexity(["the cat"])
    one, (other,) = model.score("the cat"), model.score(["the cat"])
    assert one["log_probability"] == other["log_probability"]


@given(st.integers(0, 200), st.integers(1, 20), st.data())
def test_windows_have_every_target_once_with_enough_context(count, size, data):
    stride = data.draw(st.integers(1, size))
    seen = []
    for start, stop, first in windows(count, size, stride):
        assert 0 < stop - start <= size and start <= first < stop
        assert first - start >= size - stride or start == first == 0
        seen += range(first, stop)
    assert seen == list(range(count))


@pytest.mark.parametrize("stride", [0, -1, 33])
def test_a_stride_that_skips_tokens_is_refused(model, stride):
    with pytest.raises(
        ValueError, match=rf"stride must be in \[1, 32\].*stride={stride}"
    ):
        model.score("the cat", stride=stride)


def test_texts_without_tokens_have_no_perplexity(model):
    for texts in ([], "", [""]):
        with pytest.raises(ValueError, match="at least one token"):
            model.perplexity(texts)
