"""Vectors in TensorFlow: what the graph tokenizers do to theirs again and again."""

import tensorflow as tf


def where(condition):
    """int64 indices at which a vector is True."""
    return tf.squeeze(tf.where(condition), 1)


def with_value(vector, indices, value):
    """The vector with one value at some indices."""
    values = tf.fill(tf.shape(indices), tf.cast(value, vector.dtype))
    return tf.tensor_scatter_nd_update(vector, tf.expand_dims(indices, 1), values)


def with_values(vector, indices, values):
    """The vector with other values at some indices."""
    return tf.tensor_scatter_nd_update(vector, tf.expand_dims(indices, 1), values)


def following(vector, last):
    """The vector moved by one: what follows every element, `last` after the last."""
    return tf.concat([vector, [last]], 0)[1:]


def preceding(vector, first):
    """The vector moved by one: what precedes every element, `first` the first."""
    return tf.concat([[first], vector], 0)[:-1]


def segment_numbers(starts, size):
    """int32 (size,): in which segment, from 0, every element lies.

    Args:
        starts: Different indices of the first elements, in order; the first is 0.
        size: Number of elements.
    """
    size = tf.cast(size, starts.dtype)
    ones = tf.ones_like(starts, tf.int32)
    return tf.cumsum(tf.scatter_nd(tf.expand_dims(starts, 1), ones, [size])) - 1
