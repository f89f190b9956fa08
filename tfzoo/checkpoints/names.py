"""Mapping of our variables to the tensors of a checkpoint file."""

from typing import NamedTuple


class Stored(NamedTuple):
    """Where and how a weight is stored in a file.

    Args:
        name: Name of the tensor in the file.
        transposed: Whether the file has (outputs, inputs) for our (inputs, outputs).
        part: Index of the weight among those concatenated in the tensor.
        num_parts: Number of weights, of equal shape, concatenated along the outputs.
        is_row: Whether the file has (1, n) for our (n,).
    """

    name: str
    transposed: bool = False
    part: int = 0
    num_parts: int = 1
    is_row: bool = False


def plain(path, name):
    """A weight stored as it is."""
    return {path: Stored(name)}


def linear(path, name):
    """Kernel and bias of a dense layer."""
    return {
        f"{path}/kernel": Stored(f"{name}.weight", transposed=True),
        f"{path}/bias": Stored(f"{name}.bias"),
    }


def side_by_side(paths, name):
    """Kernels and biases of dense layers, concatenated along the outputs."""
    return {
        f"{path}/{ours}": Stored(f"{name}.{theirs}", part=i, num_parts=len(paths))
        for i, path in enumerate(paths)
        for ours, theirs in (("kernel", "weight"), ("bias", "bias"))
    }


def norm(path, name):
    """Scale and offset of a normalization layer."""
    return {
        f"{path}/gamma": Stored(f"{name}.weight"),
        f"{path}/beta": Stored(f"{name}.bias"),
    }


def of_layers(names, counts):
    """Repeats the names that contain a placeholder for every layer, starting at 0.

    Args:
        names: Dict of variable path -> `Stored`.
        counts: Dict of placeholder -> number of layers: `{"i": 12}` for `{i}`.
    """
    found = {path: stored for path, stored in names.items() if "{" not in path}
    for letter, count in counts.items():
        each = [item for item in names.items() if f"{{{letter}}}" in item[0]]
        found |= {
            path.format(**{letter: i}): stored._replace(
                name=stored.name.format(**{letter: i})
            )
            for i in range(count)
            for path, stored in each
        }
    return found


def prefixed(names, prefix, present):
    """Adds the prefix of a task's file to the names, if the file has it.

    Args:
        names: Dict of variable path -> `Stored`.
        prefix: Prefix of the backbone's names in a task's file.
        present: Names of the tensors in a file: if any begins with the prefix, all of
            the backbone's do. None for a task's file.
    """
    if present is not None and not any(name.startswith(prefix) for name in present):
        return names
    return {
        path: stored._replace(name=prefix + stored.name)
        for path, stored in names.items()
    }


def tied(present, copy, original, prefix=""):
    """Dict of an optional tensor -> the tensor it must be a copy of.

    Args:
        present: Names of the tensors in the file.
        copy: Name of the copy; if the file lacks it, the dict is empty.
        original: Name of the original.
        prefix: Optional prefix of `original`.
    """
    if copy not in present:
        return {}
    return {copy: original if original in present else prefix + original}
