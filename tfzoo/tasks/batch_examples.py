"""Finds the examples that a step trained on, for messages about that step."""

import numpy as np

from tfzoo.tasks.inputs import num_rows


def row_numbers(task, x, y, plan, step):
    """Row numbers in the data of the examples of a batch, from 0.

    As the batches are a pure function of the data, the row numbers are passed through
    it as example weights.

    Args:
        task: The task.
        x: Raw input, as in its `batches_of`.
        y: Its targets, as in `batches_of`.
        plan: The `Plan`.
        step: Number of the batch, from 0.

    Returns:
        Sorted list of ints. None if the task has no example weights, or if there are
        too many examples for float32 to represent their numbers.
    """
    count = num_rows(x)
    if count >= 1 << 24:
        return None
    numbers = np.arange(1, count + 1, dtype="float32")
    try:
        data = task.batches_of(x, y, numbers, plan)
    except ValueError:
        return None
    count = int(data.cardinality())
    weights = next(iter(data.skip(step % max(count, 1)).take(1)))[-1]
    return sorted({int(weight) - 1 for weight in np.ravel(weights) if weight >= 1})
