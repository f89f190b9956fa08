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

from tfzoo.text.vectors import following, preceding, where, with_value, with_values

_LONG = 128  # characters of a span
_COLUMNS = 64  # sums of a row that are computed at once
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
        lengths, margins = _last_pieces(
            scores, tf.ones_like(longest), starts, sizes, order, _zeros(starts, scores)
        )
        is_end = with_value(
            tf.zeros_like(longest, tf.bool), starts + sizes - 1, value=True
        )
        is_end = _with_ends(is_end, lengths, starts, sizes, order)
        ends = tf.cast(where(is_end), tf.int32)
        # Sums so far, but not rounded as in the reference
        sums = tf.cumsum(tf.cast(_scores_of(scores, lengths, ends), tf.float64))
        before = tf.gather(tf.pad(sums, [[1, 0]]), tf.searchsorted(ends, starts))
        first = where(tf.gather(resets, starts))
        before -= tf.gather(tf.gather(before, first), rows)
        limits = self._limits(margins, sizes) - tf.abs(before)
        unclear = tf.not_equal(before, 0) & (limits <= 0)
        sums = Sums(
            tf.gather(before, following(first, last=tf.size(rows, tf.int64)) - 1),
            tf.math.segment_min(limits, rows),
        )
        chosen = tf.boolean_mask(order, tf.gather(unclear, order))
        lengths, is_end, _ = tf.while_loop(
            lambda lengths, is_end, goes_on: goes_on,
            lambda lengths, is_end, _: _again(
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


def _zeros(vector, scores):
    return tf.zeros(tf.shape(vector), scores.dtype)


def _last_pieces(scores, lengths, starts, sizes, order, sums):
    """The best last piece at every character of some spans.

    Args:
        scores: (N, M).
        lengths: int32 (N,), to be updated with the lengths of the pieces.
        starts: int32 (S,).
        sizes: int32 (S,).
        order: int32 (K,), the spans, the longest first.
        sums: (S,), the sum of the pieces before each span.

    Returns:
        `lengths`; and (S,), by how much the best piece was better than the second, at
        the character of the span where this was the least.
    """
    num_columns = tf.shape(scores)[1]
    nothing = tf.constant(-np.inf, scores.dtype)
    first, count = tf.gather(starts, order), tf.size(order)
    span_sizes = tf.gather(sizes, order)
    size = tf.reduce_max(tf.concat([span_sizes, [0]], 0))
    alive = count - tf.searchsorted(span_sizes[::-1], tf.range(size), side="right")
    best = tf.concat(
        [
            tf.fill([count, num_columns], nothing),
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
        best = best[:number, 1:]
        sums = best + tf.gather(scores, place)
        top = tf.reduce_max(sums, 1)
        column = tf.argmax(sums, 1, output_type=tf.int32)  # the first one is longest
        chosen = tf.stack([tf.range(number), column], 1)
        others = tf.tensor_scatter_nd_update(sums, chosen, tf.fill([number], nothing))
        margin = tf.minimum(margins[:number], top - tf.reduce_max(others, 1))
        return (
            index + 1,
            tf.concat([best, tf.expand_dims(top, 1)], 1),
            tf.concat([margin, margins[number:]], 0),
            found.write(index, num_columns - column),
            places.write(index, place),
        )

    _, _, margins, found, places = tf.while_loop(
        lambda index, *_: index < size,
        step,
        (tf.constant(0), best, tf.fill([count], -nothing), *arrays),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None, None]),
            _VECTOR,
            None,
            None,
        ),
    )

    def updated():
        everywhere = tf.fill(tf.shape(starts), -nothing)
        new = tf.math.unsorted_segment_sum(
            found.concat(), places.concat(), tf.size(lengths)
        )
        return (
            tf.where(new > 0, new, lengths),
            with_values(everywhere, order, margins),
        )

    return tf.cond(
        count > 0, updated, lambda: (lengths, tf.fill(tf.shape(starts), -nothing))
    )


def _with_ends(is_end, lengths, starts, sizes, order):
    """`is_end` with the last characters of the pieces of some spans.

    Args:
        is_end: bool (N,), True where these spans end.
        lengths: int32 (N,), of the last piece at every character.
        starts: int32 (S,).
        sizes: int32 (S,).
        order: int32 (K,), the spans, the longest first.
    """
    starts, sizes = tf.gather(starts, order), tf.gather(sizes, order)
    longest = tf.reduce_max(tf.concat([sizes[:1], [0]], 0))

    def walk(number, current, first, found):
        current -= tf.gather(lengths, current)
        inside = where(current >= first)
        current, first = tf.gather(current, inside), tf.gather(first, inside)
        return number + 1, current, first, found.write(number, current)

    def hop(jump, is_end, distance):
        is_end = with_value(is_end, tf.gather(jump, where(is_end)), value=True)
        return tf.gather(jump, jump), is_end, 2 * distance

    def step_by_step():
        found = tf.TensorArray(
            tf.int32, 1, dynamic_size=True, infer_shape=False, element_shape=[None]
        )
        *_, found = tf.while_loop(
            lambda number, current, *_: tf.size(current) > 0,
            walk,
            (
                tf.constant(1),
                starts + sizes - 1,
                starts,
                found.write(0, tf.zeros_like(starts[:0])),
            ),
            shape_invariants=(tf.TensorShape([]), _VECTOR, _VECTOR, None),
        )
        return with_value(is_end, found.concat(), value=True)

    def doubling():
        places = tf.ragged.range(starts, starts + sizes)
        places, row_starts = places.flat_values, places.row_starts()
        index = tf.range(tf.size(places))
        # The piece before the first one of a span is its last one.
        before = index - tf.gather(lengths, places)
        number = tf.repeat(tf.range(tf.size(sizes)), sizes)
        row_starts = tf.cast(row_starts, tf.int32)
        last = tf.gather(row_starts + sizes - 1, number)
        before = tf.where(before < tf.gather(row_starts, number), last, before)
        is_last = tf.equal(index, last)
        _, found, _ = tf.while_loop(
            lambda jump, found, distance: distance < longest,
            hop,
            (before, is_last, tf.constant(1)),
            shape_invariants=(_VECTOR, _VECTOR, tf.TensorShape([])),
        )
        return with_values(is_end, places, found)

    return tf.cond(longest < _LONG, step_by_step, doubling)


def _scores_of(scores, lengths, ends):
    """(T,), the scores of the pieces that end at T characters."""
    columns = tf.shape(scores)[1] - tf.gather(lengths, ends)
    return tf.gather_nd(scores, tf.stack([ends, columns], 1))


def _again(scores, lengths, is_end, starts, sizes, rows, chosen):
    """Segments some spans with the sums before them; whether anything changed."""
    ends = tf.cast(where(is_end), tf.int32)
    # Sums are only needed in the rows of these spans.
    num_rows = rows[-1] + 1
    is_row = with_value(
        tf.zeros([num_rows], tf.bool), tf.gather(rows, chosen), value=True
    )
    some = where(tf.gather(is_row, rows))
    first = tf.searchsorted(ends, tf.gather(starts, some))
    after = tf.searchsorted(ends, tf.gather(starts + sizes, some))
    pieces = tf.ragged.range(first, after)
    of_row = tf.gather(rows, some)
    of_row = where(tf.not_equal(of_row, preceding(of_row, first=-1)))
    splits = tf.cast(pieces.row_splits, tf.int32)
    values = _scores_of(scores, lengths, tf.gather(ends, pieces.flat_values))
    row_splits = tf.concat([tf.gather(splits, of_row), splits[-1:]], 0)
    found = tf.gather(running_sums(values, row_splits), splits[:-1])
    sums = with_values(tf.zeros(tf.shape(starts), scores.dtype), some, found)
    new, _ = _last_pieces(scores, lengths, starts, sizes, chosen, sums)
    first, after = tf.gather(starts, chosen), tf.gather(starts + sizes, chosen)
    inside = tf.ragged.range(first, after - 1).flat_values
    new_is_end = with_value(is_end, inside, value=False)
    new_is_end = _with_ends(new_is_end, new, starts, sizes, chosen)
    return new, new_is_end, ~tf.reduce_all(tf.equal(new_is_end, is_end))


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
