"""Thresholds of a distribution, without sorting it.

Shapes: B rows, V vocabulary_size.
"""

import tensorflow as tf


def largest_with_mass(keys, weights, mass, active):
    """The largest key such that keys at least as large have a total weight >= `mass`.

    Bisects over the bits of float32, which are ordered like the numbers: 32 passes,
    whereas XLA on a CPU takes milliseconds to sort a vocabulary.

    Args:
        keys: float32 (B, V), no NaN.
        weights: float32 (B, V), not negative.
        mass: float32 (B,).
        active: Boolean (B,). For inactive rows, and if the total weight is less than
            `mass`, the result is at most the smallest key. If no row is active, there
            are no passes.

    Returns:
        float32 (B,).
    """

    def halve(_, low, high):
        middle = (low & high) + tf.bitwise.right_shift(low ^ high, 1)  # no overflow
        middle += (low ^ high) & 1  # rounded up, so that low = middle makes progress
        at_least = tf.where(ordered >= middle[:, None], weights, 0.0)
        enough = tf.reduce_sum(at_least, axis=1) >= mass
        low, high = tf.where(enough, middle, low), tf.where(enough, high, middle - 1)
        return _ + 1, low, high

    ordered = _in_order(tf.bitcast(keys, tf.int32))
    lowest = tf.fill(tf.shape(mass), _in_order(tf.bitcast(float("-inf"), tf.int32)))
    highest = tf.reduce_max(ordered, axis=1)
    passes = tf.where(tf.reduce_any(active), 32, 0)
    _, low, _ = tf.while_loop(
        lambda i, low, high: i < passes, halve, (tf.constant(0), lowest, highest)
    )
    return tf.bitcast(_in_order(tf.where(active, low, lowest)), tf.float32)


def _in_order(bits):
    """Maps bits of float32 to integers in the order of the numbers, and back."""
    return bits ^ (tf.bitwise.right_shift(bits, 31) & 0x7FFFFFFF)
