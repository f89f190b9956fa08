"""Converts raw text in any container to plain lists.

A column is a list, a tuple, an array, a column of a data frame, a string tensor or an
iterator. A table is a list of dicts (rows), or an object with columns: a data frame or
a Hugging Face dataset.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfzoo.data import hugging_face
from tfzoo.data.hugging_face import refuse_splits_and_streams, require_columns
from tfzoo.errors import shown

TARGETS = ("label", "labels")  # columns of a table that contain the targets


class Texts(NamedTuple):
    """Raw texts and, for pair tasks, their second texts."""

    texts: list
    text_pairs: list | None = None


def values_of(x, what):
    """The values of a column as a list.

    Args:
        x: A list, tuple, array or tensor (N,) or (N, 1), a column of a data frame, or
            an iterator.
        what: Its name, for error messages.

    Raises:
        ValueError: it is unordered, or has more axes.
    """
    if isinstance(x, list | tuple):
        return list(x)
    if isinstance(x, tf.RaggedTensor):
        return x.to_list()
    refuse_unordered(x, what)
    if isinstance(x, Iterator):
        return list(x)
    array = array_of(x)
    if array is None:
        return list(x)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{what} must have one axis, (N,) or (N, 1). Received: shape {array.shape}"
        )
    return array.tolist()


def refuse_unordered(x, what):
    """Raises `ValueError` if `x` has no ordered rows: a dict, a set or one value."""
    if isinstance(x, str | bytes | Mapping | Set) or not isinstance(x, Iterable):
        raise ValueError(
            f"{what} must be a list, an array or a column. Received: "
            f"{type(x).__name__} {shown(x)}"
        )


def texts_of(x, what="texts"):
    """A column of texts as a list of str or bytes.

    Args:
        x: As in `values_of`.
        what: Its name, for error messages.

    Raises:
        ValueError: as in `values_of`; or a text is missing or not a string.
    """
    texts = values_of(x, what)
    for row, text in enumerate(texts):
        if not isinstance(text, str | bytes):
            missing = "; remove such rows" if is_missing(text) else ""
            raise ValueError(
                f"Every text must be a string. Received: {shown(text)} in row {row} "
                f"of {what}{missing}"
            )
    return texts


def texts_or_one(x, what="texts"):
    """A column of texts as a list, and whether it was a single text instead.

    Args:
        x: A text, str or bytes, or a scalar string tensor; or as in `texts_of`.
        what: Its name, for error messages.
    """
    if isinstance(x, np.ndarray | tf.Tensor) and x.ndim == 0:
        x = np.asarray(x).item()
    if isinstance(x, str | bytes):
        return [x], True
    return texts_of(x, what), False


def text_of(text):
    """A str or bytes as a str; invalid UTF-8 becomes U+FFFD."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def is_missing(value):
    """Whether a value is missing: None, NaN, or pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def raw_texts(x):
    """`x` as `Texts`, or None if it is not raw text.

    Args:
        x: Raw text is a column of strings; a list of pairs of strings, or an array
            (N, 2) of them; a tuple of two columns; a dict with `"text"` and optionally
            `"text_pair"`; or a table with these columns. Anything else is not.

    Raises:
        ValueError: it is raw text, but a text is missing or the columns differ in
            length.
    """
    if isinstance(x, Texts):
        return x
    refuse_splits_and_streams(x)
    require_columns(x, "text")
    if isinstance(x, Mapping):
        return _of_mapping(x) if "text" in x else None
    if is_table(x):
        names = {"text", "text_pair"}.intersection(names_in(x))
        return _of_mapping({name: column_of(x, name) for name in names})
    if isinstance(x, tuple) and len(x) == 2 and all(map(_is_column, x)):
        return _same_length(x[0], x[1])
    if _is_column(x):
        return Texts(texts_of(x, "x"))
    pairs = _pairs(x)
    return None if pairs is None else _same_length(*pairs)


def single_texts(x):
    """Raw text as a list of texts; raises `ValueError` for pairs."""
    texts = raw_texts(x)
    if texts.text_pairs is not None:
        raise ValueError("Inputs must be single texts. Received: pairs of texts")
    return texts.texts


def is_table(x, name="text"):
    """Whether `x` is a table with a column of that name."""
    if isinstance(x, list | tuple):
        return bool(x) and all(isinstance(row, Mapping) and name in row for row in x)
    return name in column_names(x)


def names_in(table):
    """Names of the columns of a table."""
    if isinstance(table, list | tuple):
        return [n for n in table[0] if all(n in row for row in table)]
    return column_names(table)


def column_of(table, name):
    """A column of a table or a dict; class labels of a `datasets.Dataset` by name."""
    if isinstance(table, list | tuple):
        return [row[name] for row in table]
    if hugging_face.is_table(table):
        return hugging_face.column_of(table, name)
    return table[name]


def targets_of_table(x):
    """The targets in a table; None if `x` is not a table or has none."""
    name = target_column(x)
    return None if name is None else column_of(x, name)


def target_column(x):
    """Name of the column of a table that contains the targets, or None.

    Raises:
        ValueError: some rows of a list of dicts lack it.
    """
    if isinstance(x, Mapping) or not is_table(x):
        return None
    if isinstance(x, list | tuple):
        for name in TARGETS:
            has = [name in row for row in x]
            if any(has) and not all(has):
                row = has.index(False)
                raise ValueError(
                    f"All rows of a table must have the same columns, including "
                    f"{name!r}. Received: {', '.join(map(str, x[row]))} in row {row}"
                )
    names = names_in(x)
    return next((name for name in TARGETS if name in names), None)


def column_names(x):
    """Names of the columns of a dict, a data frame or a Hugging Face dataset; or []."""
    if isinstance(x, Mapping):
        return list(x)
    if isinstance(x, np.ndarray | tf.Tensor | tf.data.Dataset):
        return []
    names = getattr(x, "column_names", None)
    if isinstance(names, list):
        return names
    names = getattr(x, "columns", None)
    return [] if names is None or not isinstance(names, Iterable) else list(names)


def _of_mapping(columns):
    unknown = sorted(map(str, set(columns) - {"text", "text_pair"}))
    if unknown:
        raise ValueError(
            f"The keys of raw text must be 'text' and 'text_pair'. Received: {unknown}"
        )
    return _same_length(columns["text"], columns.get("text_pair"))


def _same_length(texts, text_pairs):
    texts = texts_of(texts, "text")
    if text_pairs is None:
        return Texts(texts)
    text_pairs = texts_of(text_pairs, "text_pair")
    if len(texts) != len(text_pairs):
        raise ValueError(
            "text and text_pair must have the same length. "
            f"Received: {len(texts)} and {len(text_pairs)}"
        )
    return Texts(texts, text_pairs)


def _is_column(x):
    """Whether `x` is a column of text, possibly with missing values."""
    if isinstance(x, list | tuple):
        return any(isinstance(t, str | bytes) for t in x) or all(map(is_missing, x))
    if isinstance(x, tf.Tensor) and x.dtype == tf.string:
        return x.shape.rank == 1 or x.shape[1:] == [1]
    if isinstance(x, str | bytes | Iterator | tf.Tensor | tf.RaggedTensor):
        return False
    array = array_of(x)
    if array is None or array.dtype.kind not in "OUST":
        return False
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return array.ndim == 1 and _is_column(array.tolist())


def _pairs(x):
    """The two columns of a list of pairs of texts, or of an array (N, 2); or None."""
    if isinstance(x, tf.Tensor) and x.dtype == tf.string:
        x = x.numpy()
    if isinstance(x, np.ndarray):
        if x.ndim != 2 or x.shape[1] != 2 or x.dtype.kind not in "OUST":
            return None
        x = x.tolist()
    if not isinstance(x, list) or not x:
        return None
    for pair in x:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return None
        if not any(isinstance(part, str | bytes) for part in pair):
            return None
    return [pair[0] for pair in x], [pair[1] for pair in x]


def array_of(x):
    """A container as a NumPy array, or None if it cannot be converted.

    None also for lists and tuples, whose values must be checked one by one, and for a
    `PyDataset`, whose values are batches.
    """
    if isinstance(x, list | tuple | keras.utils.PyDataset):
        return None
    if isinstance(x, np.ndarray):
        return x
    if isinstance(x, tf.Tensor | tf.Variable):
        return x.numpy()
    if hasattr(x, "__array__"):
        return np.asarray(x)
    if hasattr(x, "__len__") and hasattr(x, "__getitem__") and column_names(x) == []:
        values = np.empty(len(x), object)
        for row, value in enumerate(x):  # values may be lists
            values[row] = value
        return values
    return None


def num_rows(x):
    """Number of examples in raw input or in a dict of prepared ids."""
    if isinstance(x, Mapping):
        x = next(iter(x.values()))
    return len(x[0] if hasattr(x, "_fields") else x)


def part_of(x, rows):
    """A slice of the examples of raw input, prepared ids, targets or None."""
    if x is None:
        return None
    if isinstance(x, Mapping):
        return {name: part_of(value, rows) for name, value in x.items()}
    if hasattr(x, "_fields"):
        return type(x)(*(part_of(value, rows) for value in x))
    return x[rows]
