"""Log-probabilities of given tokens, without keeping the logits of all at once.

Shapes: B texts, S tokens, D hidden_dim, P parts, R rows of a part, V vocabulary_size.
"""

import tensorflow as tf

MOST_LOGITS = 2**24  # in a part, 64 MB


def log_probabilities(decoder, hidden, ids):
    """The log-probability of each token, float32 (B, S).

    Args:
        decoder: An object with the method `logits` of `GPTDecoder`, and its
            `hidden_dim` and `vocabulary_size`.
        hidden: (B, S, D), the hidden states from which the tokens are predicted.
        ids: int32 (B, S), the tokens.
    """
    count = tf.size(ids)
    most = max(1, MOST_LOGITS // decoder.vocabulary_size)
    rows = tf.clip_by_value(count, 1, most)
    parts = -(-count // rows)
    missing = parts * rows - count

    def in_parts(x, *shape):
        x = tf.pad(tf.reshape(x, [-1, *shape]), [[0, missing], *[[0, 0]] * len(shape)])
        return tf.reshape(x, [parts, rows, *shape])

    def of_one_part(part):
        hidden, ids = part
        logits = decoder.logits(hidden)  # (R, V)
        return 0.0 - tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)

    found = tf.map_fn(
        of_one_part,
        (in_parts(hidden, decoder.hidden_dim), in_parts(ids)),
        parallel_iterations=1,
        fn_output_signature=tf.float32,
    )
    return tf.reshape(tf.reshape(found, [-1])[:count], tf.shape(ids))
