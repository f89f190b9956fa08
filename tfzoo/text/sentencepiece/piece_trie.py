"""The pieces of a model as a trie, and all pieces in a stream of characters.

Shapes: N characters of all texts.
"""

import collections
import typing

import numpy as np
import tensorflow as tf

from tfzoo.text.double_array_trie import NO_VALUE, ROOT, double_array_trie
from tfzoo.text.sentencepiece.piece_model import SPACE
from tfzoo.text.vectors import where, with_value, with_values
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable
from tfzoo.text.wordpiece.codepoint_tables import NUM_CODE_POINTS, two_level

OUTSIDE = 0  # the symbol of a character that is in no piece
_DENSE = 3  # characters that walks read from everywhere; then only live walks go on


class Alphabet(tf.Module):
    """Numbers the characters of strings, the most frequent first, from 1.

    A space and "\\u2581" are the same symbol.

    Args:
        strings: Iterable of str.

    Call arguments:
        code_points: int32 (N,).

    Returns:
        int32 (N,), symbols.
    """

    def __init__(self, strings, *, joins_spaces=True):
        super().__init__(name="alphabet")
        counts = collections.Counter(SPACE)
        counts.update("".join(strings))
        self._symbols = {c: n for n, (c, _) in enumerate(counts.most_common(), 1)}
        self.size = len(self._symbols) + 1
        self.space = self._symbols[SPACE]
        table = np.full(NUM_CODE_POINTS, OUTSIDE, np.int32)
        table[list(map(ord, self._symbols))] = list(self._symbols.values())
        if joins_spaces:
            table[ord(" ")] = self.space
        self._table = CodePointTable(*two_level(table))

    def __call__(self, code_points):
        return self._table(code_points)

    def items(self):
        """Pairs of character and symbol."""
        return self._symbols.items()

    def letter(self, character):
        """The symbol of a character of the strings."""
        return self._symbols[character]

    def trie(self, pieces, values):
        """The `DoubleArrayTrie` of some of the strings, with their values."""
        symbols = {ord(c): number for c, number in self._symbols.items()}
        keys = [piece.translate(symbols) for piece in pieces]
        return double_array_trie(keys, values, self.size)


class Matches(typing.NamedTuple):
    """The pieces in a stream of N characters; M is the length of the longest of them.

    Attributes:
        scores: float (N, M), the score of the piece of M, M - 1, ..., 1 characters that
            ends at each character; -inf if there is none.
        values: int32 (M, N), values of the pieces of M, M - 1, ..., 1 characters.
        longest: int32 (N,), number of characters of the longest piece that begins at
            each character, at least 1.
    """

    scores: tf.Tensor
    values: tf.Tensor
    longest: tf.Tensor


class PieceMatches(tf.Module):
    """Finds the pieces that begin at each of N characters.

    A character that is not a piece has `unknown_score`, and the value NO_VALUE.

    Args:
        trie: `DoubleArrayTrie` of the pieces.
        scores: float (P,), the scores of P pieces, the values of the trie.
        unknown_score: Score of a character that is not a piece.
        dtype: Type of the scores.

    Call arguments:
        symbols: int32 (N,), the last one `OUTSIDE`.

    Returns:
        `Matches`.
    """

    def __init__(self, trie, scores, unknown_score, dtype):
        super().__init__(name="pieces")
        self._longest, self._unknown_score = trie.depth, unknown_score
        self._dead, self._root_base = trie.dead, int(trie.base[ROOT])
        value = np.where(_is_piece(trie), trie.value, NO_VALUE)
        nodes = np.stack([trie.check, trie.base, value], 1).astype(np.int32)
        with tf.init_scope(), tf.device("CPU"):
            self._nodes = tf.constant(nodes)
            self._score = tf.constant([-np.inf, *scores], dtype)  # from NO_VALUE on

    def __call__(self, symbols):
        size = tf.size(symbols)
        ahead = tf.pad(symbols, [[0, self._longest]], constant_values=OUTSIDE)
        longest = tf.ones_like(symbols)
        node, base = ROOT, self._root_base
        scores, values = _rows(self._score.dtype), _rows(tf.int32)
        for length in range(min(_DENSE, self._longest)):
            slot = base + tf.slice(ahead, [length], [size])
            check, base, value = tf.unstack(tf.gather(self._nodes, slot), axis=1)
            leads_on = tf.equal(check, node)
            base = tf.where(leads_on, base, self._dead)
            value = tf.where(leads_on, value, NO_VALUE)
            score, node = tf.gather(self._score, value + 1), slot
            if length:
                longest = tf.where(tf.equal(value, NO_VALUE), longest, length + 1)
                score = _shifted(score, length, -np.inf)
                value = _shifted(value, length, NO_VALUE)
            else:
                unknown = tf.constant(self._unknown_score, score.dtype)
                score = tf.where(tf.equal(value, NO_VALUE), unknown, score)
            scores, values = scores.write(length, score), values.write(length, value)
        if self._longest > _DENSE:
            going = where(tf.not_equal(base, self._dead))
            state = (tf.gather(x, going) for x in (tf.range(size), node, base))
            longest, scores, values = self._longer(
                ahead, *state, longest, scores, values
            )
        scores, values = (tf.reverse(x.stack(), [0]) for x in (scores, values))
        return Matches(tf.transpose(scores), values, longest)

    def _longer(self, ahead, going, node, base, longest, scores, values):
        """Updates the results for longer pieces, by the walks that go on."""
        size = tf.size(longest)
        none = tf.fill([size], tf.constant(-np.inf, self._score.dtype))
        no_value = tf.fill([size], NO_VALUE)

        def read(length, going, node, base, longest, scores, values):
            last = going + length
            slot = base + tf.gather(ahead, last)
            check, base, value = tf.unstack(tf.gather(self._nodes, slot), axis=1)
            alive = where(tf.equal(check, node))
            going, last, node, base, value = (
                tf.gather(x, alive) for x in (going, last, slot, base, value)
            )
            pieces = where(tf.not_equal(value, NO_VALUE))
            found, last = tf.gather(value, pieces), tf.gather(last, pieces)
            score = tf.gather(self._score, found + 1)
            longest = with_value(longest, tf.gather(going, pieces), value=length + 1)
            scores = scores.write(length, with_values(none, last, score))
            values = values.write(length, with_values(no_value, last, found))
            stay = where(tf.not_equal(base, self._dead))
            going, node, base = (tf.gather(x, stay) for x in (going, node, base))
            return length + 1, going, node, base, longest, scores, values

        vector = tf.TensorShape([None])
        *_, longest, scores, values = tf.while_loop(
            lambda length, going, *_: tf.size(going) > 0,
            read,
            (tf.constant(_DENSE), going, node, base, longest, scores, values),
            shape_invariants=(tf.TensorShape([]), *(vector,) * 4, None, None),
        )
        return longest, scores, values


def _shifted(found, length, nothing):
    """From starts to ends of pieces; nothing is found where the text ends before."""
    size = tf.size(found)
    return tf.pad(found, [[length, 0]], constant_values=nothing)[:size]


def _rows(dtype):
    return tf.TensorArray(
        dtype, 0, dynamic_size=True, infer_shape=False, element_shape=[None]
    )


def _is_piece(trie):
    """bool (S,): whether a slot is the end of a key, not only of its beginning."""
    inner = np.flatnonzero(trie.check >= 0)
    is_key = np.zeros(len(trie.base), bool)
    is_key[inner] = trie.length[inner] > trie.length[trie.check[inner]]
    return is_key & (trie.value != NO_VALUE)
