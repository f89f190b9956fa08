"""Random numbers that are a function of where they are used, and of nothing else.

Shapes: B rows.
"""

import tensorflow as tf

_WEYL = 0x9E3779B97F4A7C15  # 2**64 / golden ratio


def uniform(seeds, counters, steps):
    """One number for each row, 0 <= u < 1, from its own three integers.

    A hash instead of a generator: it has no state that a server would share between
    requests, gives the same bits in graph mode and under XLA, and a row's numbers do
    not depend on the rows beside it.

    Args:
        seeds: int64 (B,).
        counters: Integers (B,), which tell rows of one seed apart.
        steps: Integers (B,).

    Returns:
        float32 (B,), multiples of 2**-24.

    Source: Steele, Lea and Flood 2014, figure 16 (SplitMix64),
        https://doi.org/10.1145/2660193.2660195
    """
    bits = tf.zeros_like(seeds, tf.uint64)
    for number in (seeds, counters, steps):
        number = tf.cast(tf.cast(number, tf.int64), tf.uint64)
        bits = _mixed(bits + number + tf.constant(_WEYL, tf.uint64))
    return tf.cast(_shifted(bits, 40), tf.float32) * 2.0**-24


def _mixed(bits):
    """A bijection of 64 bits in which each bit of the input flips half the output."""
    bits = (bits ^ _shifted(bits, 30)) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    bits = (bits ^ _shifted(bits, 27)) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return bits ^ _shifted(bits, 31)


def _shifted(bits, places):
    return tf.bitwise.right_shift(bits, tf.constant(places, tf.uint64))
