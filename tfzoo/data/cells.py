"""Reads texts and labels from the cells of a record."""

import math
import re

import numpy as np

# Python's `float` also accepts "1_000" and digits of other scripts.
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def text_of(record, column):
    """Returns the text in a column of a record."""
    value = record.value(column)
    if not isinstance(value, str):
        raise record.error(
            f"Column {column!r} must be text. Received: {_shown(value)}."
        )
    return value


def label_of(record, column, task, separator):
    """Returns the label in a column of a record, in the form `read_examples` promises.

    Args:
        record: The `Record`.
        column: Name or number of the column.
        task: "classification", "multi_label" or "regression".
        separator: Separator of the labels in a multi-label cell. None if a cell has a
            single label.

    Returns:
        str, list of str, or float.

    Raises:
        DataError: the value is not a valid label for this task.
    """
    value = record.value(column)
    if task == "regression":
        return _number(record, column, value)
    if task == "classification":
        return _class_name(record, column, value)
    if isinstance(value, str):
        if separator is None:
            value = [value] if value.strip() else []
        else:
            value = value.split(separator) if value.strip() else []
    if not isinstance(value, list):
        value = [value]
    return [_class_name(record, column, name) for name in value]


def _class_name(record, column, value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise record.error(
            f"The label in column {column!r} must be a string, an integer or a "
            f"boolean. Received: {_shown(value)}."
        )
    value = value.strip()
    if not value or value.lower() == "nan":
        raise record.error(
            f"The label in column {column!r} must not be empty or NaN.",
            fix="Remove the record or label it.",
        )
    return value


def _number(record, column, value):
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or abs(number) > float(np.finfo(np.float32).max):
        raise record.error(
            f"The label in column {column!r} must be a finite number. "
            f"Received: {_shown(value)}."
        )
    return number


def _shown(value):
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
