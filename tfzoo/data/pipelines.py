"""Datasets that end without a delay."""

import tensorflow as tf


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
