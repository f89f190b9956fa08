"""What every pipeline here asks for, and an end that comes with the last batch."""

import numpy as np
import tensorflow as tf


def is_whole(value):
    """Whether a value is a whole number, which a bool is not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def require_whole(name, value, least):
    """Raises `ValueError` unless a value is None or a whole number from `least`."""
    if value is None:
        return
    if not is_whole(value) or value < least:
        raise ValueError(
            f"{name} must be a whole number from {least}. Received: {value!r}"
        )


def require_flags(**flags):
    """Raises `ValueError` for the first of the values that is neither True nor False.

    Args:
        **flags: Values by their names.
    """
    for name, value in flags.items():
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name} must be True or False. Received: {value!r}")


def without_waiting(dataset):
    """The dataset with autotuning off, unless the dataset's options switch it.

    The thread that tunes a pipeline sleeps in steps that double, and where there is a
    `flat_map` the end of an iteration waits for it to wake: up to as long again as the
    iteration took. Nothing here needs tuning, for buffers and parallel calls are of
    fixed size; with `tf.data.AUTOTUNE` a user's map takes all cores.

    Args:
        dataset: `tf.data.Dataset`.

    Returns:
        `tf.data.Dataset` of the same elements.
    """
    if not tf.executing_eagerly():
        return dataset  # inside a function, where options cannot be read
    if dataset.options().autotune.enabled is not None:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
