"""Checks the numbers that enter `fit`, `evaluate` and `predict`.

Python checks whole arrays and, inside `tf.data`, batch by batch, with the same rules
and messages, before any graph or XLA sees a number. (For an invalid id, a CPU raises an
error, but XLA silently uses another id, and a NaN in a target makes all weights NaN.)

Shapes: B batch, S sequence, M masked positions.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.inputs import array_of, refuse_unordered
from tfzoo.tasks.numeric import checked_weights, example_weights, numbers_of


def check_dataset(task, dataset, *, learns=True):
    """Adds checks of every batch to a dataset of prepared batches.

    Args:
        task: The `Task`.
        dataset: Yields inputs, (inputs,), (inputs, targets) or
            (inputs, targets, weights).
        learns: Whether targets are needed; if not, only inputs are kept.
    """
    spec = dataset.element_spec
    spec = spec if isinstance(spec, tuple) else (spec,)
    if learns and len(spec) < 2:
        raise ValueError(
            "Training on batches of prepared ids requires targets: (inputs, targets) "
            f"or (inputs, targets, weights). Received: {shown(spec)}"
        )
    inputs = _known_inputs(task, spec[0])
    for name in inputs:
        shape = spec[0][name].shape
        if name.endswith("token_ids") and shape.rank == 2:
            _check_tokens(name, shape)  # such a graph cannot be traced
    specs = [{n: tf.TensorSpec(spec[0][n].shape, tf.int32) for n in inputs}]
    if learns:
        targets, weights = task.target_specs(spec[1], spec[0])
        if len(spec) > 2:
            weights = weights or _weight_specs(spec[2], targets)
        specs += [targets] if weights is None else [targets, weights]

    def check(*parts):
        parts = tf.nest.pack_sequence_as(spec[: 3 if learns else 1], parts)
        found = checked(task, *parts)
        return [
            np.asarray(value, s.dtype.as_numpy_dtype)
            for value, s in zip(
                tf.nest.flatten(found), tf.nest.flatten(specs), strict=True
            )
        ]

    def checked_batch(number, *batch):
        # `enumerate` gives (i, x) or (i, (x, targets, ...)).
        batch = batch[0] if isinstance(batch[0], tuple) else batch
        parts = tf.nest.flatten(({n: batch[0][n] for n in inputs}, *batch[1:]))
        found = task.refusals.call(check, number, parts, tf.nest.flatten(specs))
        found = tf.nest.pack_sequence_as(specs, found)
        return tuple(found) if learns else found[0]

    spec = ({name: spec[0][name] for name in inputs}, *spec[1:])
    return dataset.enumerate().map(checked_batch, num_parallel_calls=2)


def checked(task, x, y=None, weights=None):
    """Checks prepared inputs, targets and weights and converts them to NumPy arrays.

    Returns:
        [inputs], [inputs, targets] or [inputs, targets, weights].
    """
    inputs = checked_inputs(task, x)
    if y is None:
        return [inputs]
    targets, own = task.checked_targets(y, inputs)
    if weights is not None:
        if not isinstance(targets, Mapping):
            refuse_unordered(weights, "sample_weight")
        weights = of_each_output(_fitting, weights, _like(weights, targets))
    if own is not None:
        weights = own if weights is None else _spread(weights, own) * own
    return [inputs, targets] if weights is None else [inputs, targets, weights]


def checked_inputs(task, x):
    """Checks prepared ids and converts them to a dict of int32 arrays.

    Raises:
        ValueError: an input is missing or unknown, has a wrong shape or type, or
            contains a number out of the backbone's range.
    """
    arrays = {name: _whole_numbers(name, x[name]) for name in _known_inputs(task, x)}
    for prefix in task.input_prefixes:
        rows = {
            name.removeprefix(prefix): values
            for name, values in arrays.items()
            if _prefix_of(name, task.input_prefixes) == prefix
        }
        if not rows:
            continue
        _check_shapes(rows, prefix, task.backbone.max_sequence_length)
        limits = task.input_limits(rows["token_ids"].shape[1], prefix)
        for name, values in rows.items():
            _check_range(prefix + name, values, limits[name])
    return {name: array.astype(np.int32, copy=False) for name, array in arrays.items()}


def _prefix_of(name, prefixes):
    return max((p for p in prefixes if name.startswith(p)), key=len)


def _known_inputs(task, x):
    """Names of the inputs of the task in `x`, in order."""
    needed, optional = task.known_inputs()
    names = list(x) if isinstance(x, Mapping) else []
    missing = set(needed) - set(names)
    if any(name in optional for name in names):  # second texts need all their inputs
        missing |= set(optional) - set(names)
    # Tokenizers always return `segment_ids`, but not every backbone has segments.
    if missing or set(names) - {*needed, *optional, "segment_ids"}:
        raise ValueError(
            f"The input of a {type(task).__name__} must be raw text, or prepared ids "
            f"as a dict of {', '.join(needed)}. Received: "
            + (", ".join(map(str, names)) or f"{type(x).__name__} {shown(x)}")
        )
    return [name for name in names if name in (*needed, *optional)]


def _whole_numbers(name, values):
    array = array_of(values)
    array = np.asarray(values) if array is None else array
    if array.ndim != 2:
        raise ValueError(
            f"{name} must have two axes, (B, S). Received: shape {array.shape}"
        )
    if array.dtype.kind not in "iu" and not (
        array.dtype.kind == "b" and name.endswith("padding_mask")
    ):
        raise ValueError(f"{name} must be integers. Received: {array.dtype}")
    return array


def _check_shapes(rows, prefix, longest):
    shape = rows["token_ids"].shape
    for name, values in rows.items():
        wanted = shape[:1] if name == "mask_positions" else shape
        if values.shape[: len(wanted)] != wanted:
            raise ValueError(
                f"{prefix}{name} must have the rows and columns of token_ids, {shape}. "
                f"Received: shape {values.shape}"
            )
    _check_tokens(f"{prefix}token_ids", shape)
    if shape[1] > longest:
        raise ValueError(
            f"Inputs must have at most {longest} tokens, the backbone's positions. "
            f"Received: {prefix}token_ids of shape {shape}"
        )


def _check_tokens(name, shape):
    if shape[1] == 0:
        raise ValueError(
            f"Inputs must have at least one token. Received: {name} of shape {shape}"
        )


def _check_range(name, values, limit):
    wrong = (values < 0) | (values >= limit)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name} must be in [0, {limit - 1}]. Received: {values[row, column]} in "
            f"column {column} of row {row}"
        )


def weights_in_graph(weights, number, refusals):
    """Checked weights (B,) of a batch inside `tf.data`; an empty list without any."""

    def check(weights):
        return [example_weights(weights, len(weights))]

    return [
        refusals.call(check, number, [w], [tf.TensorSpec(w.shape[:1], tf.float32)])[0]
        for w in weights
    ]


def _like(weights, targets):
    return targets if isinstance(weights, Mapping) else tf.nest.flatten(targets)[0]


def of_each_output(function, *values):
    """Applies a function to values, or to each output's values if they are dicts."""
    if isinstance(values[0], Mapping):
        return {name: function(*(v[name] for v in values)) for name in values[0]}
    return function(*values)


def _fitting(weights, targets):
    """The checked weights; their shape must be that of the targets or of their rows."""
    weights = checked_weights(numbers_of(weights, "sample_weight"))
    if weights.ndim == 2 and weights.shape[1] == 1 and targets.ndim == 1:
        weights = weights[:, 0]
    if weights.shape not in (targets.shape, targets.shape[:1]):
        raise ValueError(
            f"sample_weight must have the shape {targets.shape[:1]} or "
            f"{targets.shape}. Received: {weights.shape}"
        )
    return weights


def _spread(weights, own):
    return weights[:, np.newaxis] if weights.ndim < own.ndim else weights


def _weight_specs(given, targets):
    """Specs of checked weights."""

    def of_one(given, target):
        flat = given.shape.rank == 2 and target.shape.rank == 1
        return tf.TensorSpec(given.shape[:1] if flat else given.shape, tf.float32)

    return of_each_output(of_one, given, _like(given, targets))
