"""The best segmentation by the scores of pieces, as exact as the reference computes it.

A cut is a position between two characters that no piece spans, so that every
segmentation divides there. The spans between cuts are segmented side by side, a
character of each at a time, as in Viterbi's algorithm.

The reference adds scores from the start of a text (or of a word, in `tokenizers`), and
rounds every sum; which of two nearly equal segmentations is better therefore depends on
all that stands before. Spans are first segmented as if nothing did. Those in which the
best choice was not clear by more than rounding can change are then segmented again,
with the sum of the pieces found before them, until nothing changes. When nothing does,
every span was segmented with the sum that the reference has there: this is true of the
first span of a row, and thereby of the next one.

Shapes: N characters, S spans, M characters of the longest piece, K of S spans.

Source: Kudo 2018, section 3.2, https://arxiv.org/abs/1804.10959, and `EncodeOptimized`
of https://github.com/google/sentencepiece; of equal sums the one found first stays,
which has the longest last piece
"""

import typing

import numpy as np
import tensorflow as tf

from tfzoo.text.sentencepiece.exact_sums import again
from tfzoo.text.sentencepiece.long_rows import are_long, resegmented
from tfzoo.text.sentencepiece.spans import last_pieces, scores_of, with_ends
from tfzoo.text.vectors import following, where, with_value

_VECTOR = tf.TensorShape([None])


class Sums(typing.NamedTuple):
    """What a sum before all pieces of a row would change; R rows.

    Attributes:
        totals: float64 (R,), the sum of the scores of the pieces of a row, except those
            of its last span.
        limits: float64 (R,), the pieces are the same after every sum whose absolute
            value is below this.
    """

    totals: tf.Tensor
    limits: tf.Tensor


class Viterbi(tf.Module):
    """Finds the best segmentation of a stream of characters.

    Args:
        largest_score: The largest absolute score of a piece.

    Call arguments:
        scores: (N, M), scores of the pieces that end at each character, the longest
            first, -inf for none; the last column is finite.
        longest: int32 (N,), length of the longest piece that begins at each character.
        resets: bool (N,), whether sums start from zero at a character; the first is.

    Returns:
        int32 (T,), the last character of each of T pieces; their lengths; and `Sums`.
    """

    def __init__(self, largest_score):
        super().__init__(name="viterbi")
        self._largest_score = largest_score

    def __call__(self, scores, longest, resets):
        starts, sizes = _spans(longest, resets)
        rows = tf.cumsum(tf.cast(tf.gather(resets, starts), tf.int32)) - 1
        order = tf.cast(where(sizes > 1), tf.int32)
        longest_first = tf.argsort(
            tf.gather(sizes, order), direction="DESCENDING", stable=True
        )
        order = tf.gather(order, longest_first)
        lengths, margins = last_pieces(
            scores,
            tf.ones_like(longest),
            starts,
            sizes,
            order,
            tf.zeros(tf.shape(starts), scores.dtype),
        )
        is_end = with_value(
            tf.zeros_like(longest, tf.bool), starts + sizes - 1, value=True
        )
        is_end = with_ends(is_end, lengths, starts, sizes, order)
        ends = tf.cast(where(is_end), tf.int32)
        # Sums so far, but not rounded as in the reference
        sums = tf.cumsum(tf.cast(scores_of(scores, lengths, ends), tf.float64))
        sums = tf.pad(sums, [[1, 0]])
        before = tf.gather(sums, tf.searchsorted(ends, starts))
        after = following(before, last=sums[-1])
        first = where(tf.gather(resets, starts))
        before_rows = tf.gather(tf.gather(before, first), rows)
        before, after = before - before_rows, after - before_rows
        limits = self._limits(margins, sizes) - tf.abs(before)
        unclear = tf.not_equal(before, 0) & (limits <= 0)
        sums = Sums(
            tf.gather(before, following(first, last=tf.size(rows, tf.int64)) - 1),
            tf.math.segment_min(limits, rows),
        )
        first = tf.cast(first, tf.int32)
        splits = tf.stack([first, following(first, last=tf.size(rows))], 1)
        if scores.dtype == tf.float32:  # of `sentencepiece`
            is_long = are_long(after, rows)
            long_rows = tf.boolean_mask(splits, is_long)
            unclear &= ~tf.gather(is_long, rows)
            lengths, is_end = tf.cond(
                tf.size(long_rows) > 0,
                lambda: resegmented(scores, lengths, is_end, starts, sizes, long_rows),
                lambda: (lengths, is_end),
            )
        chosen = tf.boolean_mask(order, tf.gather(unclear, order))
        lengths, is_end, _ = tf.while_loop(
            lambda lengths, is_end, goes_on: goes_on,
            lambda lengths, is_end, _: again(
                scores, lengths, is_end, starts, sizes, rows, chosen
            ),
            (lengths, is_end, tf.size(chosen) > 0),
            shape_invariants=(_VECTOR, _VECTOR, tf.TensorShape([])),
        )
        ends = tf.cast(where(is_end), tf.int32)
        return ends, tf.gather(lengths, ends), sums

    def _limits(self, margins, sizes):
        """The sums before spans up to which rounding cannot bridge a margin."""
        epsilon = float(np.finfo(margins.dtype.as_numpy_dtype).eps)
        sizes = tf.cast(sizes, tf.float64) + 1.0
        limits = tf.cast(margins, tf.float64) / (4.0 * epsilon * sizes)
        return limits - sizes * self._largest_score


def _spans(longest, resets):
    """First characters and sizes of the spans, int32 (S,)."""
    size = tf.size(longest)
    index = tf.range(size)
    # A position that no piece spans: as many pieces have ended as have begun.
    ended = tf.math.bincount(index + longest, minlength=size + 1, maxlength=size + 1)
    is_cut = tf.equal(tf.cumsum(ended)[:-1], index) | resets
    starts = tf.cast(where(is_cut), tf.int32)
    return starts, following(starts, last=size) - starts
