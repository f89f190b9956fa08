import threading

import pytest

from tfzoo.tasks import side_by_side
from tfzoo.tasks.side_by_side import mapped


def test_two_batches_of_a_small_model_are_computed_at_a_time():
    both = threading.Barrier(2, timeout=30)  # passes only if two wait at it

    def function(batch):
        both.wait()
        return batch * 10

    assert mapped(function, [1, 2, 3, 4], num_weights=10) == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("batches", "num_weights"), [([1, 2, 3], side_by_side.MOST_WEIGHTS + 1), ([1], 10)]
)
def test_otherwise_there_is_no_other_thread(batches, num_weights):
    here = threading.get_ident()
    found = mapped(lambda _: threading.get_ident(), batches, num_weights)
    assert found == [here] * len(batches)


def test_after_an_error_no_batch_is_started():
    started = []

    def function(batch):
        started.append(batch)
        if batch == 0:
            raise ValueError("row 0")
        threading.Event().wait(0.2)

    with pytest.raises(ValueError, match="row 0"):
        mapped(function, [*range(50)], num_weights=10)
    assert len(started) < 10
    assert mapped(function, [], num_weights=10) == []
