"""Tensors of a checkpoint <-> variables of any `keras.Model`, by name."""

import collections
import re

import numpy as np
from safetensors.numpy import save_file

from tfzoo.checkpoints.safetensors_files import WEIGHTS
from tfzoo.errors import CheckpointError

FLOATING = ("float32", "float16", "bfloat16", "float64")


def weight_variables(model):
    """The variables that a checkpoint holds: all but the state of random seeds."""
    return [v for v in model.variables if "seed_generator" not in v.path]


def save_weights(directory, model, names):
    """Writes `model.safetensors` into `directory`.

    Args:
        directory: An existing `pathlib.Path`.
        model: A `keras.Model` whose every weight stands in `names`.
        names: Dict of variable path -> `Stored`.
    """
    parts = collections.defaultdict(dict)
    for variable in weight_variables(model):
        stored = names[variable.path]
        parts[stored._replace(part=0)][stored.part] = np.asarray(variable)
    tensors = {}
    for stored, found in parts.items():
        array = np.concatenate([found[i] for i in sorted(found)], axis=-1)
        array = array.T if stored.transposed else array
        tensors[stored.name] = np.ascontiguousarray(array)
    save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})
    (directory / WEIGHTS).chmod(0o644)  # the library makes it its owner's alone


def load_weights(tensors, variables, names, *, new=(), unused="$", copies=None):
    """Assigns the tensors of a checkpoint to `variables`.

    Nothing is assigned before names, shapes and types have been checked.

    Args:
        tensors: `Tensors` of a checkpoint.
        variables: Those of a `keras.Model` that they are to fill.
        names: Dict of variable path -> `Stored`.
        new: Prefixes of variable paths that the checkpoint may lack, a new head.
        unused: Pattern that begins the names of tensors that the model may lack.
        copies: Dict of such a name -> the name of the tensor that it must equal.

    Returns:
        The paths of the variables that the checkpoint lacks.

    Raises:
        CheckpointError: a tensor is missing, unexpected, of another shape or kind, or
            not finite; it is named. Variables may have been assigned then.
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
        array = _read_finite(tensors, name)
        for stored, variable in parts:
            kernel = array.T if stored.transposed else array
            variable.assign(np.split(kernel, stored.num_parts, axis=-1)[stored.part])
    return absent


def _absent(tensors, by_name, present, new):
    """Paths of the variables that a checkpoint lacks and may lack."""
    absent = []
    for name in [name for name in by_name if name not in present]:
        absent += [variable.path for _, variable in by_name[name]]
        if not absent[-1].startswith(new or "\n"):
            raise CheckpointError(
                "The model has a weight that the file lacks.",
                path=tensors.path,
                tensor=name,
            )
    return absent


def _refuse_unexpected(tensors, names, unused):
    for name in sorted(names):
        if not unused.match(name):
            raise CheckpointError(
                "The file has a tensor that the model lacks; config.json and the "
                "weights must be of one model.",
                path=tensors.path,
                tensor=name,
            )


def _check_copy(tensors, copy, original):
    if not np.array_equal(tensors.read(copy), tensors.read(original)):
        raise CheckpointError(
            f"The tensor must equal {original}: the model has one for both.",
            path=tensors.path,
            tensor=copy,
        )


def _check(tensors, name, stored, variable):
    shape = (*variable.shape[:-1], variable.shape[-1] * stored.num_parts)
    shape = shape[::-1] if stored.transposed else shape
    if tensors.shape(name) != shape:
        raise CheckpointError(
            f"The shape must be {shape}. Received: {tensors.shape(name)}.",
            path=tensors.path,
            tensor=name,
            fix="config.json and the weights must be of one model.",
        )
    if tensors.dtype(name) not in FLOATING:
        raise CheckpointError(
            f"A weight must be of a floating type. Received: {tensors.dtype(name)}.",
            path=tensors.path,
            tensor=name,
        )


def _read_finite(tensors, name):
    array = tensors.read(name)
    if not np.isfinite(array).all():
        raise CheckpointError(
            "A weight must be finite. Received: NaN or infinity.",
            path=tensors.path,
            tensor=name,
        )
    return array
