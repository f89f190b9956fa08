"""Checks numbers in any container and converts them to arrays.

Shapes: N examples.
"""

from collections.abc import Iterable

import numpy as np

from tfzoo.errors import shown
from tfzoo.tasks.inputs import array_of, refuse_unordered


def one_column(x):
    """Converts (N,) or (N, 1) to an array (N,)."""
    array = array_of(x)
    array = np.asarray(x) if array is None else array
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def example_weights(sample_weight, count):
    """Weights of `count` examples, float32 (N,). Defaults to 1."""
    if sample_weight is None:
        return np.ones(count, np.float32)
    weights = one_column(numbers_of(sample_weight, "sample_weight"))
    if weights.shape != (count,):
        raise ValueError(
            "sample_weight must have one number per example. Received: shape "
            f"{weights.shape} for {count} examples"
        )
    return checked_weights(weights)


def checked_weights(weights, what="sample_weight"):
    """The weights, float32; ValueError if one is negative or not finite."""
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = np.argwhere(wrong)[0]
        raise ValueError(
            f"{what} must be finite and >= 0. Received: "
            f"{weights[tuple(row)]} in row {row[0]}"
        )
    return weights


def numbers_of(x, what):
    """Numbers in any container as float32 of any shape.

    Raises:
        ValueError: the container is unordered, or a value is not a number.
    """
    refuse_unordered(x, what)
    array = array_of(x)
    if array is None:
        x = list(x)
        array = np.array(x, object) if _is_flat(x) else np.asarray(x)
    if array.dtype.kind == "O":
        for row, value in enumerate(array.ravel()):
            if not isinstance(value, int | float | np.number | np.bool_):
                raise ValueError(
                    f"{what} must be numbers. Received: {shown(value)} in row {row}"
                )
    elif array.dtype.kind not in "biuf":
        raise ValueError(f"{what} must be numbers. Received: {shown(array.ravel()[0])}")
    with np.errstate(over="ignore"):  # too large ones become infinite
        return array.astype(np.float32)


def _is_flat(x):
    return isinstance(x, list) and not any(
        isinstance(v, Iterable) and not isinstance(v, str | bytes) for v in x
    )


def whole_targets(y, limit, shape, what="y"):
    """Checked targets that are integers in [0, `limit` - 1], int32 of that shape.

    Raises:
        ValueError: the shape is wrong, or a target is out of range.
    """
    array = array_of(y)
    array = np.asarray(y) if array is None else array
    if array.shape != tuple(shape):
        raise ValueError(
            f"{what} must have the shape {tuple(shape)}. Received: {array.shape}"
        )
    if array.dtype.kind not in "iu":
        raise ValueError(f"{what} must be integers. Received: {array.dtype}")
    wrong = (array < 0) | (array >= limit)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        raise ValueError(
            f"{what} must be in [0, {limit - 1}]. Received: {array[place]} in row "
            f"{place[0]}"
        )
    return array.astype(np.int32, copy=False)


def finite_numbers(x, what):
    """Numbers of any type and shape as an array; ValueError if one is not finite."""
    array = array_of(x)
    array = np.asarray(x) if array is None else array
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} must be numbers. Received: {array.dtype}")
    wrong = ~np.isfinite(array)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        raise ValueError(
            f"{what} must be finite. Received: {array[place]} in row {place[0]}"
        )
    return array
