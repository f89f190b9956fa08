"""A permutation that needs no memory."""

import numpy as np
import pytest

from tfzoo.data.shuffling import shuffled


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 64, 65, 1000, 4097])
def test_each_number_occurs_once(count):
    order = shuffled(np.arange(count), count, seed=3)
    assert sorted(order) == list(range(count))


def test_a_position_is_independent_of_the_others():
    whole = shuffled(np.arange(1000), 1000, seed=(1, 2))
    assert [shuffled(i, 1000, seed=(1, 2)) for i in (0, 7, 999)] == [
        *whole[[0, 7, 999]]
    ]
    assert shuffled(np.arange(12).reshape(3, 4), 1000, seed=(1, 2)).shape == (3, 4)


def test_every_part_of_the_seed_changes_the_order():
    orders = [
        tuple(shuffled(np.arange(500), 500, seed=seed))
        for seed in (0, 1, (0, 0), (0, 1), (1, 0), -1, 2**62)
    ]
    assert len(set(orders)) == len(orders)


def test_positions_are_uniform_and_neighbors_are_separated():
    """Over many seeds each number comes to each place equally often (chi-square)."""
    count, seeds = 10, 1500
    places = np.zeros((count, count))
    for seed in range(seeds):
        places[np.arange(count), shuffled(np.arange(count), count, seed=seed)] += 1
    expected = seeds / count
    assert ((places - expected) ** 2 / expected).sum() < 81 + 5 * np.sqrt(2 * 81)
    order = shuffled(np.arange(100_000), 100_000, seed=0)
    assert (np.diff(order) == 1).mean() < 1e-3
    assert abs(np.corrcoef(order, np.arange(100_000))[0, 1]) < 0.02


def test_a_position_outside_is_refused():
    with pytest.raises(ValueError, match="count=5"):
        shuffled([5], 5, seed=0)
