"""Requests for text generation, adapted to the model's sizes and limits.

The server batches rows from different clients, so no row may fail: values out of range
are clipped to the nearest allowed value.

Shapes: B rows, R rows after padding, W columns.
"""

import tensorflow as tf

from tfzoo.serving.core import num_columns, num_rows, padded

# Wider than any use; far outside of them float32 overflows somewhere.
TEMPERATURES = 1e-4, 1e4
REPETITION_PENALTIES = 1e-2, 1e2


def limited(options, *, max_new_tokens, vocabulary_size):
    """Clips the options of each row, (B,), to what the model supports.

    Args:
        options: Dict of `max_new_tokens`, `top_k` int32, `seed` int64, `temperature`,
            `top_p`, `repetition_penalty` float32. NaN counts as 1, which is neutral.
        max_new_tokens: Maximum number of new tokens.
        vocabulary_size: Maximum of `top_k`.
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
    """Returns the vectors after checking that their sizes are equal."""
    with tf.device("/CPU:0"):
        sizes = tf.stack([tf.size(value) for value in inputs.values()])
        check = tf.debugging.Assert(
            tf.reduce_all(sizes == sizes[0]),
            [f"{', '.join(inputs)} must have a value for each row. Received:", sizes],
            summarize=len(inputs),
        )
        with tf.control_dependencies([check]):
            return {name: tf.identity(value) for name, value in inputs.items()}


def last_ids(ids, most, fill, first=()):
    """The last ids of each row; a single `fill` for an empty row.

    Args:
        ids: Ragged int32 (B, None).
        most: int32 (B,) or an integer, the maximum number of ids in a row.
        fill: Id for empty rows.
        first: List of ids to put before those of each row, counted in `most`.

    Returns:
        int32 (B, W), padded on the right, W at least 1; and the numbers of ids, int32
        (B,), at least 1.
    """
    most = most - len(first)
    kept = tf.minimum(tf.cast(ids.row_lengths(), tf.int32), most)
    ends = tf.cast(ids.row_splits[1:], tf.int32)
    dense, counts = _gathered(ids, ends - kept, kept, fill)
    if not first:
        return dense, counts
    first = tf.tile(tf.constant([first], tf.int32), [tf.shape(dense)[0], 1])
    return tf.concat([first, dense], axis=1), kept + tf.shape(first)[1]


def first_ids(ids, most, fill):
    """Like `last_ids`, but the first ids; the numbers of ids may be 0."""
    kept = tf.minimum(tf.cast(ids.row_lengths(), tf.int32), most)
    starts = tf.cast(ids.row_splits[:-1], tf.int32)
    return _gathered(ids, starts, kept, fill)[0], kept


def _gathered(ids, starts, counts, fill):
    width = tf.maximum(tf.reduce_max(counts), 1)  # lowest integer if there are no rows
    columns = tf.range(width)
    values = tf.concat([ids.flat_values, [fill]], axis=0)
    places = tf.where(
        columns < counts[:, None], starts[:, None] + columns, tf.size(values) - 1
    )
    return tf.gather(values, places), tf.maximum(counts, 1)


def padded_rows(values, rows, fill):
    """Pads a vector with `fill` to a number of values."""
    return tf.pad(values, [[0, rows - tf.shape(values)[0]]], constant_values=fill)


def padded_ids(ids, fill, most, jit_compile):
    """Pads ids (B, S) to one of the few sizes of rows and columns.

    Args:
        ids: int32.
        fill: Padding id.
        most: Maximum of S.
        jit_compile: Whether XLA compiles the consumer.
    """
    rows, columns = tf.unstack(tf.shape(ids))
    rows = num_rows(rows, jit_compile=jit_compile)
    columns = num_columns(columns, most, jit_compile=jit_compile)
    return padded(ids, rows, columns, fill)
