import fractions
import functools

import keras
import numpy as np
import pytest

from tfzoo.layers import RelativePositionBias

SETTINGS = [(32, 128), (8, 12), (16, 9)]


@functools.cache
def bucket(distance, num_buckets, max_distance, bidirectional):
    """Of a query this far after its key, without rounding.

    A range of distances begins where its logarithm, scaled to the number of ranges,
    passes an integer.
    """
    first = 0
    if bidirectional:
        num_buckets //= 2
        first = num_buckets if distance < 0 else 0
    distance = abs(distance) if bidirectional else max(distance, 0)
    exact = num_buckets // 2
    if distance < exact:
        return first + distance
    ranges = num_buckets - exact
    ratio = fractions.Fraction(distance, exact) ** ranges
    most = fractions.Fraction(max_distance, exact)
    last = max(i for i in range(ranges) if ratio >= most**i)
    return first + exact + last


def with_numbers(num_buckets, max_distance, bidirectional=True, num_heads=3):
    layer = RelativePositionBias(num_heads, num_buckets, max_distance, bidirectional)
    layer.build()
    rng = np.random.default_rng(0)
    layer.embeddings.assign(rng.normal(size=(num_buckets, num_heads)))
    return layer


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), SETTINGS)
def test_each_distance_has_the_number_of_its_bucket(
    num_buckets, max_distance, bidirectional
):
    layer = with_numbers(num_buckets, max_distance, bidirectional)
    length = 2 * max_distance
    found = np.asarray(layer(np.zeros((1, length, 5), np.float32)))
    buckets = [
        [bucket(t - s, num_buckets, max_distance, bidirectional) for s in range(length)]
        for t in range(length)
    ]
    expected = np.asarray(layer.embeddings)[buckets].transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(found, expected)


def test_given_positions_select_the_same_numbers():
    layer = with_numbers(8, 12, bidirectional=False)
    whole = np.asarray(layer(np.zeros((2, 9, 5), np.float32)))[0]
    positions, seen = np.array([[8], [3]]), np.array([[0, 5, 8], [1, 2, 3]])
    found = np.asarray(layer.between(positions, seen))
    assert found.shape == (2, 3, 1, 3)
    for row in range(2):
        expected = whole[:, positions[row]][:, :, seen[row]]
        np.testing.assert_array_equal(found[row], expected)


def test_numbers_are_float32_in_half_precision():
    layer = RelativePositionBias(2, 8, 12, dtype="mixed_bfloat16")
    layer.build()
    layer.embeddings.assign(np.full((8, 2), 1.001))
    assert (np.asarray(layer(np.zeros((1, 3, 4)))) == np.float32(1.001)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_buckets=6), "num_buckets must be a multiple of 4. Received: num_buc"),
        (dict(num_buckets=0), "multiple of 4. Received: num_buckets=0"),
        (dict(num_buckets=3, bidirectional=False), "multiple of 2. .*num_buckets=3"),
        (dict(num_buckets=32, max_distance=8), "above .*, 8. Received: max_distance=8"),
    ],
    ids=str,
)
def test_buckets_that_are_none_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        RelativePositionBias(2, **arguments)


def test_a_copy_has_the_same_buckets():
    layer = with_numbers(8, 12, bidirectional=False)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    copy.embeddings.assign(layer.embeddings)
    x = np.zeros((1, 30, 4), np.float32)
    np.testing.assert_array_equal(copy(x), layer(x))
