"""Answers of the signatures of a question answering model."""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.serving import export_version
from tfzoo.serving.signatures import padded_core
from tfzoo.tasks.answering.served_answers import question_answerer_signatures

MAX_LENGTH, MAX_QUESTION, STRIDE, MAX_ANSWER = 72, 8, 16, 5
QUESTIONS = ["the dog?", "", "a " * 40, "what", "cat"]
MIXED = " ".join(np.random.default_rng(0).choice("dog cat a the".split(), 270))
CONTEXTS = ["the Dog runs fast.", "a cat sleeps", MIXED, "", "\u200b Cats\u0301!"]
KNOWN_QUESTIONS = ["the dog", "", "a " * 40, "fast", "cat"]  # for `whole_words`
KNOWN_CONTEXTS = ["the dog runs fast .", "a cat sleeps", MIXED, "", "cat !"]


@pytest.fixture(scope="module")
def model(encoder):
    """Keras model: a dictionary of ids (B, S) -> logits (B, S, 2)."""
    head = keras.layers.Dense(2, kernel_initializer="random_normal")
    return keras.Model(encoder.inputs, 20 * head(encoder.output["sequence_output"]))


@pytest.fixture(scope="module")
def nothing():
    """A number added to every window's logits of no answer."""
    return tf.Variable(0.0, trainable=False)


@pytest.fixture(scope="module")
def core(model, nothing):
    """The model, which more often finds no answer the larger `nothing` is."""

    def logits(inputs):
        is_first = tf.one_hot(0, tf.shape(inputs["token_ids"])[1])[:, tf.newaxis]
        return model(inputs, training=False) + nothing * is_first

    return logits


@pytest.fixture(scope="module")
def serve(core, tokenizer):
    def signatures(tokenizer=tokenizer, *, jit_compile=False, **options):
        return question_answerer_signatures(
            padded_core(
                core,
                tokenizer,
                max_sequence_length=MAX_LENGTH,
                jit_compile=jit_compile,
            ),
            tokenizer,
            max_answer_length=MAX_ANSWER,
            max_question_length=MAX_QUESTION,
            stride=STRIDE,
            **options,
        )

    return signatures


@pytest.fixture(scope="module")
def served(serve):
    return serve()


@pytest.fixture(scope="module")
def windows(model, tokenizer):
    """Offsets of a context's tokens; of each window, first token and logits (S, 2)."""

    @functools.cache
    def read(question, context):
        head = tokenizer.tokenize(question)[:MAX_QUESTION]
        tokens = tokenizer.encode(context)
        ids, offsets = tokens.token_ids[1:-1], tokens.offsets[1:-1]
        head = [tokenizer.cls_id, *head, tokenizer.sep_id]
        room = MAX_LENGTH - len(head) - 1
        found, first = [], 0
        while True:
            part = ids[first : first + room]
            row = [*head, *part, tokenizer.sep_id]
            segments = [0] * len(head) + [1] * (len(part) + 1)
            inputs = dict(
                token_ids=[row], segment_ids=[segments], padding_mask=[[1] * len(row)]
            )
            inputs = {k: tf.constant(v, tf.int32) for k, v in inputs.items()}
            logits = model(inputs, training=False)[0].numpy().astype(np.float64)
            kept = [0, *range(len(head), len(head) + len(part))]
            found.append((first, logits[kept]))
            if first + room >= len(ids):
                return offsets, found
            first += room - STRIDE

    return read


@pytest.fixture(scope="module")
def expected(windows, nothing):
    """Answer, score, start and end for one question, from each window and span."""

    def best(question, context, unanswerable):
        offsets, found = windows(question, context)
        spans, mass, least = [], np.zeros(2), np.inf
        for first, logits in found:
            none, own = logits[0] + float(nothing), logits[1:]
            mass += np.exp(np.vstack([none, own])).sum(axis=0)
            least = min(least, none.sum())
            for i in range(len(own)):
                for j in range(i, min(i + MAX_ANSWER, len(own))):
                    spans.append((own[i, 0] + own[j, 1], first + i, first + j))
        score, *span = max(spans, default=(-np.inf, 0, 0))
        if not spans or (unanswerable and least > score):
            score = least if unanswerable else -np.inf
            return "", np.exp(score) / mass.prod(), 0, 0
        start, end = offsets[span[0]][0], offsets[span[1]][1]
        return context[start:end], np.exp(score) / mass.prod(), start, end

    return best


def ask(served, questions, contexts):
    answer = served.functions["serving_default"](
        question=tf.constant(questions, tf.string),
        context=tf.constant(contexts, tf.string),
    )
    return {name: value.numpy() for name, value in answer.items()}


