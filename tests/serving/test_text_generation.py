"""Answers of a served causal language model, against the task in Python."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.serving import text_parts
from tfzoo.serving.request_rows import first_ids, last_ids
from tfzoo.tasks.causal_lm import served_scores, served_texts
from tfzoo.tasks.causal_lm.served_texts import causal_lm_signatures

NEW = 40  # as exported
PROMPTS = [
    "the dog runs",
    "",
    "a cat <|endoftext|>",
    "dog " * 100,
    b"\xff\xfe dog \xc3",
    "na\u00efve\0 cat",
]
NEUTRAL = {
    "max_new_tokens": 12,
    "top_k": 0,
    "seed": 0,
    "temperature": 0.0,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
}
DRAWN = {**NEUTRAL, "temperature": 1.3, "seed": 5}
DTYPES = {"max_new_tokens": "int32", "top_k": "int32", "seed": "int64"}


def texts_of(values):
    return [text.decode() for text in values.numpy()]


@pytest.fixture(scope="module")
def ask(served_causal_lm):
    """Function of rows (prompt, options) that returns their texts and token counts."""

    def ask(*rows):
        options = {
            name: tf.constant(
                [row[name] for _, row in rows], DTYPES.get(name, "float32")
            )
            for name in NEUTRAL
        }
        prompts = tf.constant([prompt for prompt, _ in rows], tf.string)
        answer = served_causal_lm["generate"](prompt=prompts, **options)
        return texts_of(answer["text"]), answer["token_count"].numpy().tolist()

    return ask


@pytest.fixture(scope="module")
def python(causal_lm):
    """The results of `generate` in Python for the prompts."""

    def python(prompts, **options):
        return causal_lm.generate(
            prompts, truncation="left", jit_compile=False, **options
        )

    return python


def test_the_default_equals_generate_in_python(served_causal_lm, python):
    answer = served_causal_lm["serving_default"](prompt=tf.constant(PROMPTS))
    expected = python(PROMPTS, max_new_tokens=NEW)
    assert texts_of(answer["text"]) == expected
    assert len({*expected}) == len(PROMPTS)
    assert sorted(answer) == ["text"]


BEAMS = dict(num_beams=3, length_penalty=2.0, repetition_penalty=1.4)


def test_the_default_may_be_a_beam_search(causal_lm, python):
    functions = causal_lm_signatures(
        causal_lm.backbone, causal_lm.tokenizer, max_new_tokens=8, **BEAMS
    ).functions
    answer = functions["serving_default"](prompt=tf.constant(PROMPTS[:3]))
    expected = python(PROMPTS[:3], max_new_tokens=8, **BEAMS)
    assert texts_of(answer["text"]) == expected
    assert expected != python(PROMPTS[:3], max_new_tokens=8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "jit_compile"),
    [
        (BEAMS, False),
        (dict(num_beams=2, early_stopping=True), True),
        (dict(penalty_alpha=0.6, top_k=5), False),
        (dict(penalty_alpha=0.6), True),
    ],
)
def test_the_default_may_be_another_search(
    causal_lm, python, tmp_path, options, jit_compile
):
    causal_lm.export(tmp_path, max_new_tokens=12, jit_compile=jit_compile, **options)
    served = tf.saved_model.load(tmp_path).signatures["serving_default"]
    expected = python(PROMPTS, max_new_tokens=12, **options)
    assert expected != python(PROMPTS, max_new_tokens=12)
    for prompts in (PROMPTS, PROMPTS[:1], PROMPTS[3:5]):
        answer = served(prompt=tf.constant(prompts))
        assert texts_of(answer["text"]) == [
            expected[PROMPTS.index(prompt)] for prompt in prompts
        ]


def test_every_row_follows_its_own_options_as_in_python(ask, python):
    penalty = {"repetition_penalty": 1.1}  # each set of options is a trace in Python
    several = [
        NEUTRAL,
        {**NEUTRAL, "repetition_penalty": 1.7},
        DRAWN,
        {**DRAWN, "top_k": 3, "top_p": 0.7, "repetition_penalty": 0.8},
        {**DRAWN, "seed": -(2**63), "top_k": 4, "top_p": 0.9, **penalty},
        {
            **DRAWN,
            "max_new_tokens": 33,
            "seed": 2**40,
            "top_p": 0.5,  # alone: the others are neutral
        },
    ]
    texts, counts = ask(*zip(PROMPTS, several, strict=True))
    for prompt, options, text, count in zip(
        PROMPTS, several, texts, counts, strict=True
    ):
        found = python([prompt], return_dict_in_generate=True, **options)[0]
        assert text == found.text
        assert count == len(found.token_ids)


def test_a_row_gets_the_same_text_alone_and_anywhere_in_a_batch(ask):
    row = ("the dog", {**DRAWN, "top_p": 0.9, "max_new_tokens": 30})
    others = [(p, {**DRAWN, "seed": i, "top_k": i}) for i, p in enumerate(PROMPTS)]
    alone = ask(row)[0][0]
    assert alone
    for place in range(len(others) + 1):
        batch = [*others[:place], row, *others[place:]]
        assert ask(*batch)[0][place] == alone
    assert ask((row[0], {**row[1], "seed": 6}))[0][0] != alone


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("max_new_tokens", [(-1, 0), (-(2**31), 0), (NEW + 1, NEW), (2**31 - 1, NEW)]),
        ("top_k", [(-5, 0), (10**9, 0), (281, 0)]),
        ("temperature", [(-1.0, 0), (1e-30, 0), (-INF, 0), (NAN, 1), (INF, 1e4)]),
        ("top_p", [(-1.0, 0), (0.0, 1e-9), (7.0, 1), (NAN, 1), (INF, 1), (-INF, 0)]),
        ("repetition_penalty", [(0.0, 0.01), (-3, 0.01), (INF, 100), (NAN, 1)]),
    ],
)
def test_a_value_out_of_range_is_clipped(ask, name, pairs):
    bad, good = (
        ask(*[("a dog", {**DRAWN, name: pair[i]}) for pair in pairs]) for i in (0, 1)
    )
    assert bad == good


def test_a_row_out_of_range_does_not_affect_others(ask):
    worst = {
        "max_new_tokens": -7,
        "top_k": -1,
        "seed": -1,
        "temperature": NAN,
        "top_p": NAN,
        "repetition_penalty": NAN,
    }
    row = ("the cat", {**DRAWN, "top_k": 20, "repetition_penalty": 1.1})
    texts, counts = ask(("a", worst), row, (b"\xff", {**worst, "max_new_tokens": 5}))
    assert [texts[1]] == ask(row)[0]
    assert counts[0] == 0 and texts[0] == ""
    assert 0 < counts[2] <= 5


def test_an_empty_batch_gets_no_answers(served_causal_lm):
    empty = tf.zeros([0], tf.string)
    assert served_causal_lm["serving_default"](prompt=empty)["text"].shape == (0,)
    options = {name: tf.zeros([0], DTYPES.get(name, "float32")) for name in NEUTRAL}
    answer = served_causal_lm["generate"](prompt=empty, **options)
    assert answer["text"].shape == answer["token_count"].shape == (0,)
    answer = served_causal_lm["score"](text=empty)
    assert answer["log_probability"].shape == answer["token_count"].shape == (0,)


def test_the_end_of_a_megabyte_is_continued(served_causal_lm, python):
    end = "the dog sleeps. " * 30
    texts = ["x" * 2**20 + end, "y" * 2**20]
    answer = served_causal_lm["serving_default"](prompt=tf.constant(texts))
    assert texts_of(answer["text"]) == python([end, "y" * 99], max_new_tokens=NEW)
    scores = served_causal_lm["score"](text=tf.constant(texts))
    assert scores["token_count"].numpy().tolist() == [72, 72]


def test_inputs_of_different_sizes_are_refused_and_the_next_is_answered(
    served_causal_lm, ask
):
    options = {
        name: tf.constant([value, value], DTYPES.get(name, "float32"))
        for name, value in NEUTRAL.items()
    }
    message = r"prompt, .* must have a value for each row. Received:\] \[1 2 2 2 2 2 2"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served_causal_lm["generate"](prompt=tf.constant(["a"]), **options)
    assert ask(("a", NEUTRAL))[1] == [12]


def test_scores_equal_those_in_python(served_causal_lm, causal_lm):
    texts = ["the dog runs", "", b"\xff cat", "a cat <|endoftext|>"]
    answer = served_causal_lm["score"](text=tf.constant(texts))
    expected = causal_lm.score(texts)
    assert answer["token_count"].numpy().tolist() == [
        len(score["token_ids"]) for score in expected
    ]
    np.testing.assert_allclose(
        answer["log_probability"],
        [score["log_probability"] for score in expected],
        rtol=1e-5,
    )


def test_the_beginning_of_a_long_text_is_scored(served_causal_lm, causal_lm):
    text = "the dog runs. " * 40
    answer = served_causal_lm["score"](text=tf.constant([text]))
    first = causal_lm.score(text)["log_probabilities"][:72]
    assert answer["token_count"].numpy().tolist() == [72]
    np.testing.assert_allclose(answer["log_probability"], [first.sum()], rtol=1e-5)


@pytest.mark.slow
def test_a_model_compiled_by_xla_answers_the_same(
    causal_lm, served_causal_lm, tmp_path
):
    causal_lm.export(tmp_path / "xla", max_new_tokens=NEW, jit_compile=True)
    compiled = tf.saved_model.load(tmp_path / "xla").signatures
    for prompts in (PROMPTS[:3], PROMPTS, []):
        prompts = tf.constant(prompts, tf.string)
        answers = [
            texts_of(signatures["serving_default"](prompt=prompts)["text"])
            for signatures in (compiled, served_causal_lm)
        ]
        assert answers[0] == answers[1]
        scores = [
            signatures["score"](text=prompts)["log_probability"]
            for signatures in (compiled, served_causal_lm)
        ]
        np.testing.assert_allclose(*scores, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(max_new_tokens=72), "context of 72 tokens.*72 new"),
        (dict(max_new_tokens=0), "max_new_tokens must be .*at least 1.*Received: 0"),
        (dict(temperature=-1.0), "temperature must be .*at least 0.*Received: -1"),
        (dict(temperature=1.0, top_k=281), "top_k must be at most .*280.*281"),
        (dict(top_p=1.5), "top_p must be .*Received: 1.5"),
        (dict(temperature=1.0, seed=2**63), "seed must be .*64-bit"),
        (dict(num_beams=2, top_p=0.5), "num_beams must be 1 with sampling.*top_p"),
        (dict(num_beams=0), "num_beams must be .*Received: 0"),
        (dict(length_penalty=2.0), "num_beams must be above 1.*length_penalty"),
        (
            dict(penalty_alpha=0.5, temperature=0.7),
            "not with beams or sampling.*temperature",
        ),
    ],
    ids=str,
)
def test_invalid_defaults_are_refused(causal_lm, options, words):
    with pytest.raises(ValueError, match=words):
        causal_lm_signatures(causal_lm.backbone, causal_lm.tokenizer, **options)


def test_rows_of_ids_keep_their_last_or_first_ids():
    rows = [[1, 2, 3], [], [4], [5, 6]]
    ids = tf.ragged.constant(rows, dtype=tf.int32)
    dense, counts = last_ids(ids, tf.constant([2, 5, 0, 2]), 9)
    assert dense.numpy().tolist() == [[2, 3], [9, 9], [9, 9], [5, 6]]
    assert counts.numpy().tolist() == [2, 1, 1, 2]
    dense, counts = last_ids(ids, tf.constant([2, 5, 1, 4]), 9, first=[7])
    assert [
        row[:count] for row, count in zip(dense.numpy().tolist(), counts, strict=True)
    ] == [[7, 3], [7], [7], [7, 5, 6]]
    dense, counts = last_ids(ids[:0], 4, 9, first=[7])
    assert dense.shape[0] == 0 and counts.shape == (0,)
    dense, counts = first_ids(ids, 2, 9)
    assert dense.numpy().tolist() == [[1, 2], [9, 9], [4, 9], [5, 6]]
    assert counts.numpy().tolist() == [2, 0, 1, 2]
    dense, counts = first_ids(ids[:0], 2, 9)
    assert dense.shape == (0, 1) and counts.shape == (0,)


@pytest.mark.slow
def test_rows_get_the_same_text_in_parts(causal_lm, served_causal_lm, monkeypatch):
    prompts = tf.constant([p for p in PROMPTS for _ in range(3)] + ["dog"] * 5)

    def answers(signatures):
        return (
            texts_of(signatures["serving_default"](prompt=prompts)["text"]),
            signatures["score"](text=prompts),
        )

    together, scores = answers(served_causal_lm)
    monkeypatch.setattr(served_texts, "PART_BYTES", 1 << 16)
    monkeypatch.setattr(served_scores, "PART", 100)
    monkeypatch.setattr(served_scores, "TOKENS_AT_ONCE", 7)
    monkeypatch.setattr(text_parts, "TEXT_PART", 100)
    in_parts, their_scores = answers(
        causal_lm_signatures(
            causal_lm.backbone, causal_lm.tokenizer, max_new_tokens=NEW
        ).functions
    )
    assert in_parts == together
    assert len({*together}) == len(PROMPTS) + 1
    np.testing.assert_array_equal(scores["token_count"], their_scores["token_count"])
    np.testing.assert_allclose(
        scores["log_probability"], their_scores["log_probability"], rtol=1e-4
    )
