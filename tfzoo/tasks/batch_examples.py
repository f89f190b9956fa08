"""Which examples a step trained on, for messages about that step."""

import numpy as np

from tfzoo.tasks.inputs import num_rows


def row_numbers(task, x, y, plan, step):
    """Where the examples of a batch stand in the data, from 0.

    The batches are a pure function, so that the weights of the examples can carry their
    numbers through it.

    Args:
        task: The task.
        x: Raw input, as its `batches_of` takes it.
        y: Its targets, likewise.
        plan: The `Plan`.
        step: Number of the batch, from 0.

    Returns:
        Sorted list of ints; None where a task has no weights of examples, or so many
        that float32 does not tell them apart.
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
