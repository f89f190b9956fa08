"""Segmentation of long rows with the sums of `sentencepiece`, which start again.

Where a sum is below -100,000, the library subtracts it from all sums before it goes on,
so that they stay exact. A row whose sums get that low is segmented in blocks of spans,
one block after the other. In a block, all spans are segmented side by side with guessed
sums before them; what is found corrects the guesses, until every span ends with the
sum that the next one began with. At least one more span is right each time, most often
all of them after a few times, since rounding rarely depends on the sum before.

Shapes: n characters and s spans of a block, M characters of the longest piece.
"""

import numpy as np
import tensorflow as tf

from tfzoo.text.sentencepiece.spans import with_ends
from tfzoo.text.vectors import where, with_value, with_values

LOWEST = -1e5  # a lower sum is subtracted
_MAYBE = 0.99 * LOWEST  # of a sum that was rounded otherwise
_BLOCK = 4096  # spans
_VECTOR = tf.TensorShape([None])


def are_long(after, rows):
    """bool (R,), whether sums may get so low that they start again.

    Args:
        after: float64 (S,), the sums after spans, not rounded as by the library.
        rows: int32 (S,), the rows of the spans.
    """
    return tf.math.segment_min(after, rows) < _MAYBE


def resegmented(scores, lengths, is_end, starts, sizes, splits):
    """Segments the spans of some rows again.

    Args:
        scores: (N, M).
        lengths: int32 (N,), of the last piece at every character.
        is_end: bool (N,), whether a piece ends at every character.
        starts: int32 (S,).
        sizes: int32 (S,).
        splits: int32 (L, 2), the first of the spans of L rows, and that after the last.

    Returns:
        `lengths` and `is_end`, updated.
    """
    blocks = tf.ragged.range(splits[:, 0], splits[:, 1], _BLOCK)
    first = blocks.flat_values
    last = tf.minimum(first + _BLOCK, tf.gather(splits[:, 1], blocks.value_rowids()))
    begins = tf.equal(first, tf.gather(splits[:, 0], blocks.value_rowids()))
    count = tf.size(first)
    found = [
        tf.TensorArray(dtype, count, infer_shape=False, element_shape=[None])
        for dtype in (tf.int32, tf.bool, tf.int32)
    ]

    def block(number, carry, found):
        one = slice(first[number], last[number])
        carry = tf.where(begins[number], 0.0, carry)
        own, own_sizes = starts[one], sizes[one]
        start, size = own[0], tf.reduce_sum(own_sizes)
        new, ends, carry = _segmented(
            scores[start : start + size], own - start, own_sizes, carry
        )
        values = (new, ends, start + tf.range(size))
        found = [a.write(number, v) for a, v in zip(found, values, strict=True)]
        return number + 1, carry, found

    *_, found = tf.while_loop(
        lambda number, *_: number < count, block, (0, tf.constant(0.0), found)
    )
    new, ends, places = (array.concat() for array in found)
    return with_values(lengths, places, new), with_values(is_end, places, ends)


def _segmented(scores, starts, sizes, carry):
    """Segments a block, with the sum before it.

    Returns:
        int32 (n,), lengths of the last pieces; bool (n,), where pieces end; and the
        sum after the block.
    """
    order = tf.argsort(sizes, direction="DESCENDING", stable=True)

    def again(guesses, *_):
        lengths, after = _last_pieces(scores, starts, sizes, order, guesses)
        # All is right up to the first guess that is not the sum before it.
        wrong = where(tf.not_equal(guesses[1:], after[:-1]))
        right = tf.concat([wrong, [tf.size(guesses, tf.int64)]], 0)[0] + 1
        goes_on = tf.size(wrong) > 0
        changes = tf.cast(after, tf.float64) - tf.cast(guesses, tf.float64)
        sums = tf.cumsum(changes[right:], exclusive=True)
        sums += tf.cast(
            after[tf.minimum(right, tf.size(after, tf.int64)) - 1], tf.float64
        )
        sums -= tf.floor(sums / LOWEST) * LOWEST  # about where it starts again
        more = tf.concat([after[right - 1 : right], tf.cast(sums[1:], tf.float32)], 0)
        guesses = tf.concat(
            [guesses[:right], more[: tf.size(guesses, tf.int64) - right]], 0
        )
        return guesses, lengths, after, goes_on

    guesses = tf.concat([[carry], tf.zeros_like(sizes[1:], tf.float32)], 0)
    _, lengths, after, _ = tf.while_loop(
        lambda *state: state[-1],
        again,
        (guesses, tf.zeros_like(scores[:, 0], tf.int32), guesses, True),
        shape_invariants=(_VECTOR, _VECTOR, _VECTOR, tf.TensorShape([])),
    )
    is_end = with_value(tf.zeros_like(lengths, tf.bool), starts + sizes - 1, value=True)
    return lengths, with_ends(is_end, lengths, starts, sizes, order), after[-1]


def _last_pieces(scores, starts, sizes, order, sums):
    """The best last piece at every character, and the sums after the spans.

    Args:
        scores: (n, M).
        starts: int32 (s,).
        sizes: int32 (s,).
        order: int32 (s,), the spans, the longest first.
        sums: float32 (s,), the sums before the spans.
    """
    num_columns = tf.shape(scores)[1]
    first, span_sizes = tf.gather(starts, order), tf.gather(sizes, order)
    count, size = tf.size(order), span_sizes[0]
    alive = count - tf.searchsorted(span_sizes[::-1], tf.range(size), side="right")
    sums = tf.gather(sums, order)
    best = tf.fill([count, num_columns - 1], -np.float32(np.inf))
    best = tf.concat([best, tf.where(sums < LOWEST, 0.0, sums)[:, None]], 1)
    arrays = [
        tf.TensorArray(dtype, size, infer_shape=False, element_shape=[None])
        for dtype in (tf.int32, tf.float32, tf.int32)
    ]

    def step(index, best, subtracted, lengths, tops, places):
        number = alive[index]
        place = first[:number] + index
        best, subtracted = best[:number], subtracted[:number]
        sums = best + tf.gather(scores, place) - subtracted
        top = tf.reduce_max(sums, 1)
        column = tf.argmax(sums, 1, output_type=tf.int32)  # the first one is longest
        lowers = tf.where(top < LOWEST, top, 0.0)[:, None]
        best = tf.concat([best[:, 1:], top[:, None] - lowers], 1)
        subtracted = tf.concat([subtracted[:, 1:] + lowers, tf.zeros_like(lowers)], 1)
        return (
            index + 1,
            best,
            subtracted,
            lengths.write(index, num_columns - column),
            tops.write(index, top),
            places.write(index, place),
        )

    matrix = tf.TensorShape([None, None])
    *_, lengths, tops, places = tf.while_loop(
        lambda index, *_: index < size,
        step,
        (0, best, tf.zeros_like(best), *arrays),
        shape_invariants=(tf.TensorShape([]), matrix, matrix, None, None, None),
    )
    order = places.concat()
    after = with_values(tf.zeros_like(scores[:, 0]), order, tops.concat())
    lengths = with_values(tf.zeros_like(after, tf.int32), order, lengths.concat())
    return lengths, tf.gather(after, starts + sizes - 1)