def check_answers(answer, expected, columns, *, unanswerable):
    assert sorted(answer) == ["answer", "end", "score", "start"]
    for row, texts in enumerate(zip(*columns, strict=True)):
        text, score, start, end = expected(*texts, unanswerable)
        assert answer["answer"][row].decode() == text
        assert (answer["start"][row], answer["end"][row]) == (start, end)
        assert answer["score"][row] == pytest.approx(score, rel=1e-3, abs=1e-6)


def test_the_best_span_of_all_windows_is_the_answer(served, expected):
    answer = ask(served, QUESTIONS, CONTEXTS)
    columns = QUESTIONS, CONTEXTS
    check_answers(answer, expected, columns, unanswerable=False)
    assert (answer["answer"] != b"").sum() >= 1


def test_no_answer_must_be_more_likely_than_any_answer_in_every_window(
    serve, expected, nothing, whole_words
):
    served, counts = serve(whole_words, unanswerable=True), []
    columns = KNOWN_QUESTIONS, KNOWN_CONTEXTS
    for value in np.linspace(-10, 60, 29):
        nothing.assign(value)
        answer = ask(served, *columns)
        check_answers(answer, expected, columns, unanswerable=True)
        counts.append((answer["answer"] != b"").sum())
    nothing.assign(0.0)
    assert counts[0] > 1 and counts[-1] == 0


def test_a_question_gets_the_same_answer_alone_and_in_a_batch(served):
    together = ask(served, QUESTIONS, CONTEXTS)
    for i in range(len(QUESTIONS)):
        alone = ask(served, QUESTIONS[i : i + 1], CONTEXTS[i : i + 1])
        assert alone["answer"][0] == together["answer"][i]
        assert alone["score"][0] == pytest.approx(together["score"][i], abs=1e-5)


def test_an_empty_batch_gets_an_empty_answer(served):
    assert {value.shape for value in ask(served, [], []).values()} == {(0,)}


def test_there_must_be_as_many_contexts_as_questions(served):
    with pytest.raises(tf.errors.InvalidArgumentError, match="a value for each row"):
        ask(served, ["a"], ["a", "b"])


def test_invalid_utf8_and_long_contexts_are_served(served):
    contexts = [b"\xff dog \xe2\x82 cat", b"dog " * 20_000, b"x" * 2**20]
    answer = ask(served, [b"\xff?"] * 3, contexts)
    for row, context in enumerate(contexts):
        text = context.decode("utf-8", "replace")
        start, end = answer["start"][row], answer["end"][row]
        assert answer["answer"][row].decode() == text[start:end] != ""


def test_token_ids_get_the_models_logits(served, model):
    rng = np.random.default_rng(0)
    inputs = {
        "token_ids": rng.integers(0, 16, (3, 33)),
        "segment_ids": rng.integers(0, 2, (3, 33)),
        "padding_mask": np.ones((3, 33)),
    }
    inputs = {k: tf.constant(v, tf.int32) for k, v in inputs.items()}
    answer = served.functions["token_ids"](**inputs)
    expected = model(inputs, training=False)
    np.testing.assert_allclose(answer["logits"], expected, atol=1e-4)
    message = re.escape("token_ids must be at least 0 and below] [16] [Received:] [")
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        wrong = inputs | {"token_ids": inputs["token_ids"] + 16}
        served.functions["token_ids"](**wrong)


@pytest.fixture(scope="module")
def exported(served, tmp_path_factory):
    return export_version(tmp_path_factory.mktemp("saved_models") / "answers", served)


@pytest.mark.slow
def test_the_saved_model_answers_its_own_warm_up(served, exported):
    signatures = tf.saved_model.load(str(exported)).signatures
    lengths = set()
    for request in served.warmup:
        inputs = {k: tf.constant(v) for k, v in request.inputs.items()}
        answer = signatures[request.signature](**inputs)
        if request.signature == "serving_default":
            lengths.add(len(request.inputs["context"][0].split()) + 3)
            assert answer["answer"].numpy()[0] != b""
    assert lengths == {32, 64, 72}


@pytest.mark.slow
def test_the_c_library_answers_strings(served, exported, c_library):
    inputs = {
        "question": ["string", [len(QUESTIONS)], QUESTIONS],
        "context": ["string", [len(CONTEXTS)], CONTEXTS],
    }
    (answer,) = c_library(exported, [["serving_default", inputs]])["answers"]
    expected = ask(served, QUESTIONS, CONTEXTS)
    assert answer["answer"][1] == [text.decode() for text in expected["answer"]]
    for name in ("start", "end"):
        assert answer[name][1] == expected[name].tolist()


@pytest.mark.slow
def test_xla_gives_the_same_answers(serve, served):
    ours, compiled = (
        ask(s, QUESTIONS, CONTEXTS) for s in (served, serve(jit_compile=True))
    )
    np.testing.assert_array_equal(ours["answer"], compiled["answer"])
    np.testing.assert_allclose(ours["score"], compiled["score"], atol=1e-5)
