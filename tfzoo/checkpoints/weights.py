"""Loads and saves the variables of any `keras.Model` by name."""

import collections
import math
import re

import keras
import numpy as np

from tfzoo.checkpoints.safetensors_writing import write_safetensors
from tfzoo.errors import CheckpointError

FLOATING = ("float32", "float16", "bfloat16", "float64")
# Allowed excess: a small model is built anyway, so that the error can name a tensor
_SMALL_MODEL = 16 << 20  # weights
_FEW_LAYERS = 32
_TENSORS_PER_LAYER = 12  # at least; GPT-2's
_TABLES = {  # number of rows -> table
    "vocabulary_size": "token_embedding/embeddings",
    "source_vocabulary_size": "source_embedding/embeddings",
    "max_sequence_length": "position_embedding/embeddings",
    "num_segments": "segment_embedding/embeddings",
}


def dtype_fields(variables, dtype=None):
    """The `config.json` fields with the dtype that `save_weights` writes.

    Args:
        variables: As in `save_weights`.
        dtype: As in `save_weights`.

    Raises:
        ValueError: weights cannot be saved in this dtype.
    """
    if dtype not in (None, "float32", "float16", "bfloat16"):
        raise ValueError(
            "dtype must be 'float32', 'float16', 'bfloat16' or None. "
            f"Received: {dtype!r}"
        )
    dtype = dtype or variables[0].dtype
    return {"dtype": dtype, "torch_dtype": dtype}  # for transformers 5, and 4


def save_weights(directory, variables, names, *, dtype=None, max_shard_size=None):
    """Writes variables to `directory` as safetensors.

    Args:
        directory: An existing `pathlib.Path`.
        variables: The weights of a `keras.Model`, all of them in `names`.
        names: Dict of variable path -> `Stored`.
        dtype: `"float32"`, `"float16"` or `"bfloat16"`. None keeps each weight's own.
        max_shard_size: Maximum bytes of tensors per file; if that takes several files,
            an index is written, too. A larger tensor gets a file of its own. None
            writes a single file.

    Raises:
        ValueError: a weight is not finite in `dtype`.
    """
    write_safetensors(directory, saved_tensors(variables, names, dtype), max_shard_size)


def saved_tensors(variables, names, dtype=None):
    """List of the tensors that store variables, for `write_safetensors`.

    Args:
        variables: As in `save_weights`, and all those that share a tensor.
        names: As in `save_weights`.
        dtype: As in `save_weights`.
    """
    tensors = collections.defaultdict(dict)
    for variable in variables:
        stored = names[variable.path]
        tensors[stored._replace(part=0)][stored.part] = variable
    return [_Saved(stored, parts, dtype) for stored, parts in tensors.items()]


class _Saved:
    """A tensor to be saved; built from its variables only when it is written."""

    def __init__(self, stored, parts, dtype):
        self.name, self._stored = stored.name, stored
        self._parts = [parts[i] for i in sorted(parts)]
        self.dtype = dtype or self._parts[0].dtype
        shape = self._parts[0].shape
        shape = (*shape[:-1], shape[-1] * len(parts))
        self.shape = _stored_shape(shape, stored)

    def read(self):
        array = np.concatenate([np.asarray(part) for part in self._parts], axis=-1)
        array = array.T if self._stored.transposed else array
        array = array[np.newaxis] if self._stored.is_row else array
        with np.errstate(over="ignore"):
            array = array.astype(self.dtype)
        if not np.isfinite(array).all():
            raise ValueError(
                f"All weights must be finite in dtype={self.dtype!r}. Received: NaN or "
                f"infinity in {self.name}"
            )
        return array


def load_weights(tensors, variables, names, *, new=(), unused="$", copies=None):
    """Assigns the tensors of a checkpoint to `variables`.

    Names, shapes and dtypes are all checked before anything is assigned.

    Args:
        tensors: `Tensors` of a checkpoint.
        variables: Variables of a `keras.Model` to assign to.
        names: Dict of variable path -> `Stored`.
        new: Path prefixes of variables that the checkpoint may lack, as for a new
            head.
        unused: Regular expression, matched at the start of names, of tensors that the
            model may lack.
        copies: Dict of such a name -> the name of the tensor that it must equal.

    Returns:
        The paths of the variables that the checkpoint lacks.

    Raises:
        CheckpointError: a tensor is missing, unexpected, of the wrong shape or dtype,
            or not finite; the message names it. Some variables may have been assigned
            by then.
    """
    present = set(tensors.names)
    for copy, original in (copies or {}).items():
        if original in present:
            _check_copy(tensors, copy, original)
            present.remove(copy)
    by_name = collections.defaultdict(list)  # those of one tensor together
    for variable in variables:
        by_name[names[variable.path].name].append((names[variable.path], variable))
    absent = _absent(tensors, by_name, present, tuple(new))
    _refuse_unexpected(tensors, present - by_name.keys(), re.compile(unused))
    found = {name: parts for name, parts in by_name.items() if name in present}
    for name, parts in found.items():
        for stored, variable in parts:
            _check(tensors, name, stored, variable)
    for name, parts in found.items():
        array = read_finite(tensors, name)
        for stored, variable in parts:
            kernel = array.T if stored.transposed else array
            kernel = kernel[0] if stored.is_row else kernel
            part = np.split(kernel, stored.num_parts, axis=-1)[stored.part]
            _assign(variable, _converted(part, variable, tensors, name))
    return absent


