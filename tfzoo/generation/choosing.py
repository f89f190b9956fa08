"""Selection of the next token.

Shapes: B rows, V vocabulary_size.
"""

import tensorflow as tf

from tfzoo.generation.processors import PENALTIES, WARPERS, processed
from tfzoo.generation.randomness import uniform


def next_ids(logits, history, rules):
    """Selects the next ids (B,): the most likely, or sampled if there are seeds.

    Args:
        logits: float32 (B, V).
        history: A `History`.
        rules: Dict of processor name -> value. With `seeds` and `counters`, int64 and
            int32 (B,), rows whose `temperature` (B,) is positive are sampled.
    """
    logits = processed(logits, history, rules, PENALTIES)
    best = tf.argmax(logits, axis=-1, output_type=tf.int32)
    if "seeds" not in rules:
        return best

    def draw():
        u = uniform(rules["seeds"], rules["counters"], history.num_new)
        drawn = drawn_ids(processed(logits, history, rules, WARPERS), u)
        return tf.where(rules["temperature"] > 0, drawn, best)

    return tf.cond(tf.reduce_any(rules["temperature"] > 0), draw, lambda: best)


def drawn_ids(logits, u):
    """Samples ids (B,) by inverting the cumulative distribution at u (B,) in [0, 1).

    A token of probability 0 is never drawn, however the sums are rounded.
    """
    probabilities = tf.nn.softmax(logits)
    cumulative = tf.cumsum(probabilities, axis=-1)
    passed = cumulative > u[:, None] * cumulative[:, -1:]
    passed &= probabilities > 0
    likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)
    first = tf.argmax(passed, axis=-1, output_type=tf.int32)
    return tf.where(tf.reduce_any(passed, axis=-1), first, likeliest)
