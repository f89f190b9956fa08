"""Requests to a model that generates, brought into the sizes and limits it has.

The server puts rows of strangers into one batch, so no row may fail: what is out of
range is moved to the nearest value within.

Shapes: B rows, R rows after padding, W columns.
"""

import tensorflow as tf

from tfzoo.serving.core import num_columns, num_rows, padded

# Wider than any use; far beyond them float32 overflows somewhere.
TEMPERATURES = 1e-4, 1e4
REPETITION_PENALTIES = 1e-2, 1e2


def limited(options, *, max_new_tokens, vocabulary_size):
    """Options of a row each, (B,), within what the model can do.

    Args:
        options: Dict of `max_new_tokens`, `top_k` int32, `seed` int64, `temperature`,
            `top_p`, `repetition_penalty` float32. A float that is not a number counts
            as 1, which changes nothing.
        max_new_tokens: The most there may be.
        vocabulary_size: The most for `top_k`.
    """
    temperature = _within(options["temperature"], 0.0, TEMPERATURES[1])
    return {
        "max_new_tokens": tf.clip_by_value(
            options["max_new_tokens"], 0, max_new_tokens
        ),
        "top_k": tf.clip_by_value(options["top_k"], 0, vocabulary_size),
        "seed": options["seed"],
        "temperature": tf.where(temperature < TEMPERATURES[0], 0.0, temperature),
        "top_p": _within(options["top_p"], 0.0, 1.0),
        "repetition_penalty": _within(
            options["repetition_penalty"], *REPETITION_PENALTIES
        ),
    }


def _within(values, lowest, highest):
    clipped = tf.clip_by_value(values, lowest, highest)
    return tf.where(tf.math.is_nan(values), 1.0, clipped)


def of_one_size(inputs):
    """The same vectors, after a check that raises InvalidArgument with their sizes."""
    with tf.device("/CPU:0"):
        sizes = tf.stack([tf.size(value) for value in inputs.values()])
        check = tf.debugging.Assert(
            tf.reduce_all(sizes == sizes[0]),
            [f"{', '.join(inputs)} must have a value for each row. Received:", sizes],
            summarize=len(inputs),
        )
        with tf.control_dependencies([check]):
            return {name: tf.identity(value) for name, value in inputs.items()}


def last_ids(ids, most, fill, first=None):
    """The end of each row of ids, `fill` where there is none.

    Args:
        ids: Ragged int32 (B, None).
        most: int32 (B,) or a number: the most ids of a row.
        fill: The id that is all of an empty row.
        first: None, or an id that stands before the end of each row and counts.

    Returns:
        int32 (B, W) with padding on the right, W at least 1, and the numbers of ids
        int32 (B,), at least 1.
    """
    if first is not None:
        most = most - 1
    kept = tf.minimum(tf.cast(ids.row_lengths(), tf.int32), most)
    ends = tf.cast(ids.row_splits[1:], tf.int32)
    dense, counts = _gathered(ids, ends - kept, kept, fill)
    if first is None:
        return dense, counts
    return tf.pad(dense, [[0, 0], [1, 0]], constant_values=first), kept + 1


def first_ids(ids, most, fill):
    """As `last_ids`, but the beginning; and the numbers of ids may be 0."""
    kept = tf.minimum(tf.cast(ids.row_lengths(), tf.int32), most)
    starts = tf.cast(ids.row_splits[:-1], tf.int32)
    return _gathered(ids, starts, kept, fill)[0], kept


def _gathered(ids, starts, counts, fill):
    width = tf.maximum(tf.reduce_max(counts), 1)  # of no rows the lowest integer
    columns = tf.range(width)
    values = tf.concat([ids.flat_values, [fill]], axis=0)
    places = tf.where(
        columns < counts[:, None], starts[:, None] + columns, tf.size(values) - 1
    )
    return tf.gather(values, places), tf.maximum(counts, 1)


def padded_rows(values, rows, fill):
    """A vector with so many values, those that are added are `fill`."""
    return tf.pad(values, [[0, rows - tf.shape(values)[0]]], constant_values=fill)


def padded_ids(ids, fill, most, jit_compile):
    """Ids (B, S) with as many rows and columns as one of the few sizes has.

    Args:
        ids: int32.
        fill: The id of all that is added.
        most: The largest S.
        jit_compile: Whether XLA compiles what reads them.
    """
    rows, columns = tf.unstack(tf.shape(ids))
    rows = num_rows(rows, jit_compile=jit_compile)
    columns = num_columns(columns, most, jit_compile=jit_compile)
    return padded(ids, rows, columns, fill)
