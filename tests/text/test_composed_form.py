"""Unicode's composed form in a graph, against `tokenizers`."""

import itertools
import random
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import NormalizedString, normalizers

from tfzoo.text.byte_bpe.normalization import ComposedLowerCase
from tfzoo.text.composed_form import ComposedForm

NORMALIZERS = {
    "nfc": normalizers.NFC(),
    "clip": normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]),
}
TELLING = "aeA\u0130\u0300\u0301\u0308\u0323\u0344\u0345\u1100\u1161\u11a8\uac00"
TELLING += "\u0bc6\u0bbe\u0f73\u0334\u05b0\u212b"


@pytest.fixture(scope="module")
def normalize():
    """Functions of texts: the normalized ones, and the origins of their characters."""

    def graph(module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def call(texts):
            code_points = tf.strings.unicode_decode(texts, "UTF-8")
            return module(code_points.flat_values, code_points.row_splits)

        return call

    return {"nfc": graph(ComposedForm()), "clip": graph(ComposedLowerCase())}


def assert_equal_forms(normalize, texts, name="nfc"):
    parts = normalize[name](tf.constant([t.encode() for t in texts], tf.string))
    code_points, splits, origins = (part.numpy().tolist() for part in parts)
    before = 0
    for text, start, end in zip(texts, splits[:-1], splits[1:], strict=True):
        expected = NormalizedString(text)
        NORMALIZERS[name].normalize(expected)
        form = expected.normalized
        assert "".join(map(chr, code_points[start:end])) == form, ascii(text)
        sources = [text[origin - before] for origin in origins[start:end]]
        found = [expected[i : i + 1].original for i in range(len(form))]
        assert sources == found, ascii(text)
        before += len(text)


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_short_texts_have_the_form_and_the_origins_of_the_engine(normalize, step):
    texts = ["".join(t) for n in range(4) for t in itertools.product(TELLING, repeat=n)]
    texts = texts[:500] + texts[500::step]
    assert_equal_forms(normalize, texts)
    assert_equal_forms(normalize, texts[:500], "clip")


@given(st.lists(st.text(TELLING) | st.text(), min_size=1, max_size=5))
def test_any_texts_have_the_form_and_the_origins_of_the_engine(normalize, texts):
    assert_equal_forms(normalize, texts)
    assert_equal_forms(normalize, texts, "clip")


def test_many_marks_on_a_letter_take_few_rounds(normalize):
    assert_equal_forms(normalize, ["a" + "\u0301\u0323" * 300, "", "\u0323\u0301"])


@pytest.mark.slow
def test_every_code_point_has_the_form_of_the_engine(normalize):
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    assert_equal_forms(normalize, characters)
    assert_equal_forms(normalize, characters, "clip")


@pytest.mark.slow
def test_sequences_of_what_composes_have_the_form_of_the_engine(normalize):
    forms = [unicodedata.normalize("NFD", chr(c)) for c in range(0x30000)]
    parts = sorted({p for form in forms if len(form) > 1 for p in form})
    source = random.Random(0)
    texts = ["".join(source.choices(parts, k=k % 9)) for k in range(50_000)]
    assert_equal_forms(normalize, texts)
    texts = [a + b for a in parts for b in source.sample(parts, 100)]
    assert_equal_forms(normalize, texts)
