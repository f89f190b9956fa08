"""Processes that share work. Everything they import is light."""

import functools
import operator
import os

import pytest

from tfzoo.data.workers import Workers
from tfzoo.errors import TfzooError
from tfzoo.files import readable_file

HEXADECIMAL = functools.partial(functools.partial, int, base=16)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_in_the_order_of_the_tasks(processes):
    with Workers(processes, HEXADECIMAL) as workers:
        workers.wait_until_started()
        tasks = [f"{i:x}" for i in range(100)]
        assert list(workers.map(operator.call, tasks)) == list(range(100))
        assert list(workers.map(operator.call, [])) == []


def test_tasks_are_read_lazily():
    taken = []

    def tasks():
        for i in range(1000):
            taken.append(i)
            yield f"{i:x}"

    with Workers(2, HEXADECIMAL) as workers:
        results = workers.map(operator.call, tasks())
        for _ in range(5):
            next(results)
        assert 5 <= len(taken) <= 20
        results.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_keeps_its_kind_and_its_line(processes, tmp_path):
    make = functools.partial(functools.partial, readable_file)
    with Workers(processes, make) as workers:
        with pytest.raises(TfzooError) as error:
            list(workers.map(operator.call, [tmp_path]))
    expected = f"{tmp_path}: The path must be a file. Received: a directory."
    assert str(error.value) == expected
    assert error.value.path == tmp_path


def test_a_process_that_dies_is_an_error():
    with Workers(2, functools.partial(functools.partial, os._exit)) as workers:
        with pytest.raises(TfzooError, match="A worker process died"):
            list(workers.map(operator.call, [1, 1]))


def test_processes_are_at_least_one():
    with pytest.raises(ValueError, match="Received: 0"):
        Workers(0, dict)
