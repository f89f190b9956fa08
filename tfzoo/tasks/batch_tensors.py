"""Converts a batch from a generator, in any containers, to tensors.

Shapes: B batch.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.inputs import (
    TARGETS,
    array_of,
    is_table,
    raw_texts,
    refuse_unordered,
    targets_of_table,
)
from tfzoo.tasks.numeric import numbers_of
from tfzoo.tasks.refusals import of_batch
from tfzoo.tasks.tagging.sentences import raw_sentences


def tensors_of(batch, number, task, *, learns):
    """A batch as tensors: raw texts as strings (B,) or a dict of them.

    Args:
        batch: The batch as the generator yielded it.
        number: Batch number, for error messages.
        task: The `Task`.
        learns: Whether targets are needed; if not, only the inputs are kept.
    """
    parts = list(batch) if isinstance(batch, tuple) else [batch]
    if not 1 <= len(parts) <= 3 or isinstance(parts[0], str | bytes):
        raise ValueError(
            "A generator must yield batches: (inputs,), (inputs, targets) or "
            f"(inputs, targets, weights). Received: {shown(batch)}, batch {number}"
        )
    with of_batch(number):
        return _parts(*[*parts, None, None][:3], task, learns)


def _parts(x, y, weights, task, learns):
    inputs = _inputs(x, task)
    if not learns:
        return inputs
    y = _targets_within(x) if y is None else y
    if y is None and weights is not None:
        raise ValueError(
            "Weights require targets: (inputs, targets, weights). "
            "Received: targets=None"
        )
    if y is None:
        return inputs
    targets = _values(task.targets_of_batch(y, is_raw=not _is_prepared(x)))
    _check_rows(inputs, targets)
    if weights is None:
        return inputs, targets
    return inputs, targets, _weights(weights)


def _check_rows(inputs, targets):
    count = tf.nest.flatten(inputs)[0].shape[0]
    for values in tf.nest.flatten(targets):
        if values.shape.rank and values.shape[0] != count:
            raise ValueError(
                "x and y must have the same length. Received: "
                f"{count} and {values.shape[0]}"
            )


def _is_prepared(x):
    return isinstance(x, Mapping) and not {"text", "source"} & {*x}


def _targets_within(x):
    """The targets in a table, or in a dict of text, or None."""
    if not isinstance(x, Mapping):
        return targets_of_table(x)
    found = [] if _is_prepared(x) else [x[name] for name in TARGETS if name in x]
    return found[0] if found else None


def _inputs(x, task):
    if _is_prepared(x):
        arrays = {n: array_of(v) for n, v in x.items()}
        arrays = {n: np.asarray(x[n]) if a is None else a for n, a in arrays.items()}
        return {name: tf.convert_to_tensor(array) for name, array in arrays.items()}
    if isinstance(x, Mapping):
        x = {name: value for name, value in x.items() if name not in TARGETS}
    texts = sentences = None
    if task.raw_input is raw_sentences and not (isinstance(x, Mapping) or is_table(x)):
        sentences = raw_sentences(x)  # sentences of two words look like pairs
    else:
        texts = task.raw_input(x) if task.reads_pairs else raw_texts(x)
    if texts is not None:
        text = tf.constant(texts.texts, tf.string)
        if texts.text_pairs is None:
            return text
        return {"text": text, "text_pair": tf.constant(texts.text_pairs, tf.string)}
    if sentences is None:
        raise ValueError(
            "A batch must be raw text or a dict of prepared ids. "
            f"Received: {type(x).__name__} {shown(x)}"
        )
    return tf.ragged.constant(sentences, tf.string, ragged_rank=1)


def _weights(x):
    """Weights as float32, or a dict of output -> weights."""
    if isinstance(x, Mapping):
        return {name: _weights(value) for name, value in x.items()}
    return tf.constant(numbers_of(x, "sample_weight"))


def _values(x):
    """Targets as a tensor, ragged if rows are lists."""
    if isinstance(x, Mapping):
        return {name: _values(value) for name, value in x.items()}
    if isinstance(x, tf.Tensor | tf.RaggedTensor):
        return x
    refuse_unordered(x, "y")
    array = None if isinstance(x, list | tuple) else array_of(x)
    if array is not None and array.dtype.kind != "O":
        return tf.convert_to_tensor(array)
    rows = list(x)
    if rows and all(isinstance(row, list | tuple | np.ndarray) for row in rows):
        rows = [list(row) for row in rows]
        kinds = [_row_kinds(values, row) for row, values in enumerate(rows)]
        kinds = set().union(*kinds)
        if len(kinds) > 1:
            raise ValueError(
                "The targets of a batch must be all strings or all numbers. Received: "
                f"{shown(rows)}"
            )
        names = kinds <= {"names"}
        return tf.ragged.constant(rows, tf.string if names else None, ragged_rank=1)
    try:
        return tf.convert_to_tensor(rows)
    except (TypeError, ValueError):
        raise ValueError(
            f"Targets must be strings or numbers. Received: {shown(rows)}"
        ) from None


def _row_kinds(values, row):
    """The kinds of values in a row, a subset of {"names", "numbers"}."""
    for value in values:
        if not isinstance(value, str | bytes | int | float | np.number | np.bool_):
            raise ValueError(
                "Targets must be strings or numbers. Received: "
                f"{shown(value)} in row {row}"
            )
    names = {isinstance(value, str | bytes) for value in values}
    return {"names" if is_name else "numbers" for is_name in names}


def like_first(found, spec, number):
    """Converts a batch to the types and numbers of axes of the first one.

    Raises:
        ValueError: it has other components, or its values do not fit these types.
    """
    try:
        tf.nest.assert_same_structure(found, spec)
        values = map(_in_form, tf.nest.flatten(found), tf.nest.flatten(spec))
        return tf.nest.pack_sequence_as(spec, list(values))
    except (TypeError, ValueError):
        kinds = tf.nest.map_structure(any_size, found)
        raise ValueError(
            "All batches must have the same components, types and numbers of axes. "
            f"Received: {_form(kinds)} after {_form(spec)}, batch {number}"
        ) from None


def _form(spec):
    """Types and numbers of axes, for error messages."""
    if isinstance(spec, Mapping):
        return f"{{{', '.join(f'{n}: {_form(s)}' for n, s in spec.items())}}}"
    if isinstance(spec, tuple):
        return f"({', '.join(map(_form, spec))})"
    rows = "rows of " if isinstance(spec, tf.RaggedTensorSpec) else ""
    return f"{rows}{spec.dtype.name} of {spec.shape.rank} axes"


def _in_form(value, spec):
    """Converts a tensor to the form of a spec; ValueError if that is impossible."""
    if isinstance(spec, tf.RaggedTensorSpec):
        if not isinstance(value, tf.RaggedTensor):
            value = tf.RaggedTensor.from_tensor(value, ragged_rank=1)
        return value.with_flat_values(_in_type(value.flat_values, spec.dtype))
    if isinstance(value, tf.RaggedTensor):
        if len(set(value.row_lengths().numpy())) > 1:
            raise ValueError("rows of different lengths")
        value = value.to_tensor()
    value, rank = _in_type(value, spec.dtype), spec.shape.rank
    if value.shape.rank == 2 and rank == 1 and value.shape[1] == 1:
        return value[:, 0]
    if value.shape.rank == 1 and rank == 2:
        return value[:, tf.newaxis]
    if value.shape.rank != rank:
        raise ValueError("different numbers of axes")
    return value


def _in_type(values, dtype):
    if values.dtype == dtype:
        return values
    if not tf.size(values):
        return tf.zeros(values.shape, dtype)
    if tf.string in (values.dtype, dtype):
        raise ValueError("names and numbers")
    cast = tf.cast(values, dtype)
    if dtype.is_integer and not np.array_equal(cast, values):
        raise ValueError("not integers")
    return cast


def any_size(value):
    """The spec of tensors like this one, with any sizes."""
    if isinstance(value, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None, None], value.dtype, ragged_rank=1)
    return tf.TensorSpec([None] * value.shape.rank, value.dtype)
