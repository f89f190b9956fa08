"""Tokenizes texts in parts, so that memory does not grow with the request.

Shapes: B rows.
"""

import tensorflow as tf

from tfzoo.text.in_parts import in_parts

TEXT_PART = 1 << 16  # bytes of text that are tokenized at once
_ROW = 16  # bytes that a row counts in addition to its text


def text_in_parts(function, texts):
    """Like `in_parts`, with texts in parts of at most `TEXT_PART` bytes, or one row.

    Args:
        function: Function of a dict with some rows of `texts`.
        texts: Dict of strings (B,).
    """
    texts = {name: _vector(value, name) for name, value in texts.items()}
    sizes = sum(tf.cast(tf.strings.length(x), tf.int64) for x in texts.values()) + _ROW
    ends = tf.cumsum(sizes)

    def end_of(start):
        before = tf.pad(ends, [[1, 0]])[start]
        fitting = tf.searchsorted(ends, [before + TEXT_PART], side="right")[0]
        return tf.minimum(tf.maximum(fitting, start + 1), tf.size(ends))

    return in_parts(
        lambda start, end: function({k: x[start:end] for k, x in texts.items()}),
        end_of,
        tf.size(ends),
    )


def _vector(texts, name):
    """Returns the texts after a check that loaders outside Python do not make."""
    is_vector = tf.equal(tf.raw_ops.Rank(input=texts), 1)
    message = [f"{name} must be a vector. Received the shape:", tf.shape(texts)]
    check = tf.debugging.Assert(is_vector, message)
    with tf.control_dependencies([check]):
        return tf.identity(texts)


def flat_rows(ragged, lengths="lengths"):
    """Ragged tensors (B, None) with equal rows, as vectors and `lengths` (B,)."""
    flat = {name: value.flat_values for name, value in ragged.items()}
    return {**flat, lengths: next(iter(ragged.values())).row_lengths()}


def ragged_rows(flat, names, lengths="lengths"):
    """Rebuilds the ragged tensors `names` from the result of `flat_rows`."""
    return {
        name: tf.RaggedTensor.from_row_lengths(
            flat[name], flat[lengths], validate=False
        )
        for name in names
    }
