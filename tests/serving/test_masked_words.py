"""Answers of the signatures of a masked language model."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.tasks.masked_words.served_gaps import masked_lm_signatures


def fill(served, *texts):
    return served.functions["serving_default"](text=tf.constant(list(texts), tf.string))


@pytest.fixture(scope="module")
def likeliest(masked_lm, tokenizer):
    """The three most likely words and their probabilities for each gap of one text."""

    def answer(text):
        ids = tokenizer.encode_batch([text], max_length=72, mask_token=True).token_ids
        positions = np.flatnonzero(ids == tokenizer.mask_id)
        inputs = {
            "token_ids": ids[None],
            "segment_ids": ids[None] * 0,
            "padding_mask": ids[None] ** 0,
            "mask_positions": positions[None],
        }
        inputs = {name: value.astype(np.int32) for name, value in inputs.items()}
        logits = np.array(masked_lm(inputs, training=False))[0].astype(float)
        e = np.exp(logits - logits.max(-1, keepdims=True))
        probabilities = e / e.sum(-1, keepdims=True)
        order = np.argsort(-probabilities, axis=-1)[:, :3]
        words = np.array(tokenizer.vocabulary)[order]
        return words, np.take_along_axis(probabilities, order, -1)

    return answer


def test_every_gap_gets_the_most_likely_words_and_the_rest_is_empty(
    served_masked_lm, likeliest
):
    texts = ["the [MASK] runs .", "a dog", "[MASK] cat [MASK] fast [MASK]"]
    answer = fill(served_masked_lm, *texts)
    assert answer["tokens"].shape == answer["scores"].shape == (3, 3, 3)
    assert answer["scores"].dtype == tf.float32
    for row, text in enumerate(texts):
        gaps = text.count("[MASK]")
        if gaps:
            words, probabilities = likeliest(text)
            tokens = answer["tokens"][row, :gaps].numpy().astype(str)
            np.testing.assert_array_equal(tokens, words)
            scores = answer["scores"][row, :gaps]
            np.testing.assert_allclose(scores, probabilities, atol=1e-5)
        assert (answer["tokens"][row, gaps:].numpy() == b"").all()
        assert (answer["scores"][row, gaps:].numpy() == 0).all()


def test_texts_without_gaps_and_no_texts_get_an_empty_answer(served_masked_lm):
    assert fill(served_masked_lm, "a dog", "")["tokens"].shape == (2, 0, 3)
    assert fill(served_masked_lm)["tokens"].shape == (0, 0, 3)


def test_a_gap_that_is_truncated_is_not_answered(served_masked_lm):
    answer = fill(served_masked_lm, "[MASK] " + "dog " * 100 + "[MASK]")
    assert answer["tokens"].shape == (1, 1, 3)


def test_token_ids_get_logits_at_the_positions(served_masked_lm, masked_lm):
    rng = np.random.default_rng(0)
    inputs = {
        "token_ids": rng.integers(0, 16, (2, 9)),
        "segment_ids": np.zeros((2, 9)),
        "padding_mask": np.ones((2, 9)),
        "mask_positions": [[1, 8, 0], [3, 4, 5]],
    }
    inputs = {k: tf.constant(v, tf.int32) for k, v in inputs.items()}
    answer = served_masked_lm.functions["token_ids"](**inputs)
    expected = masked_lm(inputs, training=False)
    np.testing.assert_allclose(answer["logits"], expected, atol=1e-5)


def test_a_position_outside_the_row_is_named(served_masked_lm):
    ids = tf.ones([2, 4], tf.int32)
    ask = served_masked_lm.functions["token_ids"]
    inputs = {"token_ids": ids, "segment_ids": ids, "padding_mask": ids}
    message = r"mask_positions must be at least 0 and below\] \[4\] \[Received:\] \[4\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ask(**inputs, mask_positions=tf.constant([[1], [4]]))
    message = r"mask_positions must have the shape\] \[2 1\] \[Received:\] \[1 1\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ask(**inputs, mask_positions=tf.constant([[1]]))


def test_more_answers_than_words_are_refused(masked_lm, core_of, tokenizer):
    core = core_of(masked_lm, mask_positions=True)
    with pytest.raises(ValueError, match="top_k must be in .1, 16.*top_k=17"):
        masked_lm_signatures(core, tokenizer, top_k=17)
