"""Answers of the signatures of a token classification model."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.serving import export_version
from tfzoo.tasks.tagging.served_tags import token_classifier_signatures

LABELS = ("O", "B-pet", "na\u00efve")
TEXTS = ["the Dogs run!", "", "a cat. " * 40, "\u200bna\u00efve cat", "dog"]


@pytest.fixture(scope="module")
def tagger(encoder):
    """Keras model: a dictionary of ids (B, S) -> logits (B, S, 3)."""
    head = keras.layers.Dense(3, kernel_initializer="random_normal")
    model = keras.Model(encoder.inputs, head(encoder.output["sequence_output"]))
    # Center and scale, so that the most likely label depends on the word.
    ids = np.arange(16, dtype=np.int32)[None]
    logits = model(
        {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
    )[0].numpy()
    kernel, _ = head.get_weights()
    head.set_weights([kernel / logits.std(0), -logits.mean(0) / logits.std(0)])
    return model


@pytest.fixture(scope="module")
def serve(tagger, core_of, tokenizer):
    def signatures(labels=LABELS, **options):
        return token_classifier_signatures(
            core_of(tagger, **options), tokenizer, labels=labels
        )

    return signatures


@pytest.fixture(scope="module")
def served(serve):
    return serve()


@pytest.fixture(scope="module")
def expected(tagger, tokenizer):
    """Word, label, probability, start and end of every word of one text."""

    def words(text):
        ids = tokenizer.encode(text, max_length=72)
        inputs = {
            "token_ids": [ids.token_ids],
            "segment_ids": [ids.segment_ids],
            "padding_mask": [[1] * len(ids.token_ids)],
        }
        inputs = {name: tf.constant(value, tf.int32) for name, value in inputs.items()}
        probabilities = tf.nn.softmax(tagger(inputs, training=False))[0].numpy()
        rows, before = [], None
        for word, (start, end), p in zip(
            ids.word_ids, ids.offsets, probabilities, strict=True
        ):
            if word is not None and word != before:
                rows.append([LABELS[p.argmax()], p.max(), start, end])
            elif word is not None:
                rows[-1][3] = end
            before = word
        return [(text[start:end], *row, start, end) for *row, start, end in rows]

    return words


def ask(served, *texts):
    answer = served.functions["serving_default"](text=tf.constant(texts, tf.string))
    return {name: value.numpy() for name, value in answer.items()}


def rows_of(answer):
    names = ("words", "labels", "scores", "starts", "ends")
    return [
        list(zip(*(answer[name][row, :count] for name in names), strict=True))
        for row, count in enumerate(answer["num_words"])
    ]


def test_every_word_gets_the_label_of_its_first_token(served, expected):
    answer = ask(served, *TEXTS)
    found = [
        [(w.decode(), x.decode(), *rest) for w, x, *rest in row]
        for row in rows_of(answer)
    ]
    labels = set()
    for row, text in zip(found, TEXTS, strict=True):
        for word, theirs in zip(row, expected(text), strict=True):
            assert word[:2] == theirs[:2] and word[3:] == theirs[3:]
            assert word[2] == pytest.approx(theirs[2], abs=1e-5)
            labels.add(word[1])
    assert len(labels) > 1
    assert len(found[2]) == 70


def test_after_the_words_of_a_text_a_row_is_empty(served):
    answer = ask(served, *TEXTS)
    for row, count in enumerate(answer["num_words"]):
        assert (answer["words"][row, count:] == b"").all()
        assert (answer["labels"][row, count:] == b"").all()
        for name in ("scores", "starts", "ends"):
            assert (answer[name][row, count:] == 0).all()


def test_an_empty_batch_gets_an_empty_answer(served):
    answer = ask(served)
    assert answer.pop("num_words").shape == (0,)
    assert {value.shape for value in answer.values()} == {(0, 0)}
    ids = tf.zeros([0, 5], tf.int32)
    logits = served.functions["token_ids"](
        token_ids=ids, segment_ids=ids, padding_mask=ids
    )
    assert logits["logits"].shape == (0, 5, 3)


def test_a_megabyte_and_invalid_utf8_are_served(served):
    answer = ask(served, b"x" * 2**20, b"\xff\xfe dog \xc3", b"\x00", b"dog \xe2\x82a")
    assert answer["num_words"].tolist() == [1, 1, 0, 2]
    assert answer["words"][0, 0] == b"x" * 2**20
    assert answer["words"][1, 0] == b"dog" and answer["starts"][1, 0] == 3
    text = b"dog \xe2\x82a".decode("utf-8", "replace")
    start, end = answer["starts"][3, 1], answer["ends"][3, 1]
    assert answer["words"][3, 1].decode() == text[start:end]


def test_token_ids_get_the_models_logits_of_any_length(served, tagger):
    rng = np.random.default_rng(0)
    for length in (1, 32, 33, 72):
        inputs = {
            "token_ids": rng.integers(0, 16, (3, length)),
            "segment_ids": rng.integers(0, 2, (3, length)),
            "padding_mask": np.ones((3, length)),
        }
        inputs = {k: tf.constant(v, tf.int32) for k, v in inputs.items()}
        answer = served.functions["token_ids"](**inputs)
        expected = tagger(inputs, training=False)
        np.testing.assert_allclose(answer["logits"], expected, atol=1e-4)


def test_an_id_outside_the_range_is_named(served):
    ids = tf.ones([2, 4], tf.int32)
    message = re.escape(
        "token_ids must be at least 0 and below] [16] [Received:] [16 16"
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served.functions["token_ids"](
            token_ids=16 * ids, segment_ids=ids, padding_mask=ids
        )


@pytest.fixture(scope="module")
def exported(served, tmp_path_factory):
    return export_version(tmp_path_factory.mktemp("saved_models") / "tags", served)


@pytest.mark.slow
def test_the_saved_model_answers_its_own_warm_up(served, exported):
    signatures = tf.saved_model.load(str(exported)).signatures
    for request in served.warmup:
        inputs = {k: tf.constant(v) for k, v in request.inputs.items()}
        answer = signatures[request.signature](**inputs)
        if request.signature == "serving_default":
            assert answer["num_words"].numpy() == len(request.inputs["text"][0].split())
    assert (exported / "assets.extra" / "labels.txt").read_text().split() == list(
        LABELS
    )


@pytest.mark.slow
def test_the_c_library_labels_words(served, exported, c_library):
    sent = [["serving_default", {"text": ["string", [len(TEXTS)], TEXTS]}]]
    (answer,) = c_library(exported, sent)["answers"]
    expected = ask(served, *TEXTS)
    for name in ("words", "labels"):
        assert answer[name][1] == [text.decode() for text in expected[name].ravel()]
    for name in ("starts", "ends", "num_words"):
        assert answer[name][1] == expected[name].ravel().tolist()


@pytest.mark.slow
def test_xla_gives_the_same_answers(serve, served):
    both = served, serve(jit_compile=True)
    ours, compiled = (rows_of(ask(each, *TEXTS)) for each in both)
    for a, b in zip(ours, compiled, strict=True):
        for x, y in zip(a, b, strict=True):
            assert x[:2] == y[:2] and x[3:] == y[3:]
            assert x[2] == pytest.approx(y[2], abs=1e-5)


def test_labels_that_are_not_those_of_the_core_are_refused(serve):
    message = "labels must name each output.* 2 labels and 3 outputs"
    with pytest.raises(ValueError, match=message):
        serve(LABELS[:2])
