"""Merging the bytes of many words at once, in TensorFlow, word by word as BPE does.

BPE merges, over and over, the pair of neighbours that was learned first (of equal ones
the leftmost). Here every round merges, in every word, all pairs of its lowest rank:
what that makes is part of later merges only (`byte_bpe_check` refuses others), so the
order within a round is BPE's own.

Source: Sennrich et al. 2016, section 3.2, https://arxiv.org/abs/1508.07909
"""

import tensorflow as tf

from tfzoo.text.merge_table import NO_MERGE
from tfzoo.text.vectors import following, preceding, row_numbers, where

_VECTOR = tf.TensorShape([None])


class Merging(tf.Module):
    """Spans of bytes to symbols.

    Args:
        table: `MergeTable`.

    Call arguments:
        content: int32 (N,) bytes.
        starts: int32 (W,) where the spans start; spans are not empty.
        ends: int32 (W,) where they end.

    Returns:
        int32 vectors (T,): symbols, in the order of the spans, and their first bytes.
    """

    def __init__(self, table):
        super().__init__(name="merging")
        with tf.init_scope(), tf.device("CPU"):
            self._base = tf.constant(table.base)
            self._left = tf.constant(table.left)
            self._made = tf.constant(table.made)

    def __call__(self, content, starts, ends):
        places = tf.ragged.range(starts, ends).flat_values
        splits = tf.pad(tf.cumsum(ends - starts), [[1, 0]])
        words = row_numbers(splits, tf.size(places))
        symbols = tf.gather(content, places)
        symbols, _, places, _ = tf.while_loop(
            lambda symbols, words, places, made: tf.reduce_any(
                tf.not_equal(made, NO_MERGE)
            ),
            self._round,
            (symbols, words, places, self._pairs(symbols, words)),
            shape_invariants=(_VECTOR,) * 4,
        )
        return symbols, places

    def _pairs(self, symbols, words):
        """What merging every symbol with the next one of its word makes."""
        slots = tf.gather(self._base, symbols) + following(symbols, last=0)
        is_merge = tf.equal(tf.gather(self._left, slots), symbols)
        is_merge &= tf.equal(following(words, last=-1), words)
        return tf.where(is_merge, tf.gather(self._made, slots), NO_MERGE)

    def _round(self, symbols, words, places, made):
        lowest = tf.gather(tf.math.segment_min(made, words), words)
        is_chosen = tf.equal(made, lowest) & tf.not_equal(made, NO_MERGE)
        follows = preceding(is_chosen, first=False)
        is_chosen = tf.cond(
            tf.reduce_any(is_chosen & follows),
            lambda: _every_other(is_chosen, follows),
            lambda: is_chosen,
        )
        symbols = tf.where(is_chosen, made, symbols)
        stay = where(~preceding(is_chosen, first=False))
        symbols = tf.gather(symbols, stay)
        words = tf.gather(words, stay)
        places = tf.gather(places, stay)
        return symbols, words, places, self._pairs(symbols, words)


def _every_other(is_chosen, follows):
    """Of pairs that overlap, as in "aaa", the first, the third, ..."""
    index = tf.range(tf.size(is_chosen))
    first = where(is_chosen & ~follows)
    number = tf.cumsum(tf.cast(is_chosen & ~follows, tf.int32)) - 1
    run_start = tf.gather(tf.cast(first, tf.int32), tf.maximum(number, 0))
    return is_chosen & tf.equal((index - run_start) & 1, 0)
