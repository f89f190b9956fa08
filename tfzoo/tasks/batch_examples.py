"""Which examples a step trained on, for messages about that step."""

import numpy as np

from tfzoo.tasks.inputs import num_rows
from tfzoo.training.faults import shown_examples


def row_numbers(training_data, x, y, *, start_step, **options):
    """Where the examples of a batch stand in the data, from 0.

    The batches are a pure function, so that the weights of the examples can carry their
    numbers through it.

    Args:
        training_data: Of a task.
        x: Raw input, as `training_data` takes it.
        y: Its targets, likewise.
        start_step: Number of the batch, from 0.
        **options: Of `training_data`.

    Returns:
        Sorted list of ints; None where a task has no weights of examples, or so many
        that float32 does not tell them apart.
    """
    count = num_rows(x)
    if count >= 1 << 24:
        return None
    numbers = np.arange(1, count + 1, dtype="float32")
    try:
        data = training_data(x, y, numbers, **options)
    except ValueError:
        return None
    count = int(data.cardinality())
    weights = next(iter(data.skip(start_step % max(count, 1)).take(1)))[-1]
    return sorted({int(weight) - 1 for weight in np.ravel(weights) if weight >= 1})


def examples_of_steps(task, dataset, rows=None):
    """step, from 1 -> text that names the examples of that step of a `fit`.

    Args:
        task: The task.
        dataset: All batches of the `fit`, the same whenever it is read.
        rows: (step, from 0) -> the numbers of its examples. None: they are not known.
    """

    def examples(step):
        batch = next(iter(dataset.skip(step - 1).take(1)), None)
        numbers = None if rows is None else rows(step - 1)
        return batch and shown_examples(batch, task.tokenizer, numbers)

    return examples
