"""Segmentation of spans side by side, a character of each at a time.

Shapes: N characters, S spans, M characters of the longest piece, K of S spans.
"""

import numpy as np
import tensorflow as tf

from tfzoo.text.vectors import where, with_value, with_values

_LONG = 128  # characters of a span
_VECTOR = tf.TensorShape([None])


def last_pieces(scores, lengths, starts, sizes, order, sums):
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


def with_ends(is_end, lengths, starts, sizes, order):
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


def scores_of(scores, lengths, ends):
    """(T,), the scores of the pieces that end at T characters."""
    columns = tf.shape(scores)[1] - tf.gather(lengths, ends)
    return tf.gather_nd(scores, tf.stack([ends, columns], 1))
