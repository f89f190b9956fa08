"""Merging in the graph against ten lines of Python and against `tokenizers`."""

import itertools
import random

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models

from tfzoo.errors import TokenizerError
from tfzoo.text import sparse_rows
from tfzoo.text.byte_bpe import long_words, merge_table
from tfzoo.text.byte_bpe.long_words import LongWords
from tfzoo.text.byte_bpe.merging import Merging
from tfzoo.text.byte_bpe.tables import NO_TOKEN

LETTERS = "abcd"


def merged(word, ranks):
    """BPE as defined: the lowest rank first, the leftmost of equal pairs."""
    tokens = list(word)
    while True:
        found = [
            (ranks[pair], place)
            for place, pair in enumerate(itertools.pairwise(tokens))
            if pair in ranks
        ]
        if not found:
            return tokens
        _, place = min(found)
        tokens[place : place + 2] = ["".join(tokens[place : place + 2])]


def learned_merges(source, count):
    """Dict of pair -> rank; every pair joins earlier tokens to a new one."""
    tokens, ranks = list(LETTERS), {}
    for _ in range(count):
        pair = source.choice(tokens), source.choice(tokens)
        if "".join(pair) not in tokens:
            tokens.append("".join(pair))
            ranks[pair] = len(ranks)
    return ranks


def every_split(source, count):
    """Such merges with every way to split a token, in the order of Llama 3's."""
    tokens = [*LETTERS, *map("".join, learned_merges(source, count))]
    pairs = [
        (token[:place], token[place:])
        for token in tokens
        for place in range(1, len(token))
        if {token[:place], token[place:]} <= set(tokens)
    ]
    return {pair: rank for rank, pair in enumerate(pairs)}


def any_order(source, count):
    """The same merges in any order, which no training would give."""
    pairs = list(every_split(source, count))
    source.shuffle(pairs)
    return {pair: rank for rank, pair in enumerate(pairs)}


kinds = st.sampled_from([learned_merges, every_split, any_order])


def numbers_of(ranks):
    """Dict of token -> id."""
    return {t: i for i, t in enumerate(dict.fromkeys([*LETTERS, *map("".join, ranks)]))}


def table_of(ranks):
    ids = numbers_of(ranks)
    triples = [(ids[a], ids[b], ids[a + b]) for a, b in ranks]
    left, right, made = np.array(triples, np.int64).reshape(-1, 3).T
    return merge_table.merge_table(left, right, made, len(ids))


def tokens_of(engine, words, ranks):
    """The tokens that `Merging` or `LongWords` makes of words."""
    tokens = list(numbers_of(ranks))
    single, starts, ends = flat(words)
    nothing = tf.fill([len(single)], NO_TOKEN)
    found = engine(table_of(ranks))(nothing, single, starts, ends).numpy()
    bounds = zip(starts, ends, strict=True)
    words = [[i for i in found[start:end] if i != NO_TOKEN] for start, end in bounds]
    return [[tokens[i] for i in word] for word in words]


def flat(words):
    ends = np.cumsum([len(word) for word in words]).astype(np.int32)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int32)[: len(words)]
    single = np.array([LETTERS.index(c) for word in words for c in word], np.int32)
    return single, starts, ends


words = st.lists(
    st.text(LETTERS, min_size=1, max_size=60)
    | st.builds(
        str.__mul__, st.text(LETTERS, min_size=1, max_size=3), st.integers(1, 20)
    ),
    max_size=5,
)


@given(kind=kinds, seed=st.integers(0, 10**6), words=words)
def test_words_are_merged_as_defined_by_bpe(kind, seed, words):
    ranks = kind(random.Random(seed), 30)
    assert tokens_of(Merging, words, ranks) == [merged(word, ranks) for word in words]


@given(kind=kinds, seed=st.integers(0, 10**6), words=words)
def test_the_definition_is_that_of_the_rust_engine(kind, seed, words):
    ranks = kind(random.Random(seed), 30)
    model = models.BPE(numbers_of(ranks), list(ranks))
    for word in words:
        assert [t.value for t in model.tokenize(word)] == merged(word, ranks)


