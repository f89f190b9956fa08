"""Operations on vectors for the tokenizers in TensorFlow."""

import tensorflow as tf


def where(condition):
    """The int64 indices at which a vector is True."""
    return tf.squeeze(tf.where(condition), 1)


def with_value(vector, indices, *, value):
    """The vector with one value at the given indices."""
    values = tf.fill(tf.shape(indices), tf.cast(value, vector.dtype))
    return tf.tensor_scatter_nd_update(vector, tf.expand_dims(indices, 1), values)


def with_values(vector, indices, values):
    """The vector with new values at the given indices."""
    return tf.tensor_scatter_nd_update(vector, tf.expand_dims(indices, 1), values)


def following(vector, *, last):
    """The successor of every element, `last` for the last one."""
    return tf.concat([vector, [last]], 0)[1:]


def preceding(vector, *, first):
    """The predecessor of every element, `first` for the first one."""
    return tf.concat([[first], vector], 0)[:-1]


def row_numbers(splits, size):
    """The row of every element, int32 (size,).

    Args:
        splits: (B + 1,), the indices at which the rows start and end; rows may be
            empty.
        size: Number of elements.
    """
    ends = tf.expand_dims(splits[1:], 1)
    size = tf.cast(size, splits.dtype)
    ended = tf.scatter_nd(ends, tf.ones_like(splits[1:], tf.int32), [size + 1])
    return tf.cumsum(ended)[:-1]
