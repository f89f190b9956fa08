"""Greedy longest match of tokens in words, for many words at once, in TensorFlow.

All words form one stream of M symbols; a symbol that starts a word has its lowest bit
set. Tokens in the trie that can start a word have that bit in their first symbol, and
no other symbol has it, so that no token extends into the next word.

Source: the maximum matching of BERT's `tokenization.py`, Devlin et al. 2018,
https://github.com/google-research/bert
"""

import tensorflow as tf

from tfzoo.text.double_array_trie import NO_VALUE, ROOT
from tfzoo.text.trie_walk import TrieWalk
from tfzoo.text.vectors import where, with_value

_FIRST = 1  # the lowest bit


class LongestMatch(tf.Module):
    """Splits words into tokens.

    Args:
        trie: `DoubleArrayTrie` of the tokens, with their ids as values.
        unknown_id: Id of a word that greedy matching cannot split into tokens.
        max_word_length: Maximum number of symbols of a word; longer ones are unknown.

    Call arguments:
        symbols: int32 (M,).

    Returns:
        ids: int32 (T,), ids of the T tokens.
        places: int64 (T,), positions of their first symbols.
    """

    def __init__(self, trie, unknown_id, max_word_length):
        super().__init__(name="longest_match")
        self._unknown_id, self._max_word_length = unknown_id, max_word_length
        self._walk = TrieWalk(trie, outside=_FIRST)

    def __call__(self, symbols):
        node = self._walk.from_all(symbols)
        is_first = tf.cast(
            tf.pad(symbols, [[0, 1]], constant_values=_FIRST) & _FIRST, tf.bool
        )
        bounds = tf.cast(where(is_first), tf.int32)
        starts, lengths = bounds[:-1], bounds[1:] - bounds[:-1]
        too_long = tf.gather(starts, where(lengths > self._max_word_length))
        node = with_value(node, too_long, value=ROOT)
        places = self._follow(starts, node, is_first)
        ids = tf.gather(self._walk.value, tf.gather(node, places))
        starts_word = tf.gather(is_first, places)
        word = tf.cumsum(tf.cast(starts_word, tf.int32)) - 1
        is_unknown = tf.equal(tf.math.segment_min(ids, word), NO_VALUE)
        is_unknown = tf.gather(is_unknown, word)
        ids = tf.where(is_unknown, self._unknown_id, ids)
        stay = where(starts_word | ~is_unknown)
        return tf.gather(ids, stay), tf.gather(places, stay)

    def _follow(self, starts, node, is_first):
        """Positions, in order, of the tokens of every word.

        Where no token matches, the position is included and the rest of the word is
        skipped.
        """

        def go_on(current, is_token):
            is_token = with_value(is_token, current, value=True)
            length = tf.gather(self._walk.length, tf.gather(node, current))
            following = current + length
            in_word = (length > 0) & ~tf.gather(is_first, following)
            return tf.gather(following, where(in_word)), is_token

        _, is_token = tf.while_loop(
            lambda current, is_token: tf.size(current) > 0,
            go_on,
            (starts, tf.zeros_like(node, tf.bool)),
            shape_invariants=(tf.TensorShape([None]), tf.TensorShape([None])),
        )
        return where(is_token)
