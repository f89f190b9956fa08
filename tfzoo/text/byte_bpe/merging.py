"""Merges the bytes of many words at once, in TensorFlow, with the results of BPE.

BPE repeatedly merges the pair of neighbors of the lowest rank (the leftmost of equal
pairs). Here each round merges, in every word, all pairs of its lowest rank. Their
results occur only in later merges (`rules.py` rejects others), so that the order is the
same as in BPE.

Source: Sennrich et al. 2016, section 3.2, https://arxiv.org/abs/1508.07909
"""

import tensorflow as tf

from tfzoo.text.byte_bpe.merge_table import NO_MERGE
from tfzoo.text.vectors import following, preceding, row_numbers, where, with_values

_ROUNDS = 8  # for all words; then only the unfinished ones continue
_VECTOR = tf.TensorShape([None])


class Merging(tf.Module):
    """Converts spans of bytes to symbols.

    Args:
        table: `MergeTable`.

    Call arguments:
        symbols: int32 (N,), to be updated with the symbols.
        content: int32 (N,), bytes.
        starts: int32 (W,), where the spans start; spans are not empty.
        ends: int32 (W,), where they end.

    Returns:
        int32 (N,): `symbols`, with each symbol of the spans at its first byte.
    """

    def __init__(self, table):
        super().__init__(name="merging")
        with tf.init_scope(), tf.device("CPU"):
            self._base = tf.constant(table.base)
            self._left = tf.constant(table.left)
            self._made = tf.constant(table.made)

    def __call__(self, symbols, content, starts, ends):
        places = tf.ragged.range(starts, ends).flat_values
        splits = tf.pad(tf.cumsum(ends - starts), [[1, 0]])
        words = row_numbers(splits, tf.size(places))
        parts = tf.gather(content, places)
        symbols, *_ = tf.while_loop(
            lambda symbols, parts, *_: tf.size(parts) > 0,
            self._rounds,
            (symbols, parts, words, places),
            shape_invariants=(_VECTOR,) * 4,
        )
        return symbols

    def _rounds(self, symbols, parts, words, places):
        """Runs a few rounds, then writes the finished words and drops them."""
        parts, words, places, made = tf.while_loop(
            lambda parts, words, places, made: tf.reduce_any(
                tf.not_equal(made, NO_MERGE)
            ),
            self._round,
            (parts, words, places, self._pairs(parts, words)),
            shape_invariants=(_VECTOR,) * 4,
            maximum_iterations=_ROUNDS,
        )
        is_finished = tf.equal(_lowest(made, words), NO_MERGE)
        done, left = where(is_finished), where(~is_finished)
        symbols = with_values(symbols, tf.gather(places, done), tf.gather(parts, done))
        return symbols, *(tf.gather(x, left) for x in (parts, words, places))

    def _pairs(self, parts, words):
        """The result of merging every symbol with the next one in its word."""
        slots = tf.gather(self._base, parts) + following(parts, last=0)
        is_merge = tf.equal(tf.gather(self._left, slots), parts)
        is_merge &= tf.equal(following(words, last=-1), words)
        return tf.where(is_merge, tf.gather(self._made, slots), NO_MERGE)

    def _round(self, parts, words, places, made):
        is_chosen = tf.equal(made, _lowest(made, words)) & tf.not_equal(made, NO_MERGE)
        follows = preceding(is_chosen, first=False)
        is_chosen = tf.cond(
            tf.reduce_any(is_chosen & follows),
            lambda: _every_other(is_chosen, follows),
            lambda: is_chosen,
        )
        parts = tf.where(is_chosen, made, parts)
        stay = where(~preceding(is_chosen, first=False))
        parts, words, places = (tf.gather(x, stay) for x in (parts, words, places))
        return parts, words, places, self._pairs(parts, words)


def _lowest(made, words):
    """For every symbol, the result of the lowest-ranked merge in its word."""
    return tf.gather(tf.math.segment_min(made, words), words)


def _every_other(is_chosen, follows):
    """Of overlapping pairs, as in "aaa", the first, third, and so on."""
    index = tf.range(tf.size(is_chosen))
    first = where(is_chosen & ~follows)
    number = tf.cumsum(tf.cast(is_chosen & ~follows, tf.int32)) - 1
    run_start = tf.gather(tf.cast(first, tf.int32), tf.maximum(number, 0))
    return is_chosen & tf.equal((index - run_start) & 1, 0)
