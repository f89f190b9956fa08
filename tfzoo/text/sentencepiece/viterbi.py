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

Shapes: N characters, S spans, L characters of the longest piece, K of S spans.

Source: Kudo 2018, section 3.2, https://arxiv.org/abs/1804.10959, and `EncodeOptimized`
of https://github.com/google/sentencepiece; of equal sums the one found first stays,
which has the longest last piece
"""

import numpy as np
import tensorflow as tf

from tfzoo.text.vectors import following, preceding, where, with_value, with_values

_LONG = 128  # characters of a span
_COLUMNS = 64  # sums of a row that are computed at once
_VECTOR = tf.TensorShape([None])


class Viterbi(tf.Module):
    """Finds the best segmentation of a stream of characters.

    Args:
        largest_score: The largest absolute score of a piece.

    Call arguments:
        scores: (N, L), scores of the pieces that end at each character, the longest
            first, -inf for none; the last column is finite.
        longest: int32 (N,), length of the longest piece that begins at each character.
        resets: bool (N,), whether sums start from zero at a character; the first is.

    Returns:
        int32 (T,), the last character of each of T pieces; and their lengths.
    """

    def __init__(self, largest_score):
        super().__init__(name="viterbi")
        self._largest_score = largest_score

    def __call__(self, scores, longest, resets):
        starts, sizes = _spans(longest, resets)
        rows = tf.cumsum(tf.cast(tf.gather(resets, starts), tf.int32)) - 1
        order = tf.argsort(sizes, direction="DESCENDING", stable=True)
        several = tf.size(sizes) - tf.math.bincount(sizes, maxlength=2, minlength=2)[1]
        order = order[:several]
        lengths, margins = _last_pieces(
            scores, tf.ones_like(longest), starts, sizes, order, _zeros(starts, scores)
        )
        ends = _ends(lengths, starts, sizes)
        # Sums so far, but not rounded as in the reference
        sums = tf.cumsum(tf.cast(_scores_of(scores, lengths, ends), tf.float64))
        before = tf.gather(tf.pad(sums, [[1, 0]]), tf.searchsorted(ends, starts))
        first = tf.gather(before, where(tf.gather(resets, starts)))
        sums = tf.abs(before - tf.gather(first, rows))
        unclear = tf.not_equal(before, tf.gather(first, rows))
        unclear &= margins <= self._bound(sums, sizes, scores.dtype)
        chosen = tf.boolean_mask(order, tf.gather(unclear, order))
        lengths, ends, _ = tf.while_loop(
            lambda lengths, ends, goes_on: goes_on,
            lambda lengths, ends, _: _again(
                scores, lengths, ends, starts, sizes, rows, chosen
            ),
            (lengths, ends, tf.size(chosen) > 0),
            shape_invariants=(_VECTOR, _VECTOR, tf.TensorShape([])),
        )
        return ends, tf.gather(lengths, ends)

    def _bound(self, sums, sizes, dtype):
        """A margin of two sums that rounding cannot bridge within a span."""
        sizes = tf.cast(sizes, tf.float64) + 1.0
        largest = sums + sizes * self._largest_score
        bound = 4.0 * float(np.finfo(dtype.as_numpy_dtype).eps) * sizes * largest
        return tf.cast(bound, dtype)


def _spans(longest, resets):
    """First characters and sizes of the spans, int32 (S,)."""
    size = tf.size(longest)
    index = tf.range(size)
    # A position that no piece spans: as many pieces have ended as have begun.
    ended = tf.math.bincount(index + longest, minlength=size + 1, maxlength=size + 1)
    is_cut = tf.equal(tf.cumsum(ended)[:-1], index) | resets
    starts = tf.cast(where(is_cut), tf.int32)
    return starts, following(starts, last=size) - starts


def _zeros(vector, scores):
    return tf.zeros(tf.shape(vector), scores.dtype)


def _last_pieces(scores, lengths, starts, sizes, order, sums):
    """The best last piece at every character of some spans.

    Args:
        scores: (N, L).
        lengths: int32 (N,), to be updated with the lengths of the pieces.
        starts: int32 (S,).
        sizes: int32 (S,).
        order: int32 (K,), the spans, the longest first.
        sums: (S,), the sum of the pieces before each span.

    Returns:
        `lengths`; and (S,), by how much the best piece was better than the second, at
        the character of the span where this was the least.
    """
    num_columns = scores.shape[1]
    nothing = tf.constant(-np.inf, scores.dtype)
    piece_lengths = tf.range(num_columns, 0, -1)
    first, count = tf.gather(starts, order), tf.size(order)
    span_sizes = tf.gather(sizes, order)
    size = tf.reduce_max(tf.concat([span_sizes, [0]], 0))
    alive = count - tf.searchsorted(span_sizes[::-1], tf.range(size), side="right")
    best = tf.concat(
        [
            tf.fill([count, num_columns - 1], nothing),
            tf.expand_dims(tf.gather(sums, order), 1),
        ],
        1,
    )
    arrays = [
        tf.TensorArray(tf.int32, size, infer_shape=False, element_shape=[None])
        for _ in range(2)
    ]

    def step(index, best, margins, found, places):
        number = alive[index]
        place = first[:number] + index
        sums = best[:number] + tf.gather(scores, place)
        top = tf.reduce_max(sums, 1, keepdims=True)
        length = tf.reduce_max(tf.where(tf.equal(sums, top), piece_lengths, 0), 1)
        is_chosen = tf.equal(tf.expand_dims(length, 1), piece_lengths)
        second = tf.reduce_max(tf.where(is_chosen, nothing, sums), 1)
        margin = tf.minimum(margins[:number], tf.squeeze(top, 1) - second)
        return (
            index + 1,
            tf.ensure_shape(tf.concat([best[:number, 1:], top], 1), best.shape),
            tf.concat([margin, margins[number:]], 0),
            found.write(index, length),
            places.write(index, place),
        )

    _, _, margins, found, places = tf.while_loop(
        lambda index, *_: index < size,
        step,
        (tf.constant(0), best, tf.fill([count], -nothing), *arrays),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None, num_columns]),
            _VECTOR,
            None,
            None,
        ),
    )

    def updated():
        everywhere = tf.fill(tf.shape(starts), -nothing)
        return (
            with_values(lengths, places.concat(), found.concat()),
            with_values(everywhere, order, margins),
        )

    return tf.cond(
        count > 0, updated, lambda: (lengths, tf.fill(tf.shape(starts), -nothing))
    )


def _ends(lengths, starts, sizes):
    """The last characters of the pieces, int32 (T,), going back from ends of spans."""
    index = tf.range(tf.size(lengths))
    # The piece before the first one is the very last one, which is an end in any case.
    before = tf.math.floormod(index - lengths, tf.size(lengths))
    ends = starts + sizes - 1
    is_end = with_value(tf.zeros(tf.shape(lengths), tf.bool), ends, value=True)
    longest = tf.reduce_max(tf.concat([sizes, [0]], 0))

    def walk(current, is_end):
        current = tf.gather(before, current)
        current = tf.gather(current, where(~tf.gather(is_end, current)))
        return current, with_value(is_end, current, value=True)

    def hop(jump, is_end, distance):
        is_end = with_value(is_end, tf.gather(jump, where(is_end)), value=True)
        return tf.gather(jump, jump), is_end, 2 * distance

    def step_by_step():
        return tf.while_loop(
            lambda current, is_end: tf.size(current) > 0,
            walk,
            (ends, is_end),
            shape_invariants=(_VECTOR, _VECTOR),
        )[1]

    def doubling():
        return tf.while_loop(
            lambda jump, is_end, distance: distance < longest,
            hop,
            (before, is_end, tf.constant(1)),
            shape_invariants=(_VECTOR, _VECTOR, tf.TensorShape([])),
        )[1]

    is_end = tf.cond(longest < _LONG, step_by_step, doubling)
    return tf.cast(where(is_end), tf.int32)


def _scores_of(scores, lengths, ends):
    """(T,), the scores of the pieces that end at T characters."""
    columns = scores.shape[1] - tf.gather(lengths, ends)
    return tf.gather_nd(scores, tf.stack([ends, columns], 1))


def _again(scores, lengths, ends, starts, sizes, rows, chosen):
    """Segments some spans with the sums before them; whether anything changed."""
    first = tf.searchsorted(ends, starts)  # the first piece of each span
    of_row = where(tf.not_equal(rows, preceding(rows, first=-1)))
    splits = tf.concat([tf.gather(first, of_row), [tf.size(ends)]], 0)
    sums = running_sums(_scores_of(scores, lengths, ends), splits)
    sums = tf.gather(sums, first)
    new, _ = _last_pieces(scores, lengths, starts, sizes, chosen, sums)
    new_ends = _ends(new, starts, sizes)
    is_same = tf.equal(tf.size(new_ends), tf.size(ends))
    is_same = tf.cond(
        is_same, lambda: tf.reduce_all(tf.equal(new_ends, ends)), lambda: is_same
    )
    return new, new_ends, ~is_same


def running_sums(values, splits):
    """The sum of the values before each one in its row, added one after another.

    Args:
        values: (T,).
        splits: int32 (R + 1,), where the rows start and end; none is empty.

    Returns:
        (T,), rounded like `sum += value` in the type of the values.
    """
    sizes = splits[1:] - splits[:-1]
    order = tf.argsort(sizes, direction="DESCENDING", stable=True)
    first, sizes = tf.gather(splits[:-1], order), tf.gather(sizes, order)
    width = tf.minimum(tf.reduce_max(sizes), _COLUMNS)
    columns = tf.range(width)

    def step(done, carry, sums):
        number = tf.size(sizes) - tf.searchsorted(sizes[::-1], [done], side="right")[0]
        inside = done + columns < tf.expand_dims(sizes[:number], 1)
        places = tf.expand_dims(first[:number] + done, 1) + columns
        places = tf.where(inside, places, 0)
        block = tf.where(inside, tf.gather(values, places), 0)
        block = tf.cumsum(tf.concat([carry[:number], block], 1), axis=1)
        found = tf.boolean_mask(block[:, :-1], inside)
        sums = with_values(sums, tf.boolean_mask(places, inside), found)
        return done + width, tf.ensure_shape(block[:, -1:], [None, 1]), sums

    *_, sums = tf.while_loop(
        lambda done, *_: done < sizes[0],
        step,
        (tf.constant(0), tf.zeros([tf.size(sizes), 1], values.dtype), values),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 1]), _VECTOR),
    )
    return sums