def refuse_larger_than(tensors, sizes, fields, names, path):
    """Raises `CheckpointError` if a model has far more weights than the file.

    Args:
        tensors: `Tensors` of the file.
        sizes: Constructor arguments of the backbone.
        fields: Dict of argument -> `Field`.
        names: Dict of variable path -> `Stored`.
        path: The file that the sizes come from.
    """
    counts = ("num_layers", "num_decoder_layers")
    layers, width = sum(sizes.get(n) or 0 for n in counts), sizes["hidden_dim"]
    rows = [size for size, table in _TABLES.items() if table in names]
    needed = sum(sizes.get(name) or 0 for name in rows) * width
    needed += layers * (4 * width + 2 * sizes["intermediate_dim"]) * width
    there = sum(math.prod(tensors.shape(name)) for name in tensors.names)
    room = len(tensors.names) // _TENSORS_PER_LAYER
    if needed > there + _SMALL_MODEL or layers > room + _FEW_LAYERS:
        received = ", ".join(
            f"{fields[name].name}={sizes[name]}"
            for name in (*rows, *counts, "hidden_dim", "intermediate_dim")
            if sizes.get(name) and name in fields
        )
        raise CheckpointError(
            f"The sizes must match the file's {there} weights. Received: {received}.",
            path=path,
            fix="Use config.json and weights of the same model.",
        )


def _converted(array, variable, tensors, name):
    """Casts an array to the dtype of a variable, in which it must be finite, too."""
    if array.dtype == variable.dtype:
        return array
    with np.errstate(over="ignore"):
        converted = array.astype(variable.dtype)
    if not np.isfinite(converted).all():
        raise CheckpointError(
            f"All weights must be finite in the model's {variable.dtype}. Received: "
            f"{np.abs(array).max()} in {array.dtype}.",
            path=tensors.path,
            tensor=name,
        )
    return converted


def _assign(variable, array):
    """Assigns an array whose memory nobody else modifies.

    On TensorFlow the old value is freed first, and the array is passed without the copy
    that `tf.constant` makes: loading a BERT-base of 438 MB peaks at 584 MB, not 765.
    Assigning a few rows at a time saves as much, but then every later read copies the
    variable.
    """
    if keras.backend.backend() != "tensorflow":
        variable.assign(array)
        return
    import tensorflow as tf

    array = array.astype(variable.dtype, order="C", copy=False)
    value = variable.value
    for copy in getattr(value, "values", [value]):  # one on each replica
        for new in (tf.zeros([0], array.dtype), array):
            tf.raw_ops.AssignVariableOp(resource=copy.handle, value=new)


def _absent(tensors, by_name, present, new):
    """Paths of the variables that a checkpoint lacks; all must be allowed to be new."""
    absent = []
    for name in [name for name in by_name if name not in present]:
        absent += [variable.path for _, variable in by_name[name]]
        if not absent[-1].startswith(new or "\n"):
            raise CheckpointError(
                "The file lacks this weight of the model.",
                path=tensors.path,
                tensor=name,
            )
    return absent


def _refuse_unexpected(tensors, names, unused):
    for name in sorted(names):
        if not unused.match(name):
            raise CheckpointError(
                "The file has a tensor that the model lacks.",
                path=tensors.path,
                tensor=name,
                fix="Use config.json and weights of the same model.",
            )


def _check_copy(tensors, copy, original):
    if not np.array_equal(tensors.read(copy), tensors.read(original)):
        raise CheckpointError(
            f"The tensor must equal {original}: they are one weight in the model.",
            path=tensors.path,
            tensor=copy,
        )


def _check(tensors, name, stored, variable):
    shape = (*variable.shape[:-1], variable.shape[-1] * stored.num_parts)
    shape = _stored_shape(shape, stored)
    found = tensors.shape(name)
    if found != shape:
        turned = " It may be transposed." if found == shape[::-1] else ""
        raise CheckpointError(
            f"The shape must be {shape}. Received: {found}.{turned}",
            path=tensors.path,
            tensor=name,
            fix="Use config.json and weights of the same model.",
        )
    check_floating(tensors, name)


def _stored_shape(shape, stored):
    """The shape in a file of weights that have this shape here."""
    if stored.is_row:
        return (1, *shape)
    return shape[::-1] if stored.transposed else shape


def check_floating(tensors, name, shown_as=None):
    """Raises `CheckpointError` unless a tensor has a floating-point dtype.

    Args:
        tensors: `Tensors`.
        name: Name of the tensor.
        shown_as: Its name in the error; None for the same.
    """
    if tensors.dtype(name) not in FLOATING:
        raise CheckpointError(
            "A weight must have a floating-point dtype. "
            f"Received: {tensors.dtype(name)}.",
            path=tensors.path,
            tensor=shown_as or name,
        )


def read_finite(tensors, name):
    """Reads a tensor of `Tensors`, which must be finite."""
    array = tensors.read(name)
    if not np.isfinite(array).all():
        raise CheckpointError(
            "All weights must be finite. Received: NaN or infinity.",
            path=tensors.path,
            tensor=name,
        )
    return array
