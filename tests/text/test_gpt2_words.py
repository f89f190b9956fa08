"""GPT-2's pattern as vector operations, against the pre-tokenizer of `tokenizers`."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from tfzoo.text.byte_bpe.code_point_kinds import (
    CLASS,
    KIND,
    LENGTH_SHIFT,
    LETTER,
    NUMBER,
    OTHER,
    SPACE,
    code_point_entries,
)
from tfzoo.text.byte_bpe.gpt2_words import word_starts
from tfzoo.text.wordpiece import codepoint_tables
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable

SPLIT = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
TELLING = "a s t m d r e v l 1 ' ! \n \u00a0 \u4e00 \u00bd".split(" ") + [" ", "'"]


@pytest.fixture(scope="module")
def entries():
    return CodePointTable(*code_point_entries())


def starts_of(entries, texts):
    code_points = tf.strings.unicode_decode(tf.constant(texts, tf.string), "UTF-8")
    kinds = entries(code_points.flat_values) & KIND
    starts = word_starts(code_points.flat_values, kinds, code_points.row_splits)
    return starts.numpy().tolist()


def expected_starts(texts):
    starts, offset = [], 0
    for text in texts:
        starts += [offset + start for _, (start, _) in SPLIT(text)]
        offset += len(text)
    return starts


def test_all_short_texts_of_special_characters_are_split_as_in_the_engine(entries):
    texts = [
        "".join(t)
        for n in range(4)
        for t in itertools.product(dict.fromkeys(TELLING), repeat=n)
    ]
    assert len(texts) > 4000
    assert starts_of(entries, texts) == expected_starts(texts)


@given(
    st.lists(
        st.text(st.sampled_from(TELLING), max_size=12)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        max_size=5,
    )
)
def test_texts_of_a_batch_are_split_as_in_the_engine(entries, texts):
    assert starts_of(entries, texts) == expected_starts(texts)


@pytest.mark.slow
def test_code_points_are_classified_as_in_the_engine(entries):
    code_points = np.arange(codepoint_tables.NUM_CODE_POINTS, dtype=np.int32)
    classes = entries(code_points).numpy() & CLASS
    for code_point in code_points:
        if not 0xD800 <= code_point < 0xE000:
            joins = {
                kind: len(SPLIT(before + chr(code_point))) == 1
                for kind, before in ((LETTER, "a"), (NUMBER, "1"), (OTHER, "!"))
            }
            expected = [kind for kind in joins if joins[kind]] or [SPACE]
            assert [classes[code_point]] == expected, hex(code_point)


def test_an_entry_has_the_length_in_utf8(entries):
    code_points = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF]
    lengths = (entries(tf.constant(code_points)).numpy() >> LENGTH_SHIFT) + 1
    assert lengths.tolist() == [len(chr(c).encode()) for c in code_points]
