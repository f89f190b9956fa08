"""Merges the tokens of many words at once, in TensorFlow, with the results of BPE.

BPE repeatedly merges the pair of neighbors of the lowest rank, the leftmost of equal
pairs. Here each round merges pairs of the lowest rank r in every word, all at once. The
results are those of BPE for every list of merges:

All of them are merged, of overlapping ones the first, third, and so on, if no merge of
a rank below r joins the result X of r to another token. The pairs that merging one of
them creates contain X, so their ranks are above r (the pair of rank r itself is shorter
than X), and BPE goes on with the next pair of rank r.

Otherwise (`leads_back`), as in lists with every way to split a token, BPE may go on
with a new pair; only the leftmost pair is merged, which is a single step of BPE.

`tokenizers` keeps pairs in a queue ordered by rank and position, and skips an entry if
the two tokens at its position do not make the same token any more. If they do, they are
the same two tokens: a token only ever grows, and a longer one makes something longer.

Source: Sennrich et al. 2016, section 3.2, https://arxiv.org/abs/1508.07909
"""

import tensorflow as tf

from tfzoo.text.byte_bpe.merge_table import NO_MERGE
from tfzoo.text.vectors import following, preceding, row_numbers, where, with_values

_ROUNDS = 8  # for all words; then only the unfinished ones continue
_VECTOR = tf.TensorShape([None])


class Merging(tf.Module):
    """Merges the tokens of spans.

    Args:
        table: `MergeTable`.

    Call arguments:
        merged: int32 (N,), to be updated with the results.
        tokens: int32 (N,), ids of single bytes.
        starts: int32 (W,), where the spans start; spans are not empty.
        ends: int32 (W,), where they end.

    Returns:
        int32 (N,): `merged`, with each token of the spans at its first byte.
    """

    def __init__(self, table):
        super().__init__(name="merging")
        with tf.init_scope(), tf.device("CPU"):
            self._base = tf.constant(table.base)
            self._left = tf.constant(table.left)
            self._rank = tf.constant(table.rank)
            self._made = tf.constant([*table.made, 0], tf.int32)
            self._leads_back = tf.constant([*table.leads_back, False])
        self._num_merges = len(table.made)
        self._some_lead_back = bool(table.leads_back.any())

    def __call__(self, merged, tokens, starts, ends):
        places = tf.ragged.range(starts, ends).flat_values
        splits = tf.pad(tf.cumsum(ends - starts), [[1, 0]])
        words = row_numbers(splits, tf.size(places))
        parts = tf.gather(tokens, places)
        merged, *_ = tf.while_loop(
            lambda merged, parts, *_: tf.size(parts) > 0,
            self._rounds,
            (merged, parts, words, places),
            shape_invariants=(_VECTOR,) * 4,
        )
        return merged

    def _rounds(self, merged, parts, words, places):
        """Runs a few rounds, then writes the finished words and drops them."""
        parts, words, places, ranks = tf.while_loop(
            lambda parts, words, places, ranks: tf.reduce_any(
                tf.not_equal(ranks, NO_MERGE)
            ),
            self._round,
            (parts, words, places, self._pairs(parts, words)),
            shape_invariants=(_VECTOR,) * 4,
            maximum_iterations=_ROUNDS,
        )
        lowest = tf.math.segment_min(ranks, words)
        is_finished = tf.equal(tf.gather(lowest, words), NO_MERGE)
        done, left = where(is_finished), where(~is_finished)
        merged = with_values(merged, tf.gather(places, done), tf.gather(parts, done))
        parts, words, places = (tf.gather(x, left) for x in (parts, words, places))
        is_new = tf.not_equal(words, preceding(words, first=-1))
        words = tf.cumsum(tf.cast(is_new, tf.int32)) - 1  # without gaps
        return merged, parts, words, places

    def _pairs(self, parts, words):
        """The rank of merging every token with the next one in its word."""
        slots = tf.gather(self._base, parts) + following(parts, last=0)
        is_merge = tf.equal(tf.gather(self._left, slots), parts)
        is_merge &= tf.equal(following(words, last=-1), words)
        return tf.where(is_merge, tf.gather(self._rank, slots), NO_MERGE)

    def _round(self, parts, words, places, ranks):
        lowest = tf.math.segment_min(ranks, words)
        is_chosen = tf.equal(ranks, tf.gather(lowest, words))
        is_chosen &= tf.not_equal(ranks, NO_MERGE)
        merges = tf.minimum(ranks, self._num_merges)
        has_several = _count(is_chosen) > _count(tf.not_equal(lowest, NO_MERGE))
        is_chosen = tf.cond(
            has_several,
            lambda: self._at_once(is_chosen, merges, words),
            lambda: is_chosen,
        )
        parts = tf.where(is_chosen, tf.gather(self._made, merges), parts)
        stay = where(~preceding(is_chosen, first=False))
        parts, words, places = (tf.gather(x, stay) for x in (parts, words, places))
        return parts, words, places, self._pairs(parts, words)

    def _at_once(self, is_chosen, merges, words):
        """Of the chosen pairs, those to be merged in this round."""
        if self._some_lead_back:
            index = tf.range(tf.size(words))
            chosen = tf.where(is_chosen, index, tf.size(words))
            first = tf.gather(tf.math.segment_min(chosen, words), words)
            leads_back = tf.gather(self._leads_back, merges)
            is_chosen &= ~leads_back | tf.equal(index, first)
        return _every_other(is_chosen, preceding(is_chosen, first=False))


def _count(is_true):
    return tf.reduce_sum(tf.cast(is_true, tf.int32))


def _every_other(is_chosen, follows):
    """Of overlapping pairs, as in "aaa", the first, third, and so on."""
    index = tf.range(tf.size(is_chosen))
    first = where(is_chosen & ~follows)
    number = tf.cumsum(tf.cast(is_chosen & ~follows, tf.int32)) - 1
    run_start = tf.gather(tf.cast(first, tf.int32), tf.maximum(number, 0))
    return is_chosen & tf.equal((index - run_start) & 1, 0)
