"""Large requests are computed in parts, which changes memory but not the answers."""

import json

import numpy as np
import pytest
import tensorflow as tf

from helpers import random_weights
from tfzoo.families import BertEncoder
from tfzoo.serving import core, text_parts
from tfzoo.tasks import (
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
)
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer

LINES = ["the dog runs fast.", "a cat sleeps, a dog runs."] * 5
TEXTS = [
    "",
    "the dog [MASK] fast",
    b"\xff\xfe cat \xc3",
    "a cat\0 sleeps",
    "dog, " * 60,
    "x" * 300,
    "[MASK][MASK] dog",
    "\u200b na\u00efve \u72d7",
    "  ",
] * 3


def task_of(kind, tokenizer):
    encoder = BertEncoder(
        tokenizer.vocabulary_size, 1, 2, 16, 32, max_sequence_length=40
    )
    random_weights(encoder, 0.5, seed=7)
    labels = [["a", "b", "O"]] if kind in (TextClassifier, TokenClassifier) else []
    return kind(encoder, tokenizer, *labels)


def ask(function, texts):
    names = [x.name for x in tf.nest.flatten(function.structured_input_signature)]
    answer = function(**{name: tf.constant(texts, tf.string) for name in names})
    return {name: value.numpy() for name, value in answer.items()}


def check_parts(task, monkeypatch, **options):
    """One piece, parts, and single rows give the same results up to rounding."""
    whole = ask(task.served(**options).functions["serving_default"], TEXTS)
    monkeypatch.setattr(core, "PART", 64)
    monkeypatch.setattr(text_parts, "TEXT_PART", 100)
    function = task.served(**options).functions["serving_default"]
    in_parts = ask(function, TEXTS)
    alone = [ask(function, [text]) for text in TEXTS[:9]]
    assert sorted(in_parts) == sorted(whole)
    for name, value in whole.items():
        assert in_parts[name].shape == value.shape
        check_equal(in_parts[name], value)
        for i, answer in enumerate(alone):
            # The result of a row; the batch may add padding.
            rest = value[i]
            for axis, size in enumerate(answer[name].shape[1:]):
                rest = np.take(rest, np.arange(size), axis)
            check_equal(answer[name][0], rest)
    assert len(ask(function, [])[name]) == 0


def check_equal(found, expected):
    if np.asarray(found).dtype == np.float32:
        np.testing.assert_allclose(found, expected, atol=1e-5)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def wordpiece():
    return WordPieceTokenizer.train(LINES, vocabulary_size=60, progress=False)


@pytest.fixture(scope="module")
def byte_bpe():
    names = {name: f"<{name}>" for name in ("pad", "unknown", "cls", "sep")}
    tokens = {f"{name}_token": token for name, token in names.items()}
    return ByteBPETokenizer.train(
        LINES, vocabulary_size=290, mask_token="[MASK]", progress=False, **tokens
    )


@pytest.mark.slow
def test_a_classifier_gives_the_same_answers_in_parts(wordpiece, monkeypatch):
    check_parts(task_of(TextClassifier, wordpiece), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("words", ["wordpiece", "byte_bpe"])
@pytest.mark.parametrize(
    "kind", [TextClassifier, TokenClassifier, QuestionAnswerer, MaskedLM, TextEmbedder]
)
def test_every_task_gives_the_same_answers_in_parts(
    kind, words, jit_compile, monkeypatch, request
):
    task = task_of(kind, request.getfixturevalue(words))
    check_parts(task, monkeypatch, jit_compile=jit_compile)


def test_parts_of_text_are_limited_by_bytes(monkeypatch):
    monkeypatch.setattr(text_parts, "TEXT_PART", 100)
    sizes = [0, 300, 20, 20, 60, 0, 0, 0, 84, 85, 500]
    texts = tf.constant([b"x" * size for size in sizes])
    found = text_parts.text_in_parts(
        lambda part: {"texts": part["a"], "rows": tf.size(part["a"])[None]},
        {"a": texts},
    )
    np.testing.assert_array_equal(found["texts"], texts)
    assert found["rows"].numpy().tolist() == [1, 1, 2, 2, 2, 1, 1, 1]


MEMORY = """
import json, pathlib, sys
import tensorflow as tf
ask = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
ask(text=tf.constant(["dog"]))

def memory(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split(name + ":")[1].split()[0]) * 1024

for rows, text in json.loads(sys.argv[2]):
    before = memory("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    ask(text=tf.constant([text[0] * text[1]] * rows))
    print(memory("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_large_request_takes_no_more_than_500_mb(
    jit_compile, wordpiece, python, tmp_path
):
    encoder = BertEncoder(
        wordpiece.vocabulary_size, 4, 4, 256, 1024, max_sequence_length=128
    )
    task = TextClassifier(encoder, wordpiece, ["a", "b"])
    version = task.export_version(tmp_path, jit_compile=jit_compile)
    requests = [
        (10_000, ["", 1]),
        (10_000, ["dog ", 5]),
        (32, ["dog ", 1 << 18]),
        (32, ["dog", 350_000]),
        (32, [". ", 1 << 19]),
    ]
    printed = python("-c", MEMORY, version, json.dumps(requests))
    peaks = [int(line) for line in printed.split()]
    assert len(peaks) == len(requests)
    assert max(peaks) < 500e6, peaks
