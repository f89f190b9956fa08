"""The last examples, held out for validation: `fit(validation_split=...)`."""

import numbers
from collections.abc import Iterator

import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.batches import is_batches
from tfzoo.tasks.checks import checked
from tfzoo.tasks.inputs import num_rows, part_of
from tfzoo.tasks.numeric import example_weights


def split(task, x, y, sample_weight, share):
    """((x, y, weights) to train on, (x, y, weights) to validate on), the last ones.

    Of raw text and prepared arrays, as Keras splits arrays. Both are checked before
    that, so that errors name rows of the whole.

    Args:
        task: The `Task`.
        x: As of `fit`.
        y: Likewise.
        sample_weight: Likewise.
        share: Of the examples, to validate on.

    Raises:
        ValueError: it is no share, an example is none of the task's, there are batches,
            or one side would be empty.
    """
    number = isinstance(share, numbers.Real) and not isinstance(share, bool)
    if not number or not 0 < share < 1:
        raise ValueError(
            "validation_split must be a number from 0 and under 1. "
            f"Received: {shown(share)}"
        )
    if isinstance(x, tf.data.Dataset) or is_batches(x):
        raise ValueError(
            "validation_split needs all examples in memory; give batches "
            f"validation_data. Received: {type(x).__name__}"
        )
    raw = task.raw_input(x)
    y, sample_weight = (
        list(values) if isinstance(values, Iterator) else values
        for values in (y, sample_weight)
    )
    if raw is None:
        checked(task, x, y, sample_weight)
    else:
        y = task.given_targets(x, y)
        task.targets_of_raw(raw, y)
        if sample_weight is not None:
            sample_weight = example_weights(sample_weight, num_rows(raw))
    if y is not None and not hasattr(y, "__getitem__"):
        y = list(y)  # dict.values()
    data = (x if raw is None else raw, y, sample_weight)
    count = num_rows(data[0])
    first = int(count * (1 - share))
    if not 0 < first < count:
        raise ValueError(
            "validation_split must leave examples on both sides. Received: "
            f"{share} of {count}"
        )
    return (
        tuple(part_of(part, slice(0, first)) for part in data),
        tuple(part_of(part, slice(first, None)) for part in data),
    )
