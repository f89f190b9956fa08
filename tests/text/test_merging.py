"""Merging in the graph against ten lines of Python, and its table against a dict."""

import random

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.errors import TokenizerError
from tfzoo.text.byte_bpe import long_words, merge_table
from tfzoo.text.byte_bpe.long_words import NO_TOKEN, LongWords
from tfzoo.text.byte_bpe.merging import Merging

LETTERS = 4  # the bytes of the random words


def merged(word, ranks):
    """BPE as defined: the lowest rank first, the leftmost of equal pairs."""
    symbols = list(word)
    while True:
        found = [
            (ranks[pair], place)
            for place, pair in enumerate(zip(symbols, symbols[1:], strict=False))
            if pair in ranks
        ]
        if not found:
            return symbols
        rank, place = min(found)
        symbols[place : place + 2] = [256 + rank]


def random_merges(source, count):
    """Dict of pair -> rank; every pair joins earlier symbols to a new string."""
    text = {letter: (letter,) for letter in range(LETTERS)}
    made, ranks = set(text.values()), {}
    for _ in range(count):
        pair = source.choice(list(text)), source.choice(list(text))
        joined = text[pair[0]] + text[pair[1]]
        if joined not in made:
            made.add(joined)
            text[256 + len(ranks)] = joined
            ranks[pair] = len(ranks)
    return ranks


def table_of(ranks):
    left, right = np.array(list(ranks), np.int64).reshape(-1, 2).T
    return merge_table.merge_table(left, right)


def flat(words):
    ends = np.cumsum([len(word) for word in words]).astype(np.int32)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int32)[: len(words)]
    return np.array([s for word in words for s in word], np.int32), starts, ends


words = st.lists(
    st.lists(st.integers(0, LETTERS - 1), min_size=1, max_size=60)
    | st.tuples(st.integers(0, LETTERS - 1), st.integers(1, 60)).map(
        lambda repeated: [repeated[0]] * repeated[1]
    ),
    max_size=5,
)


@given(seed=st.integers(0, 10**6), words=words)
def test_words_are_merged_as_defined_by_bpe(seed, words):
    ranks = random_merges(random.Random(seed), 30)
    content, starts, ends = flat(words)
    nothing = tf.fill([len(content)], NO_TOKEN)
    symbols = Merging(table_of(ranks))(nothing, content, starts, ends).numpy()
    for word, start, end in zip(words, starts, ends, strict=True):
        found = symbols[start:end]
        assert found[found != NO_TOKEN].tolist() == merged(word, ranks)


@pytest.mark.parametrize(("piece", "window"), [(1, 1), (2, 1), (5, 2), (64, 16)])
@given(seed=st.integers(0, 10**6), words=words)
def test_splitting_words_into_pieces_does_not_change_results(
    piece, window, seed, words
):
    ranks = random_merges(random.Random(seed), 40)
    content, starts, ends = flat(words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_words, "PIECE", piece)
        patch.setattr(long_words, "_WINDOW", window)
        empty = tf.fill([len(content)], NO_TOKEN)
        symbols = LongWords(table_of(ranks))(empty, content, starts, ends).numpy()
    for word, start, end in zip(words, starts, ends, strict=True):
        assert symbols[start] != NO_TOKEN
        found = symbols[start:end]
        assert found[found != NO_TOKEN].tolist() == merged(word, ranks)


def test_borders_that_the_first_window_cannot_fix_are_fixed_later():
    ranks = {(0, 0): 0, (256, 0): 1}  # "aaa...": one more letter shifts every token
    word = [0] * 2001
    empty = tf.fill([len(word)], NO_TOKEN)
    symbols = LongWords(table_of(ranks))(empty, *flat([word])).numpy()
    assert symbols[symbols != NO_TOKEN].tolist() == merged(word, ranks)


@pytest.mark.parametrize("seed", range(3))
def test_the_table_contains_exactly_the_merges(seed):
    source = np.random.default_rng(seed)
    count = 3000
    pairs = {}
    while len(pairs) < count:
        highest = 256 + len(pairs)
        pair = tuple(int(highest * source.random() ** 4) for _ in range(2))
        pairs.setdefault(pair, len(pairs))
    table = table_of(pairs)
    left = np.repeat(np.arange(256 + count), 200)
    right = source.integers(256 + count, size=len(left))
    left = np.concatenate([left, [a for a, _ in pairs]])
    right = np.concatenate([right, [b for _, b in pairs]])
    slots = table.base[left] + right
    found = np.where(table.left[slots] == left, table.made[slots], -1)
    expected = [256 + pairs.get(pair, -257) for pair in zip(left, right, strict=True)]
    np.testing.assert_array_equal(found, expected)


def test_the_table_grows_for_rows_that_do_not_fit():
    source = np.random.default_rng(0)
    left = np.repeat(np.arange(100), 100)
    right = np.concatenate([source.permutation(10_000)[:100] for _ in range(100)])
    table = merge_table.merge_table(left, right)
    np.testing.assert_array_equal(table.left[table.base[left] + right], left)


def test_a_table_over_the_maximum_size_is_refused(monkeypatch):
    monkeypatch.setattr(merge_table, "_MAX_SLOTS", 60_000)
    source = np.random.default_rng(0)
    left = np.repeat(np.arange(100), 100)
    right = np.concatenate([source.permutation(10_000)[:100] for _ in range(100)])
    with pytest.raises(TokenizerError, match="a table of 60000 slots"):
        merge_table.merge_table(left, right)
