"""The weights of a KerasHub backbone under Hugging Face's names.

KerasHub's own classes read the file, whose layout changed with the versions of Keras;
that it holds arrays and nothing else, and how many, is checked before.
"""

import math
import re
import warnings

import h5py
import numpy as np

from tfzoo.errors import CheckpointError
from tfzoo.files import readable_file

# What the path of a variable has there -> here
_RENAMED = (
    (r"^(token_and_position_)?embeddings?/(token|position)_", r"\2_"),
    (r"^embeddings_layer_norm/", "embeddings_norm/"),
    (r"^layer_norm/", "final_norm/"),
    (r"^pooled_dense/", "pooler/"),
    (r"/self_attention_layer/", "/self_attention/"),
    (r"/attention_output/", "/output/"),
    (r"/self_attention_layer_norm/", "/self_attention_norm/"),
    (r"/feedforward_layer_norm/", "/feed_forward_norm/"),
    (r"/feedforward_(intermediate|output)_dense/", r"/feed_forward/\1/"),
)


class KerasHubTensors:
    """The weights of a KerasHub backbone under Hugging Face's names (see `Tensors`).

    Args:
        path: The file that they came from.
        model: The backbone, filled.
        family: Knows the names.
        padding_id: Of RoBERTa, None otherwise. Hugging Face's has rows of positions up
            to it, and one segment; both add nothing here.
    """

    def __init__(self, path, model, family, padding_id=None):
        self.path = path
        variables = {_our_path(v): v for v in _weights(model)}
        self._parts = {}  # name -> [(how it is stored, variable)], side by side
        for ours, stored in family.backbone_names(model.num_layers, ()).items():
            if ours in variables:
                parts = self._parts.setdefault(stored.name, [])
                parts.append((stored, variables[ours]))
        self._positions, self._segments, self._offset = None, None, 0
        if padding_id is not None:
            self._positions = "embeddings.position_embeddings.weight"
            self._segments = "embeddings.token_type_embeddings.weight"
            self._offset, self._width = padding_id + 1, model.hidden_dim
        self.names = frozenset([*self._parts, *filter(None, [self._segments])])

    def shape(self, name):
        if name == self._segments:
            return 1, self._width
        parts = self._parts[name]
        shape = _matrix_shape(parts[0][1])
        shape = (*shape[:-1], len(parts) * shape[-1])
        if name == self._positions:
            return self._offset + shape[0], shape[1]
        return shape[::-1] if parts[0][0].transposed else shape

    def dtype(self, name):
        del name
        return "float32"

    def read(self, name):
        if name == self._segments:
            return np.zeros(self.shape(name), np.float32)
        parts = self._parts[name]
        arrays = [np.asarray(v).reshape(_matrix_shape(v)) for _, v in parts]
        array = np.concatenate(arrays, axis=-1)
        if name == self._positions:
            return np.pad(array, ((self._offset, 0), (0, 0)))
        return np.ascontiguousarray(array.T) if parts[0][0].transposed else array


def stored_sizes(path):
    """How many numbers each array of floating-point numbers in an HDF5 file holds.

    Raises:
        CheckpointError: it is no HDF5 file, or refers to another place or file.
    """
    try:
        with h5py.File(readable_file(path, CheckpointError)) as file:
            return _sizes(file, path, set())
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as e:
        raise CheckpointError(f"Not a whole HDF5 file: {e}.", path=path) from e


def fill(model, path):
    """Reads a file, whose arrays were counted, into a KerasHub backbone.

    Raises:
        CheckpointError: the file has other weights than the model.
    """
    try:
        with warnings.catch_warnings():
            # Keras warns of layers that stay as they were.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, UserWarning) as e:
        raise CheckpointError(
            f"KerasHub cannot read the weights: {str(e)[:300]}",
            path=path,
            fix="config.json and the weights must be of one model.",
        ) from e


def _sizes(group, path, seen):
    sizes = []
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise CheckpointError("There must be no links.", path=path, tensor=name)
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:  # also groups within themselves, without an end
            raise CheckpointError("Nothing may have two names.", path=path, tensor=name)
        seen.add(address)
        if isinstance(item, h5py.Group):
            sizes += _sizes(item, path, seen)
        elif not isinstance(item, h5py.Dataset):
            raise CheckpointError("An array must be here.", path=path, tensor=name)
        elif item.external or item.is_virtual:
            raise CheckpointError(
                "The file must refer to no other.", path=path, tensor=name
            )
        elif np.issubdtype(item.dtype, np.inexact):
            sizes.append(item.size)
    return sizes


def _weights(model):
    return [v for v in model.variables if "seed_generator" not in v.path]


def _our_path(variable):
    path = variable.path
    for theirs, ours in _RENAMED:
        path = re.sub(theirs, ours, path)
    return path


def _matrix_shape(variable):
    """The shape without KerasHub's axis of heads: (inputs, outputs), or (outputs,)."""
    shape, path = tuple(variable.shape), variable.path
    if path.endswith("/bias"):
        return (math.prod(shape),)
    if "/attention_output/" in path:
        return math.prod(shape[:-1]), shape[-1]
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else shape