@pytest.mark.parametrize(
    ("piece", "window"),
    [
        (1, 1),
        (5, 2),
        pytest.param(2, 1, marks=pytest.mark.slow),
        pytest.param(64, 16, marks=pytest.mark.slow),
    ],
)
@given(kind=kinds, seed=st.integers(0, 10**6), words=words)
def test_splitting_words_into_pieces_does_not_change_results(
    kind, piece, window, seed, words
):
    ranks = kind(random.Random(seed), 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_words, "PIECE", piece)
        patch.setattr(long_words, "_WINDOW", window)
        found = tokens_of(LongWords, words, ranks)
    assert found == [merged(word, ranks) for word in words]


@pytest.mark.slow
def test_all_orders_of_a_few_merges_are_exact_for_all_short_words():
    pairs = [("a", "b"), ("b", "a"), ("ab", "a"), ("a", "ba"), ("aba", "b")]
    words = [
        "".join(word) for n in range(1, 8) for word in itertools.product("ab", repeat=n)
    ]
    leading_back = 0
    for some in itertools.permutations(pairs):
        ranks = {pair: rank for rank, pair in enumerate(some)}
        leading_back += table_of(ranks).leads_back.any()
        assert tokens_of(Merging, words, ranks) == [merged(w, ranks) for w in words]
    assert leading_back > 100


def test_a_merge_that_leads_back_to_a_lower_rank_is_not_repeated_before_it():
    ranks = {("ab", "a"): 0, ("a", "b"): 1}  # "abab": "aba" and "b", not "ab" and "ab"
    assert tokens_of(Merging, ["abab"], ranks) == [["aba", "b"]]


def test_borders_that_the_first_window_cannot_fix_are_fixed_later():
    ranks = {("a", "a"): 0, ("aa", "a"): 1}  # one more letter shifts every token
    for word in ("a" * 2001, "b" + "a" * 2001):
        assert tokens_of(LongWords, [word], ranks) == [merged(word, ranks)]


@pytest.mark.parametrize("seed", range(3))
def test_the_table_contains_exactly_the_merges(seed):
    source = np.random.default_rng(seed)
    size, count = 5000, 3000
    pairs = {}
    while len(pairs) < count:
        pair = tuple(int(size * source.random() ** 4) for _ in range(2))
        pairs.setdefault(pair, len(pairs))
    table = table_with(*np.array(list(pairs)).T, size)
    left = np.repeat(np.arange(size), 100)
    right = source.integers(size, size=len(left))
    left = np.concatenate([left, [a for a, _ in pairs]])
    right = np.concatenate([right, [b for _, b in pairs]])
    slots = table.base[left] + right
    found = np.where(table.left[slots] == left, table.rank[slots], -1)
    expected = [pairs.get(pair, -1) for pair in zip(left, right, strict=True)]
    np.testing.assert_array_equal(found, expected)


def table_with(left, right, size=10_000):
    return merge_table.merge_table(left, right, np.zeros_like(left), size)


def test_the_table_grows_for_rows_that_do_not_fit():
    source = np.random.default_rng(0)
    left = np.repeat(np.arange(100), 100)
    right = np.concatenate([source.permutation(10_000)[:100] for _ in range(100)])
    table = table_with(left, right)
    np.testing.assert_array_equal(table.left[table.base[left] + right], left)


def test_a_table_over_the_maximum_size_is_refused(monkeypatch):
    monkeypatch.setattr(sparse_rows, "_MAX_SLOTS", 40_000)
    source = np.random.default_rng(0)
    left = np.repeat(np.arange(100), 100)
    right = np.concatenate([source.permutation(10_000)[:100] for _ in range(100)])
    with pytest.raises(TokenizerError, match="an array of 40000 slots"):
        table_with(left, right)
