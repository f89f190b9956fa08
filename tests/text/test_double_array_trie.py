"""The trie against a dictionary, and matching against ten lines of Python."""

import random

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.text.double_array_trie import ROOT, double_array_trie
from tfzoo.text.wordpiece.longest_match import LongestMatch

NUM_SYMBOLS = 12
keys = st.lists(st.integers(0, NUM_SYMBOLS - 1), min_size=1, max_size=6).map(tuple)


def walk(trie, text):
    """Value and length of the longest key at the start of a text."""
    node = ROOT
    for symbol in text:
        slot = trie.base[node] + symbol
        if trie.check[slot] != node:
            break
        node = slot
    return trie.value[node], trie.length[node]


@given(st.sets(keys, min_size=1, max_size=60), st.lists(keys, max_size=30))
def test_the_longest_key_of_a_text_is_found(known, texts):
    known = sorted(known, key=hash)
    trie = double_array_trie(known, range(len(known)), NUM_SYMBOLS)
    for text in [*texts, *known, *(key + key for key in known)]:
        prefixes = [text[:n] for n in range(len(text), 0, -1)]
        longest = next((p for p in prefixes if p in known), None)
        if longest is None:
            assert walk(trie, text) == (-1, 0)
        else:
            assert walk(trie, text) == (known.index(longest), len(longest))


@given(st.sets(keys, min_size=1, max_size=60))
def test_a_base_plus_any_symbol_is_a_valid_index(known):
    trie = double_array_trie(list(known), range(len(known)), NUM_SYMBOLS)
    assert trie.base.min() >= 0
    assert trie.base.max() + NUM_SYMBOLS <= len(trie.check)
    assert trie.dead + NUM_SYMBOLS <= len(trie.check)
    assert (trie.check[trie.dead :] == -1).all()
    assert trie.depth == max(map(len, known))


def test_thousands_of_keys_are_stored_densely():
    source = random.Random(0)
    known = {
        tuple(int(source.triangular(0, 300, 0)) for _ in range(source.randint(1, 7)))
        for _ in range(8000)
    }
    trie = double_array_trie(list(known), range(len(known)), 300)
    num_nodes = len({key[:n] for key in known for n in range(len(key) + 1)})
    assert len(trie.base) < 1.1 * num_nodes + 1000
    assert all(walk(trie, key)[1] == len(key) for key in known)


def matched(words, tokens, unknown, longest):
    """Greedy longest match as in BERT's code; a token's key starts with 2c + 1."""
    result = []
    for word in words:
        symbols, ids = [word[0] | 1, *word[1:]], []
        while symbols and len(word) <= longest:
            sizes = [
                n for n in range(len(symbols), 0, -1) if tuple(symbols[:n]) in tokens
            ]
            if not sizes:
                break
            ids.append(tokens[tuple(symbols[: sizes[0]])])
            symbols = symbols[sizes[0] :]
        result.append([unknown] if symbols else ids)
    return result


letters = st.integers(0, 4).map(lambda letter: 2 * letter)
words = st.lists(letters, min_size=1, max_size=9)


@pytest.mark.parametrize("longest", [3, 100])
@given(
    st.lists(words, max_size=8), st.lists(st.tuples(words, st.booleans()), max_size=20)
)
def test_words_are_split_as_in_bert(longest, texts, tokens):
    known = {(0,): 0, (3,): 1}
    for token, starts_word in tokens:
        known.setdefault((token[0] | starts_word, *token[1:]), len(known))
    trie = double_array_trie(list(known), list(known.values()), 10)
    match = LongestMatch(trie, unknown_id=99, max_word_length=longest)
    symbols = [s for word in texts for s in (word[0] | 1, *word[1:])]
    ids, places = match(tf.constant(symbols, tf.int32))
    expected = matched(texts, known, 99, longest)
    assert ids.numpy().tolist() == [index for word in expected for index in word]
    assert places.numpy().tolist() == sorted(set(places.numpy().tolist()))
    assert places.dtype == tf.int64
