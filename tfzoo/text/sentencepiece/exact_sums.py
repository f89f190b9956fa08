"""Segmentation of spans again, with the sums that the reference has before them.

Shapes: N characters, S spans, M characters of the longest piece, K of S spans, R rows,
T pieces.
"""

import tensorflow as tf

from tfzoo.text.sentencepiece.spans import last_pieces, scores_of, with_ends
from tfzoo.text.vectors import preceding, where, with_value, with_values

_COLUMNS = 64  # sums of a row that are computed at once
_VECTOR = tf.TensorShape([None])


def again(scores, lengths, is_end, starts, sizes, rows, chosen):
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
    values = scores_of(scores, lengths, tf.gather(ends, pieces.flat_values))
    row_splits = tf.concat([tf.gather(splits, of_row), splits[-1:]], 0)
    found = tf.gather(running_sums(values, row_splits), splits[:-1])
    sums = with_values(tf.zeros(tf.shape(starts), scores.dtype), some, found)
    new, _ = last_pieces(scores, lengths, starts, sizes, chosen, sums)
    first, after = tf.gather(starts, chosen), tf.gather(starts + sizes, chosen)
    inside = tf.ragged.range(first, after - 1).flat_values
    new_is_end = with_value(is_end, inside, value=False)
    new_is_end = with_ends(new_is_end, new, starts, sizes, chosen)
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
