"""The most likely spans of contexts read in windows, in TensorFlow operations.

The probability of a span is that of its start times that of its end; both are
distributions over the tokens of the context, and the first token, in all windows.

Shapes: B questions, W windows, S tokens, K spans per question, L maximum number of
tokens of a span.

Source: google-research/bert run_squad.py, `write_predictions`
"""

import tensorflow as tf

_NEVER = -1e9  # the logit of impossible positions
NO_ANSWER = -1  # the token that represents no answer


def window_spans(logits, where, *, top_k, max_answer_length):
    """The input of `likeliest_spans` for some windows.

    Args:
        logits: Logits of start and end, floating point (W, S, 2).
        where: Dict of int32 (W,): `offset`, the position in the window of its first
            context token, and `count`, the number of its context tokens.
        top_k: Maximum number of spans K per window.
        max_answer_length: L.

    Returns:
        Dict with, for each window, the `score` (W, K) of its best spans, which is the
        sum of their logits; their `place`, the start in the window times L plus
        length - 1; the logit of no answer, `nothing` (W,); and for the logits of start
        and of end, the `largest` (W, 2) and the `sum` of exponentials relative to it.
    """
    position = tf.range(tf.shape(logits)[1])
    columns = position - where["offset"][:, tf.newaxis]
    in_context = (columns >= 0) & (columns < where["count"][:, tf.newaxis])
    may_count = in_context | (position == 0)
    never = tf.constant(_NEVER, logits.dtype)
    counted = tf.where(may_count[..., tf.newaxis], logits, never)
    largest = tf.reduce_max(counted, axis=1)
    starts, ends = tf.unstack(
        tf.where(in_context[..., tf.newaxis], logits, 2 * never), axis=-1
    )
    after = tf.fill([tf.shape(ends)[0], max_answer_length - 1], 2 * never)
    ends = tf.signal.frame(tf.concat([ends, after], 1), max_answer_length, 1)
    sums = starts[..., tf.newaxis] + ends
    rows, columns, lengths = tf.unstack(tf.shape(sums))
    sums = tf.reshape(sums, [rows, columns * lengths])
    if top_k > max_answer_length:  # there may be fewer
        more = tf.maximum(top_k - columns * lengths, 0)
        sums = tf.pad(sums, [[0, 0], [0, more]], constant_values=2 * never)
    score, place = tf.math.top_k(sums, top_k)
    return {
        "score": score,
        "place": place,
        "nothing": tf.reduce_sum(logits[:, 0], axis=-1),
        "largest": largest,
        "sum": tf.reduce_sum(tf.exp(counted - largest[:, tf.newaxis]), axis=1),
    }


def likeliest_spans(
    spans, where, num_questions, *, top_k, max_answer_length, unanswerable
):
    """The most likely spans of each question over all its windows.

    Args:
        spans: The result of `window_spans` for W windows.
        where: Dict of int32 (W,): the arguments of `window_spans`, the index of the
            window's `question`, and the index `first` in the context of the window's
            first context token.
        num_questions: B.
        top_k: K.
        max_answer_length: L.
        unanswerable: Whether the results include no answer, whose logit is the minimum
            over all windows.

    Returns:
        Probabilities, first and last tokens in the context, ragged (B, up to K), most
        likely first; the tokens are NO_ANSWER for no answer.
    """
    question = where["question"]
    whole = _log_sum_exp(spans["largest"], spans["sum"], question, num_questions)
    # A span of the context may be in two windows, but counts once.
    start = (where["first"] - where["offset"])[:, tf.newaxis]
    start += spans["place"] // max_answer_length
    length = spans["place"] % max_answer_length
    exists = spans["score"] > _NEVER
    rows = tf.repeat(tf.cast(question, tf.int64), tf.shape(spans["score"])[1])
    keys = tf.cast(tf.reshape(start * max_answer_length + length, [-1]), tf.int64)
    score, keep = tf.reshape(spans["score"], [-1]), tf.reshape(exists, [-1])
    rows, keys, score = (tf.boolean_mask(x, keep) for x in (rows, keys, score))
    size = tf.reduce_max(tf.concat([keys, [0]], 0)) + 1
    names, numbers = tf.unique(rows * size + keys)
    score = tf.math.unsorted_segment_max(score, numbers, tf.size(names))
    rows, keys = names // size, names % size
    first = tf.cast(keys // max_answer_length, tf.int32)
    last = first + tf.cast(keys % max_answer_length, tf.int32)
    if unanswerable:
        least = tf.math.unsorted_segment_min(spans["nothing"], question, num_questions)
        nowhere = tf.fill([num_questions], NO_ANSWER)
        # After the spans, so that an equally likely span comes first.
        rows = tf.concat([rows, tf.range(tf.cast(num_questions, tf.int64))], 0)
        score = tf.concat([score, least], 0)
        first, last = (tf.concat([x, nowhere], 0) for x in (first, last))
    order = tf.argsort(score, direction="DESCENDING", stable=True)
    order = tf.gather(order, tf.argsort(tf.gather(rows, order), stable=True))
    rows = tf.gather(rows, order)
    probability = tf.exp(tf.gather(score, order) - tf.gather(whole, rows))
    found = (probability, tf.gather(first, order), tf.gather(last, order))
    return tuple(
        tf.RaggedTensor.from_value_rowids(x, rows, tf.cast(num_questions, tf.int64))[
            :, :top_k
        ]
        for x in found
    )


def _log_sum_exp(largest, sums, question, num_questions):
    """Sum over start and end of the log of the sum over all tokens, (B,)."""
    most = tf.math.unsorted_segment_max(largest, question, num_questions)
    sums = sums * tf.exp(largest - tf.gather(most, question))
    sums = tf.math.unsorted_segment_sum(sums, question, num_questions)
    return tf.reduce_sum(tf.math.log(sums) + most, axis=-1)
