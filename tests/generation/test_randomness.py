import numpy as np
import tensorflow as tf

from tfzoo.generation.randomness import uniform

MASK = 2**64 - 1


def by_python(*numbers):
    """The hash in Python's integers, which have no fixed size."""
    bits = 0
    for number in numbers:
        bits = (bits + number + 0x9E3779B97F4A7C15) & MASK
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
        bits ^= bits >> 31
    return (bits >> 40) / 2**24


def arrays(seeds, counters, steps):
    return (
        tf.constant(seeds, tf.int64),
        tf.constant(counters, tf.int32),
        tf.constant(steps, tf.int32),
    )


def test_equals_the_hash_in_plain_python():
    seeds, counters, steps = (
        [0, 7, -3, 2**63 - 1, -(2**63)],
        [0, 1, 2, 0, 5],
        [0, 9] * 2,
    )
    steps = [*steps, 3]
    expected = [by_python(*n) for n in zip(seeds, counters, steps, strict=True)]
    np.testing.assert_array_equal(uniform(*arrays(seeds, counters, steps)), expected)


def test_graph_and_xla_give_the_same_bits():
    numbers = arrays(np.arange(64), np.arange(64) % 3, np.arange(64) // 2)
    graph = tf.function(uniform, autograph=False)(*numbers)
    xla = tf.function(uniform, autograph=False, jit_compile=True)(*numbers)
    np.testing.assert_array_equal(graph, xla)


def test_rows_do_not_depend_on_other_rows():
    together = uniform(*arrays([1, 2, 3], [0, 1, 0], [4, 4, 5]))
    alone = uniform(*arrays([2], [1], [4]))
    assert together[1] == alone[0]


def test_numbers_are_uniform_in_each_of_the_three_integers():
    zeros, count = np.zeros(20_000, np.int64), np.arange(20_000)
    for numbers in (
        (count, zeros, zeros),
        (zeros, count, zeros),
        (zeros, zeros, count),
    ):
        u = uniform(*arrays(*numbers)).numpy()
        assert 0 <= u.min() and u.max() < 1
        observed = np.histogram(u, 50, (0, 1))[0]
        assert ((observed - 400) ** 2 / 400).sum() < 95  # chi-square, 49: p = 1e-4
        assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.03
