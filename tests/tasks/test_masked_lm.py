import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from helpers import eagerly
from tfzoo.errors import TokenizerError
from tfzoo.tasks import BertPretrainer, MaskedLM, from_preset
from tfzoo.text import WordPieceTokenizer


@pytest.fixture
def fresh(make_encoder, tokenizer):
    return MaskedLM(make_encoder(dropout=0.0), tokenizer)


@pytest.fixture(scope="module")
def model(make_encoder, tokenizer):
    """A model that no test changes."""
    return MaskedLM(make_encoder(dropout=0.0), tokenizer)


def test_one_sentence_can_be_learned_and_predicted(fresh):
    model = fresh
    model.compile(learning_rate=1e-2)
    model.fit(["the cat sat on the mat"] * 16, epochs=40, batch_size=8, verbose=0)
    best = model.fill_mask("the cat [MASK] on the mat", top_k=3)[0]
    assert best[0]["token"] == "sat" and len(best) == 3
    assert best[0]["score"] > best[1]["score"] > best[2]["score"] > 0
    two = model.fill_mask(["the [MASK] sat on the [MASK]"], top_k=1)
    assert [gap[0]["token"] for gap in two[0]] == ["cat", "mat"]


def test_raw_texts_are_masked_as_in_bert(model, tokenizer):
    texts = ["the cat sat on the mat under a good tree"] * 64
    data = model.training_data(texts, batch_size=16, epochs=4, seed=1)
    masked = same = chosen = tokens = 0
    whole = tokenizer.encode_batch(texts[:1]).token_ids
    for inputs, words, weights in data:
        seen = np.take_along_axis(
            inputs["token_ids"].numpy(), inputs["mask_positions"].numpy(), 1
        )
        real = weights.numpy() > 0
        masked += (seen[real] == tokenizer.mask_id).sum()
        same += (seen[real] == words.numpy()[real]).sum()
        chosen += real.sum()
        tokens += inputs["padding_mask"].numpy().sum()
        truth = whole[inputs["mask_positions"].numpy()]
        np.testing.assert_array_equal(truth[real], words.numpy()[real])
    assert chosen / tokens == pytest.approx(0.15, abs=0.03)
    assert masked / chosen == pytest.approx(0.8, abs=0.08)
    assert same / chosen == pytest.approx(0.1, abs=0.06)


def test_the_data_is_a_function_of_seed_and_step(model, texts):
    def batches(**options):
        data = model.training_data(texts[0], batch_size=16, epochs=2, **options)
        return [keras.tree.flatten(batch) for batch in data]

    whole, rest = batches(seed=3), batches(seed=3, start_step=3)
    for a, b in zip(whole[3:], rest, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    other = batches(seed=4)
    assert any(
        a.shape != b.shape or (a != b).numpy().any()
        for a, b in zip(whole[0], other[0], strict=True)
    )


@pytest.mark.slow
def test_lists_and_datasets_train_and_evaluate(fresh, texts):
    model = fresh
    data = tf.data.Dataset.from_tensor_slices(texts[0]).batch(20)
    for x in (texts[0], data):
        history = model.fit(x, validation_data=data, verbose=0).history
        assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(history)
    assert model.evaluate(texts[0], verbose=0) == model.evaluate(texts[0], verbose=0)


def test_predict_returns_the_logits_at_mask_tokens(model, tokenizer):
    texts = ["the [MASK]", "a [MASK] [MASK] cat"]
    logits = model.predict(texts, verbose=0)
    assert logits.shape == (2, 2, tokenizer.vocabulary_size)
    alone = model.predict(texts[:1], verbose=0)
    np.testing.assert_allclose(logits[0, 0], alone[0, 0], atol=1e-5)
    assert model.predict([], verbose=0).shape == (0, 0, tokenizer.vocabulary_size)


def test_predict_reads_both_texts_of_pairs(model, tokenizer):
    first, second = ["the [MASK]", "a cat"], ["a [MASK] cat", "the [MASK] mat"]
    encoded = tokenizer.encode_batch(first, second, mask_token=True)
    inputs = {
        name: np.stack(np.split(getattr(encoded, name), encoded.row_splits[1:-1]))
        for name in ("token_ids", "segment_ids")
    }
    inputs["padding_mask"] = np.ones_like(inputs["token_ids"])
    gaps = [np.flatnonzero(row == tokenizer.mask_id) for row in inputs["token_ids"]]
    inputs["mask_positions"] = np.array([gaps[0], [gaps[1][0], 0]], np.int32)
    logits = np.asarray(model(inputs))
    roads = (
        {"text": first, "text_pair": second},
        (first, second),
        list(zip(first, second, strict=True)),
        tf.data.Dataset.from_tensors({"text": first, "text_pair": second}),
    )
    for x in roads:
        found = model.predict(x, verbose=0)
        np.testing.assert_allclose(found, logits, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("no gap", "none in row 1, 'no gap'"),
        ("the " * 100 + "[MASK]", "1 beyond them in row 1"),
        ("[MASK] [MASK]" + " the" * 100 + "[MASK] [MASK]", "2 beyond them in row 1"),
    ],
)
def test_a_text_with_no_or_a_truncated_mask_token_is_reported(model, text, received):
    words = r"must contain \[MASK\] within its first 32 tokens. Received: "
    with pytest.raises(ValueError, match=words + received):
        model.fill_mask(["a [MASK]", text])


