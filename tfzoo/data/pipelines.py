"""Argument checks for pipelines, and datasets that end without a delay."""

import numpy as np
import tensorflow as tf


def is_whole(value):
    """Whether a value is an integer; bools are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def require_whole(name, value, least):
    """Raises `ValueError` unless a value is None or an integer >= `least`."""
    if value is None:
        return
    if not is_whole(value) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}. Received: {value!r}")


def require_flags(**flags):
    """Raises `ValueError` for the first value that is neither True nor False.

    Args:
        **flags: Values by name.
    """
    for name, value in flags.items():
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name} must be True or False. Received: {value!r}")


def without_waiting(dataset):
    """Turns autotuning off, unless the dataset's options set it either way.

    The autotuning thread sleeps for intervals that double, and with a `flat_map` the
    end of an iteration waits until it wakes: up to as long again as the iteration took.
    Nothing here needs tuning, as buffers and parallel calls have fixed sizes; with
    `tf.data.AUTOTUNE` a user's map takes all cores.

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
