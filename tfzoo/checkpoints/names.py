"""How a weight of ours is stored under a foreign name."""

from typing import NamedTuple


class Stored(NamedTuple):
    """The name of a tensor in a file, and how a weight lies in it.

    Args:
        name: Name of the tensor in the file.
        transposed: Kernels are (inputs, outputs) here and (outputs, inputs) there.
        part: Which of the weights that lie side by side in the tensor this one is.
        num_parts: How many of equal shape do, along the outputs.
    """

    name: str
    transposed: bool = False
    part: int = 0
    num_parts: int = 1


def plain(path, name):
    """A weight that the file has as it is."""
    return {path: Stored(name)}


def linear(path, name):
    """Kernel and bias of a dense layer."""
    return {
        f"{path}/kernel": Stored(f"{name}.weight", transposed=True),
        f"{path}/bias": Stored(f"{name}.bias"),
    }


def side_by_side(paths, name):
    """Kernels and biases of dense layers, (inputs, outputs of all of them) there."""
    return {
        f"{path}/{ours}": Stored(f"{name}.{theirs}", part=i, num_parts=len(paths))
        for i, path in enumerate(paths)
        for ours, theirs in (("kernel", "weight"), ("bias", "bias"))
    }


def norm(path, name):
    """Scale and offset of a normalisation."""
    return {
        f"{path}/gamma": Stored(f"{name}.weight"),
        f"{path}/beta": Stored(f"{name}.bias"),
    }


def of_layers(names, num_layers):
    """The names with those that have `{i}` repeated for every layer, 0 and up."""
    once = {path: stored for path, stored in names.items() if "{i}" not in path}
    each = [item for item in names.items() if "{i}" in item[0]]
    return once | {
        path.format(i=i): stored._replace(name=stored.name.format(i=i))
        for i in range(num_layers)
        for path, stored in each
    }


def prefixed(names, prefix, present):
    """The names with a prefix, where a file has it.

    Args:
        names: Dict of variable path -> `Stored`.
        prefix: What a task's file puts before the names of the backbone.
        present: Names of the tensors in a file, or None for a task's file: where one
            begins with the prefix, those of the backbone all do.
    """
    if present is not None and not any(name.startswith(prefix) for name in present):
        return names
    return {
        path: stored._replace(name=prefix + stored.name)
        for path, stored in names.items()
    }


def tied(present, copy, original, prefix=""):
    """Dict of a tensor that a file need not have -> that whose copy it must be.

    Args:
        present: Names of the tensors in the file.
        copy: Name of the copy; if the file lacks it, the dict is empty.
        original: Name of what it copies.
        prefix: What may stand before `original`.
    """
    if copy not in present:
        return {}
    return {copy: original if original in present else prefix + original}
