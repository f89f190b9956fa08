"""Holds out the last examples, for `fit(validation_split=...)`."""

import numbers
from collections.abc import Iterator

import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.batches import is_batches
from tfzoo.tasks.checks import checked
from tfzoo.tasks.inputs import num_rows, part_of
from tfzoo.tasks.numeric import example_weights


def split(task, x, y, sample_weight, share):
    """Splits raw text or prepared arrays, as Keras splits arrays.

    The data is checked first, so that errors refer to rows of the whole.

    Args:
        task: The `Task`.
        x: As in `fit`.
        y: As in `fit`.
        sample_weight: As in `fit`.
        share: Fraction of the examples to validate on, between 0 and 1.

    Returns:
        ((x, y, sample_weight) for training, (x, y, sample_weight) for validation).

    Raises:
        ValueError: `share` is out of range, an example is invalid, the data comes in
            batches, or one side would be empty.
    """
    number = isinstance(share, numbers.Real) and not isinstance(share, bool)
    if not number or not 0 < share < 1:
        raise ValueError(
            f"validation_split must be a number in [0, 1). Received: {shown(share)}"
        )
    if isinstance(x, tf.data.Dataset) or is_batches(x):
        raise ValueError(
            "validation_split requires all examples in memory; for batches, use "
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
