"""Dropout with cheap random numbers.

Shapes: any; R all leading axes together, C the last axis.
"""

import keras
from keras import ops

from tfzoo.layers.keywords import LayerKeywords


@keras.saving.register_keras_serializable("tfzoo")
class Dropout(LayerKeywords, keras.layers.Layer):
    """Zeroes a fraction of the elements during training and scales up the others.

    An integer hash of row, column, seed and call count picks the elements, so they are
    the same in graph mode, under XLA and on every backend. `keras.layers.Dropout` draws
    from a generator that costs several times as much in graph mode, and several hundred
    times as much when XLA compiles it for a CPU.

    Args:
        rate: Fraction of the elements to drop, in [0, 1).
        seed: Integer; None draws one.

    Call arguments:
        x: (..., C).

    Returns:
        As `x`.

    Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be in [0, 1). Received: rate={rate}")
        self.rate = rate
        self.seed = seed
        if rate:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        if not training or not self.rate:
            return x
        seed, call = ops.unstack(ops.cast(self.seed_generator.next(), "uint32"))
        *leading, columns = ops.shape(x)
        rows = 1
        for size in leading:
            rows = rows * size
        # One factor per row and one per column: the high bits of their product modulo
        # 2**32, the ones that matter, are as good as random, at the cost of one pass.
        by_row = _hash(_count(rows), seed, call)
        by_column = _hash(_count(columns), call, seed)
        numbers = ops.reshape(by_row, (*leading, 1)) * by_column
        kept = ops.cast(numbers >= _uint32(self.rate * 2**32), x.dtype)
        return x * (kept * (1.0 / (1.0 - self.rate)))

    def compute_output_shape(self, x_shape):
        return x_shape


def _hash(numbers, seed, call):
    """uint32 -> odd uint32; flipping any input bit flips half of the output bits.

    Odd, because multiplying by an odd factor modulo 2**32 loses no information.
    """
    # The constant keeps 0, which `_mix` maps to itself, away from column 0 of seed 0.
    mixed = _mix(_mix(numbers + seed + _uint32(0x9E3779B9)) + call)
    return ops.bitwise_or(mixed, _uint32(1))


def _mix(x):
    """Source: https://nullprogram.com/blog/2018/07/31/, `lowbias32`."""
    x = ops.bitwise_xor(x, ops.right_shift(x, _uint32(16))) * _uint32(0x7FEB352D)
    x = ops.bitwise_xor(x, ops.right_shift(x, _uint32(15))) * _uint32(0x846CA68B)
    return ops.bitwise_xor(x, ops.right_shift(x, _uint32(16)))


def _count(size):
    return ops.cast(ops.arange(size), "uint32")


def _uint32(number):
    return ops.convert_to_tensor(int(number), "uint32")
