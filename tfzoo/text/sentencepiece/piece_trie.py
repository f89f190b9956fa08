"""The pieces of a model as a trie, and all pieces in a stream of characters.

Shapes: N characters of all texts; L characters of the longest piece.
"""

import collections

import numpy as np
import tensorflow as tf

from tfzoo.text.double_array_trie import NO_VALUE, ROOT, double_array_trie
from tfzoo.text.sentencepiece.piece_model import SPACE
from tfzoo.text.vectors import where, with_value, with_values
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable
from tfzoo.text.wordpiece.codepoint_tables import NUM_CODE_POINTS, two_level

OUTSIDE = 0  # the symbol of a character that is in no piece


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
        keys = [tuple(self._symbols[c] for c in piece) for piece in pieces]
        return double_array_trie(keys, values, self.size)


class PieceMatches(tf.Module):
    """Finds the pieces that begin at each of N characters.

    Args:
        trie: `DoubleArrayTrie` of the pieces.
        scores: float (P,), the scores of P pieces, the values of the trie.
        unknown_score: Score of a character that is not a piece.
        dtype: Type of the scores.
    """

    def __init__(self, trie, scores, unknown_score, dtype):
        super().__init__(name="pieces")
        self.longest = trie.depth
        is_piece = _is_piece(trie)
        none = np.full(self.longest, -np.inf)
        none[-1] = unknown_score
        self._dead, self._root_base = trie.dead, int(trie.base[ROOT])
        with tf.init_scope(), tf.device("CPU"):
            self._base, self._check = tf.constant(trie.base), tf.constant(trie.check)
            self._score, self._none = (
                tf.constant(scores, dtype),
                tf.constant(none, dtype),
            )
            self._value = tf.constant(
                np.where(is_piece, trie.value, NO_VALUE), tf.int32
            )

    def __call__(self, symbols):
        """The pieces by the character at which they end.

        Args:
            symbols: int32 (N,).

        Returns:
            scores: (N, L), the score of the piece of L, L - 1, ..., 1 characters that
                ends at each character; -inf if there is none.
            lengths: int32 (N,), number of characters of the longest piece that begins
                at each character, at least 1.
        """
        size, most = tf.size(symbols), self.longest
        ahead = tf.pad(symbols, [[0, most]], constant_values=OUTSIDE)

        def read(length, going, node, base, longest, places, found):
            last = going + length
            child, base = self._step(node, base, tf.gather(ahead, last))
            alive = where(tf.not_equal(child, node))
            going, node, base, last = (
                tf.gather(x, alive) for x in (going, child, base, last)
            )
            value = tf.gather(self._value, node)
            pieces = where(tf.not_equal(value, NO_VALUE))
            score = tf.gather(self._score, tf.gather(value, pieces))
            at = tf.gather(last, pieces) * most + (most - 1 - length)
            longest = with_value(longest, tf.gather(going, pieces), value=length + 1)
            return (
                length + 1,
                *(going, node, base, longest),
                places.write(length, at),
                found.write(length, score),
            )

        going, vector = tf.range(size), tf.TensorShape([None])
        *_, longest, places, found = tf.while_loop(
            lambda length, going, *_: length < most,
            read,
            (
                tf.constant(0),
                going,
                tf.zeros_like(going) + ROOT,
                tf.zeros_like(going) + self._root_base,
                tf.ones_like(going),
                _array(tf.int32, most),
                _array(self._score.dtype, most),
            ),
            shape_invariants=(tf.TensorShape([]), *(vector,) * 4, None, None),
        )
        none = tf.tile(tf.expand_dims(self._none, 0), [size, 1])
        scores = with_values(tf.reshape(none, [-1]), places.concat(), found.concat())
        return tf.reshape(scores, [-1, most]), longest

    def values(self, symbols, starts, lengths):
        """Values (T,) of pieces, or NO_VALUE.

        Args:
            symbols: int32 (N,).
            starts: int32 (T,), their first characters.
            lengths: int32 (T,), their numbers of characters.
        """

        def read(offset, going, node, base, values):
            symbol = tf.gather(symbols, tf.gather(starts, going) + offset)
            child, base = self._step(node, base, symbol)
            offset += 1
            left = tf.gather(lengths, going) - offset
            is_last = tf.equal(left, 0) & tf.not_equal(child, node)
            last, more = where(is_last), where(left > 0)
            found = tf.gather(self._value, tf.gather(child, last))
            values = with_values(values, tf.gather(going, last), found)
            return offset, *(tf.gather(x, more) for x in (going, child, base)), values

        *_, values = tf.while_loop(
            lambda offset, going, *_: tf.size(going) > 0,
            read,
            (
                tf.constant(0),
                tf.range(tf.size(starts)),
                tf.zeros_like(starts) + ROOT,
                tf.zeros_like(starts) + self._root_base,
                tf.zeros_like(starts) + NO_VALUE,
            ),
            shape_invariants=(tf.TensorShape([]), *(tf.TensorShape([None]),) * 4),
        )
        return values

    def _step(self, node, base, symbols):
        """The child of nodes, and its base; the same node if there is none."""
        slot = base + symbols
        leads_on = tf.equal(tf.gather(self._check, slot), node)
        base = tf.where(leads_on, tf.gather(self._base, slot), self._dead)
        return tf.where(leads_on, slot, node), base


def _array(dtype, size):
    return tf.TensorArray(dtype, size, infer_shape=False, element_shape=[None])


def _is_piece(trie):
    """bool (S,): whether a slot is the end of a key, not only of its beginning."""
    inner = np.flatnonzero(trie.check >= 0)
    is_key = np.zeros(len(trie.base), bool)
    is_key[inner] = trie.length[inner] > trie.length[trie.check[inner]]
    return is_key & (trie.value != NO_VALUE)
