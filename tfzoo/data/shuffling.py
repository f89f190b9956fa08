"""Shuffling without memory: a random permutation computed element by element.

A Feistel network permutes [0, 2^b); values outside [0, count) are permuted again until
they fall inside (cycle walking).
Source: Black and Rogaway 2002, https://doi.org/10.1007/3-540-45760-7_9
"""

import numpy as np

_ROUNDS = 6
_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


def shuffled(positions, count, *, seed):
    """Applies a random permutation of [0, count) to `positions`.

    Args:
        positions: Integers in [0, count), any shape.
        count: Number of elements, less than 2^62.
        seed: An integer or a sequence of integers that determines the permutation.

    Returns:
        int64, the shape of `positions`.
    """
    positions = np.asarray(positions, np.int64)
    if positions.size and not 0 <= positions.min() <= positions.max() < count:
        raise ValueError(f"positions must be in [0, count). Received: count={count}")
    half_bits = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    keys = _round_keys(seed)
    values = _feistel(positions.astype(np.uint64).ravel(), half_bits, keys)
    while (outside := values >= count).any():
        values[outside] = _feistel(values[outside], half_bits, keys)
    return values.astype(np.int64).reshape(positions.shape)


def _feistel(values, half_bits, keys):
    bits, low = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = values >> bits, values & low
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & low)
    return left << bits | right


def _round_keys(seed):
    words = [int(word) & _MASK for word in np.atleast_1d(np.asarray(seed, np.int64))]
    state, keys = 0, []
    for word in [*words, *range(_ROUNDS)]:
        state = (state + _STEP ^ word) & _MASK
        keys.append(_mixed(np.array([state], np.uint64))[0])
        state = int(keys[-1])
    return keys[len(words) :]


def _mixed(x):
    """SplitMix64's output function (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