def test_masked_texts_may_come_in_any_column(model):
    text = "the [MASK] cat"
    expected = model.fill_mask(text)
    assert model.fill_mask(text.encode()) == expected
    assert model.fill_mask(tf.constant(text)) == expected
    for column in ((text,), np.array([text]), tf.constant([text]), iter([text])):
        assert model.fill_mask(column) == [expected]
    assert model.fill_mask([]) == []
    with pytest.raises(ValueError, match="nan in row 1 of texts; remove such rows"):
        model.fill_mask([text, float("nan")])
    for wrong in ({text}, {"text": text}, None, 3):
        with pytest.raises(ValueError, match="texts must be a list, an array"):
            model.fill_mask(wrong)


@pytest.mark.parametrize("top_k", [0, -1, 2.5, True, "5", 10**6])
def test_a_number_of_answers_out_of_range_is_reported(model, top_k):
    with pytest.raises(ValueError, match=f"top_k must be an integer in .1, .*{top_k}"):
        model.fill_mask("the [MASK]", top_k=top_k)


def test_filling_many_texts_equals_filling_each_alone_with_one_trace(model):
    texts = ["the [MASK] " * (1 + i % 3) + "cat " * (i % 7) for i in range(70)]
    for text, together in zip(texts, model.fill_mask(texts, top_k=2), strict=True):
        for gap, alone in zip(together, model.fill_mask(text, top_k=2), strict=True):
            assert [word["token"] for word in gap] == [word["token"] for word in alone]
            np.testing.assert_allclose(
                [word["score"] for word in gap],
                [word["score"] for word in alone],
                atol=1e-5,
            )
    (function,) = model._inference.values()
    assert function.experimental_get_tracing_count() == 1


def test_non_finite_scores_are_reported(fresh):
    model = fresh
    gamma = next(v for v in model.variables if v.path.endswith("norm/gamma"))
    gamma.assign(np.full(gamma.shape, np.nan))
    with pytest.raises(ValueError, match="Scores must be finite.*float32.* row 0"):
        model.fill_mask("the [MASK]")


def test_a_vocabulary_without_mask_is_refused(make_encoder):
    words = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])
    with pytest.raises(TokenizerError, match=r"\[MASK\]"):
        MaskedLM(make_encoder(), words)


def test_saved_copies_agree(fresh, tmp_path):
    model = eagerly(fresh)
    model.save(tmp_path / "a.keras")
    model.save_to_preset(tmp_path / "a")
    expected = model.predict(["a [MASK]"], verbose=0)
    for copy in (
        keras.saving.load_model(tmp_path / "a.keras"),
        MaskedLM.from_preset(tmp_path / "a"),
        from_preset(tmp_path / "a"),
    ):
        found = eagerly(copy).predict(["a [MASK]"], verbose=0)
        np.testing.assert_array_equal(found, expected)


def test_the_saved_model_fills_the_same_words(make_encoder, whole_words, tmp_path):
    """Also for a backbone with more ids, which take part of the probability."""
    size = whole_words.vocabulary_size
    model = MaskedLM(make_encoder(vocabulary_size=size + 9, dropout=0.0), whole_words)
    path = model.export_version(tmp_path / "served", top_k=3)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    texts = ["the [MASK] sat", "a [MASK] [MASK]"]
    answers = served(text=tf.constant(texts))
    filled = model.fill_mask(texts, top_k=3)
    scores = scipy.special.softmax(model.predict(texts, verbose=0), -1)[..., :size]
    assert scores[0, 0].sum() < 0.99
    assert filled[0][0][0]["score"] == pytest.approx(scores[0, 0].max(), abs=1e-5)
    for row, gaps in enumerate(filled):
        for gap, words in enumerate(gaps):
            tokens = [w["token"].encode() for w in words]
            assert answers["tokens"][row, gap].numpy().tolist() == tokens
            np.testing.assert_allclose(
                answers["scores"][row, gap], [w["score"] for w in words], atol=1e-5
            )


@pytest.mark.slow
def test_the_pooler_is_neither_trained_nor_warned_about(fresh, texts):
    model = fresh
    assert not any("pooler" in v.path for v in model.trainable_variables)
    model.fit(texts[0], verbose=0)


def test_a_pretrained_model_becomes_a_masked_lm(
    make_encoder, tokenizer, tmp_path, caplog
):
    pretrainer = BertPretrainer(make_encoder(), tokenizer)
    pretrainer.save_to_preset(tmp_path / "bert")
    model = MaskedLM.from_preset(tmp_path / "bert")
    assert "New" not in caplog.text
    np.testing.assert_array_equal(
        model.get_layer("masked_lm_head").transform.kernel,
        pretrainer.get_layer("masked_lm_head").transform.kernel,
    )
