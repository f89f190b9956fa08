"""The tasks of encoders with byte-level BPE, as in RoBERTa."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import TokenizerError
from tfzoo.tasks import MaskedLM, TextClassifier
from tfzoo.text import ROBERTA_TOKENS, ByteBPETokenizer


@pytest.fixture(scope="session")
def roberta_tokenizer(texts):
    return ByteBPETokenizer.train(
        texts[0], vocabulary_size=340, progress=False, **ROBERTA_TOKENS
    )


@pytest.fixture
def encoder(make_encoder, roberta_tokenizer):
    return make_encoder(vocabulary_size=roberta_tokenizer.vocabulary_size)


GAPS = ["the cat <mask> on", "<mask> tree  <mask>", "a <mask>\u00e9"]


@pytest.fixture
def masked_lm(encoder, roberta_tokenizer):
    return MaskedLM(encoder, roberta_tokenizer, whole_word=True)


def test_masked_words_train_on_text_and_get_readable_answers(masked_lm, texts):
    masked_lm.compile(learning_rate=1e-2, run_eagerly=True)
    history = masked_lm.fit(texts[0], batch_size=32, epochs=2, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    answers = masked_lm.fill_mask(GAPS, top_k=masked_lm.tokenizer.vocabulary_size)
    assert [len(gaps) for gaps in answers] == [1, 2, 1]
    tokens = {answer["token"] for answer in answers[0][0]}
    assert {" the", " cat", "<mask>", "e"} <= tokens
    assert not any("\u0120" in token for token in tokens)
    with pytest.raises(ValueError, match="must contain <mask> within its first 32"):
        masked_lm.fill_mask(["a [MASK]"])


@pytest.mark.slow
def test_a_served_mask_token_gets_the_answers_of_fill_mask(masked_lm, tmp_path):
    version = masked_lm.export_version(tmp_path / "gaps", top_k=4)
    served = tf.saved_model.load(version).signatures["serving_default"]
    answer = served(text=tf.constant(GAPS))
    for row, gaps in enumerate(masked_lm.fill_mask(GAPS, top_k=4)):
        for gap, words in enumerate(gaps):
            tokens = [token.decode() for token in answer["tokens"][row, gap].numpy()]
            assert tokens == [word["token"] for word in words]
            scores = [word["score"] for word in words]
            np.testing.assert_allclose(answer["scores"][row, gap], scores, atol=1e-5)


@pytest.mark.slow
def test_lists_datasets_and_served_pairs_are_classified_equally(
    encoder, roberta_tokenizer, texts, tmp_path
):
    task = TextClassifier(
        encoder, roberta_tokenizer, labels=["no", "yes"], text_pair=True
    )
    pairs = {"text": texts[0], "text_pair": texts[0][::-1]}
    task.compile(learning_rate=1e-3)
    task.fit(pairs, texts[1], batch_size=16, verbose=0)
    logits = task.predict(pairs, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices(pairs).batch(7)
    np.testing.assert_allclose(task.predict(dataset, verbose=0), logits, atol=1e-5)
    version = task.export_version(tmp_path / "pairs")
    served = tf.saved_model.load(version).signatures["serving_default"]
    answer = served(**{name: tf.constant(texts) for name, texts in pairs.items()})
    labels = np.array(["no", "yes"])[logits.argmax(-1)]
    assert [label.decode() for label in answer["label"].numpy()] == labels.tolist()


def test_a_tokenizer_without_tokens_around_texts_is_refused(encoder, byte_tokenizer):
    with pytest.raises(TokenizerError, match="must contain the mask token for this"):
        MaskedLM(encoder, byte_tokenizer)
