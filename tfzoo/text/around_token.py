"""Tokenizes texts in which a special token is recognized, in TensorFlow."""

import tensorflow as tf

from tfzoo.text.vectors import row_numbers, where, with_value, with_values


def ids_around_token(texts, token, token_id, tokenize, *, lstrip=None):
    """Ids of texts; the parts around the token are tokenized like texts of their own.

    Args:
        texts: (B,) strings in UTF-8.
        token: The token, a str.
        token_id: Its id.
        tokenize: Function of (P,) strings that returns ragged int32 ids (P, None).
        lstrip: Regular expression of what the token includes before it; None for
            nothing.

    Returns:
        Ragged int32 tensor (B, None).
    """
    parts = tf.strings.split(texts, token)
    # Every part except the first of a text follows a token.
    is_first = with_value(
        tf.zeros([tf.size(parts.flat_values) + 1], tf.bool),
        parts.row_splits,
        value=True,
    )
    texts = parts.flat_values
    if lstrip is not None:
        stripped = tf.strings.regex_replace(texts, lstrip, "")
        texts = tf.where(is_first[1:], texts, stripped)
    ids = tokenize(texts)
    ids, splits = ids.flat_values, ids.row_splits
    follows = where(~is_first[:-1])
    num_tokens = tf.cumsum(tf.cast(~is_first, tf.int64))[:-1]
    places = tf.range(tf.size(ids, tf.int64)) + tf.gather(
        num_tokens, row_numbers(splits, tf.size(ids))
    )
    size = tf.size(ids) + tf.size(follows)
    ids = with_values(tf.fill([size], token_id), places, ids)
    splits = tf.gather(splits, parts.row_splits)
    splits += tf.gather(tf.pad(num_tokens, [[1, 0]]), parts.row_splits)
    return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)
