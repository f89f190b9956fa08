"""Each processor against NumPy, and against that of `transformers` where it has one."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.generation import processors
from tfzoo.generation.history import appended, history_of_prompts
from tfzoo.generation.processors import PENALTIES, WARPERS, processed

XLA = pytest.param(True, marks=pytest.mark.slow)
B, V = 3, 11
PROMPTS = [[1, 2, 3, 1, 2], [4, 4, 4], [7]]
NEW = [[3, 1, 2], [4, 9, 4], [7, 7, 5]]
TOKENS = [p + n for p, n in zip(PROMPTS, NEW, strict=True)]


@pytest.fixture(scope="module")
def history():
    width = 12
    rows = tf.constant([row + [0] * (width - len(row)) for row in PROMPTS], tf.int32)
    history = history_of_prompts(rows, tf.constant([len(p) for p in PROMPTS]), V)
    for column in zip(*NEW, strict=True):
        history = appended(history, tf.constant(column), tf.ones([B], tf.bool))
    return history


@pytest.fixture(scope="module")
def logits():
    return np.random.default_rng(0).normal(size=(B, V)).astype(np.float32) * 2


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def floats(*values):
    return tf.constant(values, tf.float32)


def rule(name, *values):
    """The value of a rule as `processed` expects it, for the rows of these tests."""
    if name == "top_k":
        return tf.constant(values, tf.int32)
    return floats(*values)


def repetition(row, i, value):
    seen = np.isin(np.arange(V), TOKENS[i])
    return np.where(seen, np.where(row < 0, row * value, row / value), row)


def presence(row, i, value):
    return row - value * np.isin(np.arange(V), NEW[i])


def frequency(row, i, value):
    return row - value * np.bincount(NEW[i], minlength=V)


def top_k(row, i, value):
    return np.where(row >= np.sort(row)[-value] if value else True, row, -np.inf)


def top_p(row, i, value):
    order = np.argsort(-row)
    before = np.cumsum(softmax(row)[order]) - softmax(row)[order]
    kept = order[before < value]
    return np.where(np.isin(np.arange(V), kept), row, -np.inf)


def min_p(row, i, value):
    p = softmax(row)
    return np.where(p < value * p.max(), -np.inf, row)


def typical_p(row, i, value):
    p = softmax(row)
    distance = np.abs(-np.log(p) - (-(p * np.log(p)).sum()))
    order = np.argsort(distance)
    before = np.cumsum(p[order]) - p[order]
    return np.where(np.isin(np.arange(V), order[before < value]), row, -np.inf)


CASES = {
    "repetition_penalty": (repetition, (1.5, 1.0, 0.7)),
    "presence_penalty": (presence, (0.5, 0.0, -1.0)),
    "frequency_penalty": (frequency, (0.5, 0.0, -1.0)),
    "temperature": (lambda row, i, t: row / t, (0.5, 1.0, 3.0)),
    "top_k": (top_k, (3, 0, 1)),
    "top_p": (top_p, (0.6, 1.0, 0.05)),
    "min_p": (min_p, (0.2, 0.0, 1.0)),
    "typical_p": (typical_p, (0.5, 1.0, 0.9)),
}


@pytest.mark.parametrize("jit_compile", [False, XLA])
@pytest.mark.parametrize("name", CASES)
def test_equals_numpy_with_a_value_for_each_row(name, history, logits, jit_compile):
    function, values = CASES[name]

    @tf.function(autograph=False, jit_compile=jit_compile)
    def ours(logits, history, value):
        return getattr(processors, name)(logits, history, value)

    found = ours(tf.constant(logits), history, rule(name, *values))
    expected = [function(logits[i], i, values[i]) for i in range(B)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, XLA])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_no_ngram_is_repeated(n, history, logits, jit_compile):
    ours = tf.function(
        processors.no_repeat_ngram, autograph=False, jit_compile=jit_compile
    )
    found = ours(tf.constant(logits), history, tf.range(n)).numpy()
    for row, tokens in zip(found, TOKENS, strict=True):
        grams = {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}
        last = tuple(tokens[len(tokens) - n + 1 :])
        banned = {t for t in range(V) if (*last, t) in grams}
        assert set(np.flatnonzero(row == -np.inf)) == banned


def test_the_last_token_of_a_bad_word_is_forbidden(history, logits):
    words = [[1, 2, 6], [-1, 4, 0], [-1, 5, 10], [-1, 2, 9], [-1, 9, 3]]
    found = processors.bad_words(logits, history, tf.constant(words)).numpy()
    banned = [set(np.flatnonzero(row == -np.inf)) for row in found]
    assert banned == [{6, 9}, {0}, {10}]


def test_a_bad_word_longer_than_the_history_forbids_nothing(logits):
    short = history_of_prompts(tf.constant([[4, 0, 0]]), tf.constant([1]))
    words = tf.constant([[4, 4, 4, 3], [-1, 4, 4, 2]])
    found = processors.bad_words(logits[:1], short, words)
    np.testing.assert_array_equal(found, logits[:1])


def test_bad_ids_are_forbidden(history, logits):
    bad = tf.constant([t in (2, 5) for t in range(V)])
    found = processors.bad_ids(logits, history, bad).numpy()
    assert np.array_equal(np.flatnonzero(found[1] == -np.inf), [2, 5])


def test_end_tokens_are_forbidden_before_the_minimum(history, logits):
    end = tf.constant([3, 4, 0]), tf.constant([6, 8])
    found = processors.min_new_tokens(logits, history, end).numpy()
    banned = [np.flatnonzero(row == -np.inf).tolist() for row in found]
    assert banned == [[], [6, 8], []]


def test_ties_are_kept_together():
    row = tf.constant([[0.0, 1.0, 1.0, 1.0, -1.0]])
    found = processors.top_k(row, None, tf.constant([2])).numpy()
    assert np.isfinite(found[0]).tolist() == [False, True, True, True, False]


def test_forbidden_tokens_stay_forbidden_after_every_warper():
    row = tf.constant([[0.5, -np.inf, 0.25, -np.inf]])
    values = {"temperature": 2.0, "top_k": 3, "top_p": 0.99, "min_p": 0.0}
    rules = {name: rule(name, value) for name, value in values.items()}
    rules["typical_p"] = floats(0.99)
    found = processed(row, None, rules, WARPERS).numpy()
    assert np.isfinite(found[0]).tolist() == [True, False, True, False]


def test_temperature_0_leaves_the_row_unchanged(logits):
    found = processors.temperature(logits, None, floats(0.0, 0.0, 0.0))
    np.testing.assert_array_equal(found, logits)


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_hold_for_large_and_tiny_numbers(seed):
    rng = np.random.default_rng(seed)
    row = (rng.normal(size=(1, 400)) * 10.0 ** rng.integers(-30, 30, 400)).astype("f4")
    for k in (1, 7, 399, 400):
        found = processors.top_k(row, None, tf.constant([k])).numpy()
        np.testing.assert_array_equal(found[0], top_k(row[0], 0, k))


@pytest.mark.parity
@pytest.mark.parametrize("jit_compile", [False, XLA])
def test_processors_equal_those_of_transformers(history, logits, jit_compile):
    torch = pytest.importorskip("torch")
    hf = pytest.importorskip("transformers")
    pairs = {
        "repetition_penalty": (1.5, hf.RepetitionPenaltyLogitsProcessor(1.5)),
        "no_repeat_ngram": (2, hf.NoRepeatNGramLogitsProcessor(2)),
        "temperature": (0.7, hf.TemperatureLogitsWarper(0.7)),
        "top_k": (4, hf.TopKLogitsWarper(4)),
        "top_p": (0.7, hf.TopPLogitsWarper(0.7)),
        "min_p": (0.3, hf.MinPLogitsWarper(0.3)),
        "typical_p": (0.6, hf.TypicalLogitsWarper(0.6)),
    }
    for name, (value, theirs) in pairs.items():
        ours = {**PENALTIES, **WARPERS}[name]
        if name == "no_repeat_ngram":
            value = tf.range(value)
        else:
            value = rule(name, *[value] * B)
        function = tf.function(ours, autograph=False, jit_compile=jit_compile)
        found = function(tf.constant(logits), history, value).numpy()
        for i, tokens in enumerate(TOKENS):
            expected = theirs(torch.tensor([tokens]), torch.tensor(logits[i : i + 1]))
            np.testing.assert_allclose(found[i], expected[0], rtol=1e-5, err_msg=name)


def test_the_order_of_processors_is_that_of_transformers():
    names = [*PENALTIES, *WARPERS]
    known = ["repetition_penalty", "no_repeat_ngram", "bad_words", "min_new_tokens"]
    known += ["temperature", "top_k", "top_p", "min_p", "typical_p"]
    assert [name for name in names if name in known] == known
