"""Vectors in TensorFlow: what the graph tokenizers do to theirs again and again."""

import tensorflow as tf


def where(condition):
    """int64 indices at which a vector is True."""
    return tf.squeeze(tf.where(condition), 1)


def with_value(vector, indices, *, value):
    """The vector with one value at some indices."""
    values = tf.fill(tf.shape(indices), tf.cast(value, vector.dtype))
    return tf.tensor_scatter_nd_update(vector, tf.expand_dims(indices, 1), values)


def with_values(vector, indices, values):
    """The vector with other values at some indices."""
    return tf.tensor_scatter_nd_update(vector, tf.expand_dims(indices, 1), values)


def following(vector, *, last):
    """The vector moved by one: what follows every element, `last` after the last."""
    return tf.concat([vector, [last]], 0)[1:]


def preceding(vector, *, first):
    """The vector moved by one: what precedes every element, `first` the first."""
    return tf.concat([[first], vector], 0)[:-1]


def row_numbers(splits, size):
    """int32 (size,): in which row every element lies.

    Args:
        splits: (B + 1,) where the rows begin and end; rows may be empty.
        size: Number of elements.
    """
    ends = tf.expand_dims(splits[1:], 1)
    size = tf.cast(size, splits.dtype)
    ended = tf.scatter_nd(ends, tf.ones_like(splits[1:], tf.int32), [size + 1])
    return tf.cumsum(ended)[:-1]
