"""Answers of the signatures of a classifier, against the Keras model."""

import re

import numpy as np
import pytest
import tensorflow as tf

LABELS = ("ham", "spam", "naïve")
TEXTS = ["the dog runs", "", "a cat sleeps fast . " * 3, "unheard of", "dog ! !"]


@pytest.fixture(scope="module")
def logits_of(classifier):
    """The Keras model as a graph that accepts any shape."""
    ids = tf.TensorSpec([None, None], tf.int32)
    return tf.function(
        lambda token_ids, segment_ids, padding_mask: classifier(
            {
                "token_ids": token_ids,
                "segment_ids": segment_ids,
                "padding_mask": padding_mask,
            },
            training=False,
        ),
        input_signature=[ids, ids, ids],
    )


@pytest.fixture(scope="module")
def reference(logits_of, tokenizer):
    """Logits of one row at a time, without any padding."""

    def logits(texts, pairs=None):
        rows = []
        for i, text in enumerate(texts):
            ids = tokenizer.encode(
                text, None if pairs is None else pairs[i], max_length=72
            )
            mask = [1] * len(ids.token_ids)
            rows.append(logits_of([ids.token_ids], [ids.segment_ids], [mask])[0])
        return np.stack(rows)

    return logits


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy(answer):
    return {name: value.numpy() for name, value in answer.items()}


def ask(served, name, **inputs):
    return numpy(served.functions[name](**inputs))


def texts_of(*texts):
    return tf.constant(list(texts), tf.string)


def example(**features):
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        for name, value in features.items()
    }
    return tf.train.Example(
        features=tf.train.Features(feature=feature)
    ).SerializeToString()


def test_a_text_gets_the_models_most_likely_label(served, reference):
    answer = ask(served, "serving_default", text=texts_of(*TEXTS))
    expected = softmax(reference(TEXTS))
    assert sorted(answer) == ["label", "probabilities", "score"]
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    np.testing.assert_allclose(answer["score"], expected.max(-1), atol=1e-5)
    best = [LABELS[i].encode() for i in expected.argmax(-1)]
    assert list(answer["label"]) == best
    assert len(set(best)) > 1
    assert answer["score"].dtype == answer["probabilities"].dtype == np.float32


def test_a_text_alone_and_in_a_padded_batch_gets_the_same_answer(served):
    together = ask(served, "serving_default", text=texts_of(*TEXTS, "dog " * 500))
    for i, text in enumerate(TEXTS):
        alone = ask(served, "serving_default", text=texts_of(text))
        np.testing.assert_allclose(
            alone["probabilities"][0], together["probabilities"][i], atol=1e-5
        )


def test_an_empty_batch_gets_an_empty_answer(served):
    answer = ask(served, "serving_default", text=tf.zeros([0], tf.string))
    shapes = {name: value.shape for name, value in answer.items()}
    assert shapes == {"label": (0,), "score": (0,), "probabilities": (0, 3)}
    ids = tf.zeros([0, 5], tf.int32)
    logits = ask(served, "token_ids", token_ids=ids, segment_ids=ids, padding_mask=ids)
    assert logits["logits"].shape == (0, 3)
    answer = ask(served, "examples", inputs=tf.zeros([0], tf.string))
    assert answer["classes"].shape == answer["scores"].shape == (0, 3)


def test_text_beyond_the_maximum_length_is_truncated(served, reference):
    long = "dog runs " * 60
    answer = ask(served, "serving_default", text=texts_of(long, long + "cat"))
    expected = softmax(reference([long]))[0]
    for row in answer["probabilities"]:
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_a_megabyte_and_invalid_utf8_are_served(served):
    texts = tf.constant([b"x" * 2**20, b"\xff\xfe dog \xc3", b"\x00", "\u2028"])
    answer = ask(served, "serving_default", text=texts)
    assert np.isfinite(answer["probabilities"]).all()
    assert answer["label"].shape == (4,)


