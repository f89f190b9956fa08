"""Extracts passages from texts by position, in TensorFlow operations.

Shapes: B texts, P passages.
"""

import tensorflow as tf


def passages(texts, rows, starts, ends):
    """Returns passages of texts, in UTF-8.

    Args:
        texts: string (B,).
        rows: int64 (P,), index of the text of each passage.
        starts: int32 (P,), first character, in code points of the text.
        ends: int32 (P,), end, exclusive.

    Returns:
        string (P,). Invalid UTF-8 becomes U+FFFD, as many as in Python's
        `decode("utf-8", "replace")`.
    """
    code_points = tf.strings.unicode_decode(texts, "UTF-8")
    text_starts = tf.gather(code_points.row_starts(), rows)
    starts, ends = (text_starts + tf.cast(x, tf.int64) for x in (starts, ends))
    # Copies only the passages, however long the texts are.
    places = tf.ragged.range(starts, ends)
    characters = tf.gather(code_points.flat_values, places.flat_values)
    return tf.strings.unicode_encode(places.with_flat_values(characters), "UTF-8")
