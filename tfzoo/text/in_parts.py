"""Computations in parts, so that memory does not grow with the size of the input."""

import tensorflow as tf

PIECE = 1 << 16  # bytes of a long text that are tokenized at once


def in_parts(function, end_of, count):
    """Calls a function for one part of the rows after another and joins the results.

    Args:
        function: Function of the first row of a part and the row after its last (int32
            scalars) that returns a dictionary of tensors, which are concatenated along
            their first axis. It is called once, with no rows, if `count` is 0.
        end_of: Function of the first row of a part that returns the row after its last,
            at most `count`.
        count: int32 scalar B, the number of rows.
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


def in_pieces(function, text):
    """Calls a function for one piece of a text after another and joins the results.

    A piece starts at a space after a printable ASCII character, where a word of BERT
    and of GPT-2 ends in any context. A text without such a position is a single piece.

    Args:
        function: Function of a piece, string (1,), that returns a dictionary of
            tensors, which are concatenated along their first axis.
        text: string scalar.
    """
    content = tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32)
    before = tf.concat([[0], content], 0)[:-1]
    is_end = tf.equal(content, ord(" ")) & (before > ord(" ")) & (before < 127)
    size = tf.size(content)
    ends = tf.cast(tf.squeeze(tf.where(is_end), 1), tf.int32)
    ends = tf.concat([ends, [size]], 0)
    return in_parts(
        lambda start, end: function(tf.strings.substr(text, start, end - start)[None]),
        lambda start: ends[
            tf.minimum(tf.searchsorted(ends, [start + PIECE])[0], tf.size(ends) - 1)
        ],
        size,
    )
