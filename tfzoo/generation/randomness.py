"""Counter-based random numbers.

Shapes: B rows.
"""

import tensorflow as tf

_WEYL = 0x9E3779B97F4A7C15  # 2**64 / golden ratio


def uniform(seeds, counters, steps):
    """A uniform number in [0, 1) for each row, hashed from three integers.

    Unlike a generator, a hash has no state that a server would share between requests,
    gives the same bits in graph mode and under XLA, and makes a row's numbers
    independent of other rows.

    Args:
        seeds: int64 (B,).
        counters: Integers (B,) that distinguish rows with the same seed.
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
    """A 64-bit bijection; flipping any input bit flips half of the output bits."""
    bits = (bits ^ _shifted(bits, 30)) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    bits = (bits ^ _shifted(bits, 27)) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return bits ^ _shifted(bits, 31)


def _shifted(bits, places):
    return tf.bitwise.right_shift(bits, tf.constant(places, tf.uint64))
