"""Numbers in whatever container a user has them, checked, as arrays.

Shapes: N examples.
"""

from collections.abc import Iterable

import numpy as np

from tfzoo.errors import shown
from tfzoo.tasks.inputs import array_of, refuse_unordered


def one_column(x):
    """An array (N,) of one that may be (N, 1)."""
    array = array_of(x)
    array = np.asarray(x) if array is None else array
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def example_weights(sample_weight, count):
    """Weights of so many examples, float32 (N,), 1 where none are given."""
    if sample_weight is None:
        return np.ones(count, np.float32)
    weights = one_column(numbers_of(sample_weight, "sample_weight"))
    if weights.shape != (count,):
        raise ValueError(
            "sample_weight must be a number for each example. Received: shape "
            f"{weights.shape} for {count} examples"
        )
    return checked_weights(weights)


def checked_weights(weights, what="sample_weight"):
    """The weights, float32; ValueError if one is negative or not finite."""
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = np.argwhere(wrong)[0]
        raise ValueError(
            f"{what} must be finite and 0 or more. Received: "
            f"{weights[tuple(row)]} in row {row[0]}"
        )
    return weights


def numbers_of(x, what):
    """Numbers in any container, float32 of any shape.

    Raises:
        ValueError: it has no order, or one is no number.
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
                    f"{what} must hold numbers. Received: {shown(value)} in row {row}"
                )
    elif array.dtype.kind not in "biuf":
        raise ValueError(
            f"{what} must hold numbers. Received: {shown(array.ravel()[0])}"
        )
    with np.errstate(over="ignore"):  # what is too large is infinite, and refused
        return array.astype(np.float32)


def _is_flat(x):
    return isinstance(x, list) and not any(
        isinstance(v, Iterable) and not isinstance(v, str | bytes) for v in x
    )


def whole_targets(y, limit, shape, what="y"):
    """Targets that are whole numbers from 0 to `limit` - 1, int32 of that shape.

    Raises:
        ValueError: the shape is another, or a target is no such number; it is named.
    """
    array = array_of(y)
    array = np.asarray(y) if array is None else array
    if array.shape != tuple(shape):
        raise ValueError(
            f"{what} must have the shape {tuple(shape)}. Received: {array.shape}"
        )
    if array.dtype.kind not in "iu":
        raise ValueError(f"{what} must be whole numbers. Received: {array.dtype}")
    wrong = (array < 0) | (array >= limit)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        raise ValueError(
            f"{what} must be 0 to {limit - 1}. Received: {array[place]} in row "
            f"{place[0]}"
        )
    return array.astype(np.int32, copy=False)


def finite_numbers(x, what):
    """Numbers of any type and shape, an array; ValueError if one is not finite."""
    array = array_of(x)
    array = np.asarray(x) if array is None else array
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} must hold numbers. Received: {array.dtype}")
    wrong = ~np.isfinite(array)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        raise ValueError(
            f"{what} must be finite. Received: {array[place]} in row {place[0]}"
        )
    return array