def test_token_ids_of_any_length_get_the_models_logits(served, logits_of):
    rng = np.random.default_rng(0)
    for length in (1, 7, 31, 32, 33, 72):
        inputs = {
            "token_ids": rng.integers(0, 16, (3, length)),
            "segment_ids": rng.integers(0, 2, (3, length)),
            "padding_mask": np.arange(length) < np.array([[length], [1], [5]]),
        }
        inputs = {k: tf.constant(v, tf.int32) for k, v in inputs.items()}
        answer = ask(served, "token_ids", **inputs)
        expected = logits_of(**inputs)
        np.testing.assert_allclose(answer["logits"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "token_ids",
            16,
            "token_ids must be at least 0 and below] [16] [Received:] [16]",
        ),
        (
            "token_ids",
            -1,
            "token_ids must be at least 0 and below] [16] [Received:] [-1]",
        ),
        (
            "segment_ids",
            2,
            "segment_ids must be at least 0 and below] [2] [Received:] [2]",
        ),
        (
            "padding_mask",
            2,
            "padding_mask must be at least 0 and below] [2] [Received:] [2]",
        ),
    ],
)
def test_an_id_outside_the_range_is_named(served, name, value, message):
    inputs = {
        key: tf.ones([2, 4], tf.int32)
        for key in ("token_ids", "segment_ids", "padding_mask")
    }
    inputs[name] = tf.constant([[1, 1, 1, 1], [1, 1, value, 1]])
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(message)):
        ask(served, "token_ids", **inputs)


def test_ids_of_a_wrong_shape_are_refused_with_the_shape(served):
    ids = tf.ones([2, 4], tf.int32)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="(?s)padding_mask must have the shape"
    ):
        ask(served, "token_ids", token_ids=ids, segment_ids=ids, padding_mask=ids[:1])
    for length in (0, 73):
        ids = tf.ones([2, length], tf.int32)
        with pytest.raises(
            tf.errors.InvalidArgumentError,
            match=rf"(?s)token_ids must have 1 to 72 columns\. Received.*{length}",
        ):
            ask(served, "token_ids", token_ids=ids, segment_ids=ids, padding_mask=ids)


def test_examples_get_every_class_with_its_score(served, reference):
    inputs = texts_of(*(example(text=text, other="x") for text in TEXTS))
    answer = ask(served, "examples", inputs=inputs)
    assert sorted(answer) == ["classes", "scores"]
    np.testing.assert_allclose(answer["scores"], softmax(reference(TEXTS)), atol=1e-5)
    expected = [[label.encode() for label in LABELS]] * len(TEXTS)
    np.testing.assert_array_equal(answer["classes"], np.array(expected, object))


def test_an_example_without_text_is_refused_by_name(served):
    inputs = texts_of(example(text="dog"), example(txt="dog"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="text.*required but"):
        ask(served, "examples", inputs=inputs)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Could not parse"):
        ask(served, "examples", inputs=texts_of(b"not an example"))


def test_pairs_are_two_segments(serve, whole_words, reference):
    pair = serve(whole_words, text_pair=True)
    texts, pairs = ["the dog", "a cat", ""], ["runs", "", "dog"]
    answer = ask(
        pair, "serving_default", text=texts_of(*texts), text_pair=texts_of(*pairs)
    )
    expected = softmax(reference(texts, pairs))
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    both = zip(texts, pairs, strict=True)
    inputs = texts_of(*(example(text=a, text_pair=b) for a, b in both))
    scores = ask(pair, "examples", inputs=inputs)["scores"]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.slow
def test_multi_label_probabilities_are_independent(serve, reference):
    served = serve(task="multi_label")
    answer = ask(served, "serving_default", text=texts_of(*TEXTS))
    expected = 1 / (1 + np.exp(-reference(TEXTS)))
    assert sorted(answer) == ["probabilities"]
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    scores = ask(served, "examples", inputs=texts_of(example(text=TEXTS[0])))
    np.testing.assert_allclose(scores["scores"], expected[:1], atol=1e-5)
    assert served.methods["examples"] == "classify"


@pytest.mark.slow
def test_a_regression_returns_only_a_score(serve, reference):
    served = serve(task="regression", labels=None)
    answer = ask(served, "serving_default", text=texts_of(*TEXTS))
    expected = reference(TEXTS)[:, 0]
    assert sorted(answer) == ["score"]
    np.testing.assert_allclose(answer["score"], expected, atol=1e-5)
    inputs = texts_of(*(example(text=text) for text in TEXTS))
    outputs = ask(served, "examples", inputs=inputs)
    assert sorted(outputs) == ["outputs"]
    np.testing.assert_allclose(outputs["outputs"], expected[:, None], atol=1e-5)
    assert served.methods["examples"] == "regress"


def test_a_task_and_labels_that_disagree_are_refused(serve):
    with pytest.raises(ValueError, match="task must be one of.*'ranking'"):
        serve(task="ranking")
    with pytest.raises(ValueError, match="labels must be set.*regression"):
        serve(task="regression")
    with pytest.raises(ValueError, match="labels must be set.*None"):
        serve(labels=None)
    with pytest.raises(ValueError, match="labels must name.*2 labels and 3 outputs"):
        serve(labels=("ham", "spam"))
