"""Tensors of a safetensors file <-> variables of any `keras.Model`, by name."""

import collections
import re

import numpy as np
import safetensors
from safetensors.numpy import save_file

from tfzoo.errors import CheckpointError
from tfzoo.files import readable_file

WEIGHTS = "model.safetensors"


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


def tensor_names(directory):
    """The names of the tensors in `model.safetensors`."""
    path, file = _open(directory)
    with file:
        return set(file.keys())


def load_weights(directory, variables, names, *, new=(), unused="$", copies=None):
    """Assigns the tensors of `model.safetensors` to `variables`.

    Nothing is assigned before everything has been checked.

    Args:
        directory: A `pathlib.Path` with the file.
        variables: Those of a `keras.Model` that the file is to fill.
        names: Dict of variable path -> `Stored`.
        new: Prefixes of variable paths that the file may lack, a new head.
        unused: Pattern that begins the names of tensors that the model may lack.
        copies: Dict of such a name -> the name of the tensor that it must equal.

    Returns:
        The paths of the variables that the file lacks.

    Raises:
        CheckpointError: a tensor is missing, unexpected, of another shape or kind, or
            not finite; it is named.
    """
    path, file = _open(directory)
    with file:
        unused = re.compile(unused)
        present = set(file.keys())
        for copy, original in (copies or {}).items():
            if original in present:
                _check_copy(path, file, copy, original)
                present.remove(copy)
        return _assign(path, file, present, variables, names, tuple(new), unused)


def _open(directory):
    path = readable_file(directory / WEIGHTS, CheckpointError)
    try:
        return path, safetensors.safe_open(path, framework="np")
    except (safetensors.SafetensorError, OSError) as e:
        raise CheckpointError(
            f"Not a whole safetensors file: {e}.", path=path, fix="Copy it again."
        ) from e


def _check_copy(path, file, copy, original):
    if not np.array_equal(file.get_tensor(copy), file.get_tensor(original)):
        raise CheckpointError(
            f"The tensor must equal {original}: the model has one for both.",
            path=path,
            tensor=copy,
        )


def _assign(path, file, present, variables, names, new, unused):
    variables = {names[v.path]: v for v in variables}
    absent = [s for s in variables if s.name not in present]
    missing = [s for s in absent if not variables[s].path.startswith(new or "\n")]
    if missing:
        raise CheckpointError(
            "The model has a weight that the file lacks.",
            path=path,
            tensor=missing[0].name,
        )
    expected = {s.name for s in variables}
    for name in sorted(present - expected):
        if not unused.match(name):
            raise CheckpointError(
                "The file has a tensor that the model lacks; config.json and the "
                "weights must be of one model.",
                path=path,
                tensor=name,
            )
    found = [(s, v) for s, v in variables.items() if s.name in present]
    for stored, variable in found:
        _check(path, file, stored, variable)
    for stored, variable in found:
        array = file.get_tensor(stored.name)
        array = array.T if stored.transposed else array
        variable.assign(np.split(array, stored.num_parts, axis=-1)[stored.part])
    return [variables[s].path for s in absent]


def _check(path, file, stored, variable):
    lies = file.get_slice(stored.name)
    shape = (*variable.shape[:-1], variable.shape[-1] * stored.num_parts)
    shape = shape[::-1] if stored.transposed else shape
    if tuple(lies.get_shape()) != shape:
        raise CheckpointError(
            f"The shape must be {shape}. Received: {tuple(lies.get_shape())}.",
            path=path,
            tensor=stored.name,
            fix="config.json and the weights must be of one model.",
        )
    if lies.get_dtype() not in ("F32", "F16", "BF16", "F64"):
        raise CheckpointError(
            f"A weight must be of a floating type. Received: {lies.get_dtype()}.",
            path=path,
            tensor=stored.name,
        )
    if not np.isfinite(file.get_tensor(stored.name)).all():
        raise CheckpointError(
            "A weight must be finite. Received: NaN or infinity.",
            path=path,
            tensor=stored.name,
        )
