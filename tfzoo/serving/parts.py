"""Batches computed in parts, so that memory does not grow with what is sent.

Shapes: B rows.
"""

import tensorflow as tf

TEXT_PART = 1 << 17  # bytes of text that are tokenised at once
_ROW = 16  # bytes that a row counts for beside its text


def in_parts(function, end_of, count):
    """What a function says of one part of the rows after another, as one.

    Args:
        function: Of the first row of a part and the row after its last, int32 scalars;
            returns a dictionary of tensors, which are joined along their first axis.
            It is called with no rows where there are none.
        end_of: Of the first row of a part; the row after its last, at most `count`.
        count: int32 scalar B.
    """
    end = end_of(tf.constant(0))
    results = function(tf.constant(0), end)

    def all_parts():
        arrays = {
            name: tf.TensorArray(
                value.dtype,
                size=1,
                dynamic_size=True,
                infer_shape=False,
                element_shape=[None, *value.shape[1:]],
            ).write(0, value)
            for name, value in results.items()
        }
        *_, arrays = tf.while_loop(
            lambda start, *_: start < count,
            compute,
            (end, tf.constant(1), arrays),
            parallel_iterations=1,
        )
        return {name: array.concat() for name, array in arrays.items()}

    def compute(start, number, arrays):
        end = end_of(start)
        results = function(start, end)
        written = {name: a.write(number, results[name]) for name, a in arrays.items()}
        return end, number + 1, written

    return tf.cond(end < count, all_parts, lambda: results)


def text_in_parts(function, texts):
    """As `in_parts`, of texts in parts of at most `TEXT_PART` bytes, or of one row.

    Args:
        function: Of a dictionary of some rows of `texts`.
        texts: Dictionary of strings (B,).
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
    """The same, after a check of what loaders outside Python leave unchecked."""
    is_vector = tf.equal(tf.raw_ops.Rank(input=texts), 1)
    message = [f"{name} must be a vector. Received the shape:", tf.shape(texts)]
    check = tf.debugging.Assert(is_vector, message)
    with tf.control_dependencies([check]):
        return tf.identity(texts)


def flat_rows(ragged, lengths="lengths"):
    """Ragged tensors (B, None) of the same rows as vectors, with `lengths` (B,)."""
    flat = {name: value.flat_values for name, value in ragged.items()}
    return {**flat, lengths: next(iter(ragged.values())).row_lengths()}


def ragged_rows(flat, names, lengths="lengths"):
    """The ragged tensors of some names of what `flat_rows` gave."""
    return {
        name: tf.RaggedTensor.from_row_lengths(
            flat[name], flat[lengths], validate=False
        )
        for name in names
    }
